"""The commands as users type them: every config composes, bad input is one clear error, good input a table."""

import sys

import pytest

from flix_lightning.commands.main import flix
from flix_lightning.data.benchmarks.benchmark import load_benchmark
from flix_lightning.data.mixture import build_mixture
from flix_lightning.training.assembly import build_composer, build_experiment
from flix_lightning.training.run_directory import fingerprint
from flix_lightning.training.tracking.loggers import make_loggers
from tests.configs import ROOT, SMALL, composed, small_benchmark, untrained_backbone


def run_command(command: str, *arguments: str, monkeypatch) -> int:
    """Exit code of `flix COMMAND` called with `arguments`, in this process."""
    monkeypatch.setattr(sys, "argv", ["flix", *command.split(), *arguments])
    try:
        flix()
    except SystemExit as end:
        return end.code or 0
    return 0


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))


CALIBRATED = ("calibration", "calibration_pp")  # need a trained bank: test_calibrated.py


@pytest.mark.parametrize("adapter", [choice for choice in choices("adapter") if choice not in CALIBRATED])
def test_every_adapter_builds_and_its_matched_rank_is_derived(adapter):
    rank = ["rank=shared"] if adapter == "flix_shared" else []
    config = composed(f"adapter={adapter}", *rank)
    mixture = build_mixture(config, small_benchmark())
    composer = build_composer(config, mixture)
    tasks, languages = {c.task for c in mixture.train}, {c.language for c in mixture.train}
    # compute-matched: 4 + 2; param-matched: 4 a task, 2 a language; the ablation: 4 + 1 + 1
    per_example = {"lora_param_matched": 4 * len(tasks) + 2 * len(languages)}.get(adapter, 6)
    assert composer.active_rank(mixture.train) == per_example


@pytest.mark.parametrize("group", ["feature_dropout", "trainer", "mixture", "rank"])
def test_every_choice_of_a_group_builds(group):
    needed = {
        "mixture=multilingual": ["mixture.task=ner"],
        "mixture=multitask": ["mixture.language=sw"],
        "rank=shared": ["adapter=flix_shared"],
        "mixture=single_tasks": ["benchmark=cldr_compositional"],
        "mixture=composite_tasks": ["benchmark=cldr_compositional"],
    }
    for choice in choices(group):
        config = composed(f"{group}={choice}", *needed.get(f"{group}={choice}", []))
        build_experiment(config, load_benchmark(config["benchmark"]), untrained_backbone())


def test_the_run_directory_follows_what_decides_the_run_only():
    base = fingerprint(composed())
    assert fingerprint(composed("trainer.devices=2", "data.workers=3", "logger=wandb", "runs_dir=/else")) == base
    for override in ("seed=1", "rank.task=3", "adapter=lora", "trainer.max_steps=7", "feature_dropout.p=0.1"):
        assert fingerprint(composed(override)) != base


