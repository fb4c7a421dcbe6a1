"""No command line ends in a raw traceback: overrides of a training are composed and built, other commands are run."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flix_lightning.commands.hydra_shell import composed
from flix_lightning.commands.refusals import default_config, dotted
from flix_lightning.commands.shell import message, resolved
from flix_lightning.common.console import quieten
from flix_lightning.common.settings import fill
from flix_lightning.common.targets import COMPOSED, packages
from flix_lightning.data.benchmarks.benchmark import load_benchmark
from flix_lightning.training.assembly import build_experiment
from flix_lightning.training.callbacks import make_callbacks
from flix_lightning.training.continuation import continued
from flix_lightning.training.run_directory import run_directory
from flix_lightning.training.tracking.loggers import make_loggers
from flix_lightning.training.trainer import TrainerSettings
from tests.commands.test_commands import run_command
from tests.configs import ROOT, SMALL, small_benchmark, untrained_backbone

KEYS = [key for key in dotted(default_config("train")) if not key.startswith(("model", "benchmark._target_"))]
RUN = ("evaluate", "validate", "generate", "export", "report", "runs", "studies", "data cldr")
RUN += ("bank list", "bank join", "bank drop", "bank rename")
OTHERS = [(name, key) for name in RUN for key in dotted(default_config(name.replace(" ", "_")))]
GROUPS = sorted(
    path.name for path in (ROOT / "conf").iterdir() if path.is_dir() and path.name not in ("model", "hydra")
)
WORDS = ["task", "language", "shared", "flix", "lora", "sw", "ner", "auto", "ddp", "all", "linear", "x", "true", "null"]

scalars = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([10**9, -(10**18), 10**30]),
    st.floats(allow_nan=True, allow_infinity=True, width=32),
    st.sampled_from(WORDS),
    st.text("abcé./-_ ", min_size=1, max_size=5).map(lambda text: f"'{text}'"),
)
lists = st.lists(scalars, max_size=3).map(lambda items: f"[{', '.join(map(str, items))}]")
mappings = st.dictionaries(st.sampled_from(WORDS[:8]), st.one_of(scalars, lists), max_size=2).map(
    lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
)
values = st.one_of(scalars, lists, mappings)
overrides = st.one_of(
    st.builds("{}={}".format, st.sampled_from(KEYS), values),
    st.builds("+{}.{}={}".format, st.sampled_from(KEYS), st.sampled_from(WORDS), values),
    st.builds("~{}".format, st.sampled_from(KEYS)),
    st.builds("{}={}".format, st.sampled_from(GROUPS), st.sampled_from([*WORDS, "none", "csv", "joint", "constant"])),
    st.text("abc=+~[]{}$.,:\\'\" ", max_size=8),
)
NO_VALUES = ["0", "-1", "1.5", "nan", "inf", "1" + 20 * "0", "x", "''", "true", "null", "[]", "[0]", "[x]", "{}"]
NO_VALUES += ["{task: 0}", "{x: []}", "{x: {y: x}}"]
TURNS = 3  # a key is given every third of them, another third than the key before it


def build(chosen: list[str]) -> None:
    """What `flix train` does before it trains, on a toy model."""
    plain = composed("train", chosen)
    quieten()
    config = resolved(plain)
    packages(config["trust"])
    if config["continue_from"] is not None:
        config = continued(config, chosen)
    run = run_directory(config)
    make_loggers(config.get("logger") or {}, run, COMPOSED)
    make_callbacks(config.get("callbacks") or {}, COMPOSED)
    trainer = fill("trainer", TrainerSettings, config["trainer"]).build(run, "32-true", None, [])
    load_benchmark(config["benchmark"])
    experiment = build_experiment(config, small_benchmark(), untrained_backbone())
    experiment.datamodule.batching.micro_batches(trainer.world_size)
    experiment.datamodule.mixing.probabilities([20, 10])


def check(chosen: list[str]) -> None:
    """`chosen` either builds or is told in one line."""
    try:
        build(chosen)
    except Exception as error:
        told = message(error)
        if told is None:
            raise
        assert told and "\n" not in told.strip(), told


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@example(["data=0"])
@given(st.lists(overrides, min_size=1, max_size=3))
def test_no_overrides_end_in_a_traceback(chosen):
    check(chosen)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(overrides, min_size=1, max_size=3))
def test_no_overrides_end_in_a_traceback_searched_longer(chosen):
    check(chosen)


@pytest.mark.slow
@pytest.mark.parametrize("number, key", enumerate(KEYS))
def test_no_value_of_any_key_ends_in_a_traceback(number, key):
    for value in NO_VALUES[number % TURNS :: TURNS]:
        check([f"{key}={value}"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a small finished run."""
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_command("train", *SMALL, monkeypatch=patch) == 0
    (record,) = folder.glob("runs/*/*/record.json")
    return record.parent


@pytest.mark.slow
@pytest.mark.parametrize("number, command, key", [(number, *other) for number, other in enumerate(OTHERS)])
def test_no_value_of_any_key_of_a_finished_run_s_commands_ends_in_a_traceback(
    number, command, key, finished, monkeypatch, capfd
):
    Path("requests.jsonl").write_text('{"task": "translation", "language": "sw", "text": "x"}\n')
    given = {
        "evaluate": [f"run={finished}", "languages=[sw]"],
        "validate": ["benchmark.rows={train: 20, validation: 2, test: 3}", "languages=[sw]"],
        "generate": [f"run={finished}", "requests=requests.jsonl"],
        "export": [f"run={finished}", "to=peft", "cells=[translation/sw]", "out=lora"],
        "report": [f"runs=[{finished}]"],
        "runs": [f"where=[{finished}]"],
        "studies": ["studies=[ablation_longer]"],
        "data cldr": ["cells=[ner/sw]"],
        "bank list": [f"bank={finished}"],
        "bank join": [f"banks=[{finished},{finished}]", "out=bank"],
        "bank drop": [f"bank={finished}", "features=[language=sw]", "out=bank"],
        "bank rename": [f"bank={finished}", "names={language: {sw: swh}}", "out=bank"],
    }
    base = [override for override in given[command] if override.partition("=")[0] != key]
    for value in NO_VALUES[number % TURNS :: TURNS]:
        code = run_command(command, *base, f"{key}={value}", monkeypatch=monkeypatch)
        told = capfd.readouterr().err
        assert code in (0, 1) and "Traceback" not in told, value
        assert code == 0 or "error: " in told, value