BAD = {
    "adapter.axes=[task,language,lang]": ["axis", "'lang'", "language"],
    "rank.task=0": ["rank.task", "0", "at least 1"],
    "+rank.overrides.language.xx=3": ["'language=xx'", "language=sw"],
    "mixture.mixing.temperature=0": ["temperature", "above 0"],
    "mixture.mixing.scale=inf": ["mixture.mixing.scale", "finite"],
    "mixture.mixing.temperature=-1": ["temperature", "above 0"],
    "feature_dropout.p=1.5": ["feature_dropout.p", "[0, 1]", "1.5"],
    "feature_dropout.p=-0.1": ["feature_dropout.p", "[0, 1]"],
    "feature_dropout.schedule=step": ["schedule", "'step'", "constant"],
    "adapter.target_modules=[nothing]": ["target_modules", "'nothing'", "q_proj"],
    "adapter.target_modules=0": ["adapter.target_modules: expected text or a list of text; got 0."],
    "adapter.dropout_axes=0": ["adapter.dropout_axes", "0", "list"],
    "adapter.scaling=nan": ["adapter.scaling", "finite"],
    "rank.language=1000000000": ["can't allocate memory", "rank"],
    "rank.language=10000000000000000000000": ["rank.language: expected a whole number", "below 2^31"],
    "mixture.train={qa_cross_lang: [xx]}": ["mixture.train.qa_cross_lang", "'xx'", "hi"],
    "mixture.tasks=[nre]": ["mixture.tasks", "'nre'", "did you mean 'ner'"],
    "adapter.budget=computer": ["adapter.budget", "did you mean 'compute'"],
    "+optimizer.axis_lr.langauge=2": ["optimizer.axis_lr", "langauge", "language"],
    "+optimizer.axis_lr.task=0": ["optimizer.axis_lr.task", "0", "above 0"],
    "optimizer.lr=fast": ["optimizer.lr", "'fast'", "number"],
    "data.batch_size=0": ["data.batch_size", "at least 1"],
    "data.micro_batch_size=3": ["does not divide"],
    "trainer.max_steps=0": ["trainer.max_steps", "at least 1"],
    "benchmark.rows.train=0": ["benchmark.rows.train", "at least 1"],
    "seed=-1": ["seed", "at least 0"],
    "+data.shuffle=true": ["data.shuffle", "data.batch_size"],
    "+extra=1": ["'extra'", "Allowed"],
    "trainer.max_step=7": ["max_step"],
    "model._target_=os.system": ["model._target_", "'os.system'", "gives no Backbone"],
    "model._target_=nowhere.Model": ["model._target_", "'nowhere.Model'", "cannot be imported", "PYTHONPATH"],
    "callbacks=[early_stoping]": ["early_stoping", "early_stopping"],
    "+trainer.lightning.max_epochs=3": ["trainer.lightning.max_epochs", "trainer.max_steps"],
    "+trainer.lightning.fast_dev_run=true": ["trainer.lightning.fast_dev_run", "benchmark.rows"],
    "+trainer.lightning.determinstic=true": [
        "trainer.lightning.determinstic",
        "did you mean 'trainer.lightning.deterministic'",
    ],
    "trainer.profiler=fast": ["trainer.profiler", "'fast'", "simple"],
    "continue_from=nowhere": ["'nowhere'"],
    "trust=7": ["trust"],
    "model=pretrained": ["model.name"],
    "data.micro_batch_size=-4": ["data.micro_batch_size: expected a whole number of at least 1", "or null; got -4."],
    "data.workers=-1": ["data.workers: expected a whole number in [0, 1024]; got -1."],
    "data.workers=100000": ["data.workers", "in [0, 1024]"],
    "data.batch_size=3000000000": ["data.batch_size", "below 2^31"],
    "data.cache.directory=''": ["data.cache.directory: expected a path or null; got ''."],
    "data.cache.required=1": ["data.cache.required: expected true or false; got 1."],
    "seed=4294967296": ["seed", "below 2^32"],
    "seed=true": ["seed: expected a whole number", "True"],
    "runs_dir=''": ["runs_dir: expected a path; got ''."],
    "mixture.name=7": ["mixture.name: expected text that is not empty; got 7."],
    "benchmark.seed=1.5": ["benchmark.seed: expected a whole number", "1.5"],
    "+benchmark.scarce.sw=0": ["benchmark.scarce.sw: expected a whole number of at least 1", "0"],
    "+benchmark.rows.trian=3": ["benchmark.rows", "'trian'; did you mean 'train'"],
    "mixture.mixing.scale=1e300": ["mixture.mixing.scale", "below 2^63"],
    "mixture.mixing.temperature=nan": ["mixture.mixing.temperature: expected a number above 0; got nan."],
    "feature_dropout.p=nan": ["feature_dropout.p: expected a number in [0, 1]; got nan."],
    "adapter.scaling=0": ["adapter.scaling: expected a finite number above 0; got 0."],
    "optimizer.lr=inf": ["optimizer.lr: expected a finite number above 0; got inf."],
    "optimizer.weight_decay=nan": ["optimizer.weight_decay: expected a finite number of at least 0; got nan."],
    "optimizer.warmup_steps=-1": ["optimizer.warmup_steps: expected a whole number of at least 0", "-1"],
    "optimizer.decay=lineal": ["optimizer.decay", "'lineal'; did you mean 'linear'"],
    "trainer.gradient_clip=inf": ["trainer.gradient_clip: expected a finite number above 0 or null; got inf."],
    "trainer.max_steps='8'": ["trainer.max_steps: expected a whole number", "got '8'."],
    "trainer.strategy=''": ["trainer.strategy: expected text that is not empty; got ''."],
    "adapter=nonesuch": ["nonesuch", "flix"],
}


BAD_ELSEWHERE = {
    ("evaluate", "run=0"): ["run: ", "0"],
    ("evaluate", "run=nowhere"): ["nowhere"],
    ("validate", "json=3"): ["json: ", "3"],
    ("validate", "tasks=0"): ["tasks: expected text or a list of text; got 0."],
    ("validate", "where=x"): ["where: expected a mapping of keys to values or null; got 'x'."],
    ("validate", "data.max_prompt_tokens=0"): ["data.max_prompt_tokens", "at least 1", "0"],
}


@pytest.mark.parametrize("command, override", BAD_ELSEWHERE)
def test_bad_settings_of_other_commands_are_one_clear_error(command, override, monkeypatch, capfd):
    code = run_command(command, override, monkeypatch=monkeypatch)
    told = capfd.readouterr().err
    assert code == 1
    assert "Traceback" not in told
    for part in BAD_ELSEWHERE[command, override]:
        assert part in told


@pytest.mark.parametrize("override", BAD)
def test_bad_settings_are_one_clear_error(override, monkeypatch, capfd, tmp_path):
    small = [o for o in SMALL if o.partition("=")[0] != override.partition("=")[0]]
    code = run_command("train", *small, override, monkeypatch=monkeypatch)
    told = capfd.readouterr().err
    assert code == 1
    assert "Traceback" not in told
    for part in BAD[override]:
        assert part in told
    assert not (tmp_path / "runs").exists(), "a refused run leaves nothing behind"


@pytest.mark.parametrize("logger", choices("logger"))
def test_every_logger_is_built_from_its_config(logger, tmp_path):
    section = composed(f"logger={logger}")["logger"]
    built = make_loggers(section, save_dir=tmp_path)
    assert len(built) == (logger != "none")


def test_several_loggers_log_side_by_side(tmp_path):
    built = make_loggers(composed("logger=[csv,tensorboard]")["logger"], save_dir=tmp_path)
    assert [type(logger).__name__ for logger in built] == ["MetricsFile", "TensorBoardLogger"]


@pytest.mark.parametrize("words", [["seed=0,1", "-m"], ["-m", "seed=0,1"], ["seed=0,1", "--multirun"]])
def test_a_sweep_is_asked_for_before_or_after_its_settings(words, monkeypatch, capfd):
    assert run_command("train", "trainer=ddp", "trainer.devices=2", *words, monkeypatch=monkeypatch) == 1
    assert "a sweep (-m) with trainer.devices=2" in capfd.readouterr().err


def test_a_sweep_does_not_start_processes_itself(monkeypatch, capfd):
    assert run_command("train", "-m", "seed=0,1", "trainer=ddp", "trainer.devices=2", monkeypatch=monkeypatch) == 1
    assert "torchrun" in capfd.readouterr().err


@pytest.mark.parametrize("argument", ["run=nowhere", "split=dev"])
def test_evaluating_what_is_not_there_is_one_clear_error(argument, monkeypatch, capfd):
    code = run_command("evaluate", *({"run=nowhere"} | {argument}), monkeypatch=monkeypatch)
    told = capfd.readouterr().err
    assert code == 1
    assert "nowhere" in told
    assert "Traceback" not in told


def test_the_same_command_again_reports_the_finished_run(monkeypatch, capfd):
    arguments = [*SMALL, "trainer.max_steps=2", "mixture.languages=[sw]", "mixture.train={}"]
    assert run_command("train", *arguments, monkeypatch=monkeypatch) == 0
    first = capfd.readouterr().out
    assert "semantic_parsing" in first
    assert run_command("train", *arguments, monkeypatch=monkeypatch) == 0
    assert capfd.readouterr().out.splitlines()[-1] == first.splitlines()[-1]
