"""`flix evaluate`: score a finished run on any cells."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.training.run_directory import read_config
from flix_lightning.training.runs import find_run


def task(config: DictConfig) -> None:
    plain = resolved(config)
    run = find_run("run", plain["run"], plain["runs_dir"])
    trained = read_config(run)

    from flix_lightning.adapters.unseen import UnseenLanguage
    from flix_lightning.common.console import quieten
    from flix_lightning.common.settings import Location, check, fill
    from flix_lightning.common.targets import COMPOSED, packages
    from flix_lightning.data.benchmarks.benchmark import load_benchmark
    from flix_lightning.evaluation.evaluate import evaluate
    from flix_lightning.evaluation.kept_scores import keep_scores
    from flix_lightning.models.backbone import stored_backbone
    from flix_lightning.models.precision import AUTO, check_precision, precision_here
    from flix_lightning.report.screen import print_report, screen
    from flix_lightning.training.progress import progress
    from flix_lightning.training.results import precision_of, read_record
    from flix_lightning.training.trainer import lightning_trainer

    quieten()
    check_precision("precision", plain["precision"] or AUTO)
    out = check("out", Location | None, plain["out"])
    policy = fill("unseen_language", UnseenLanguage, plain["unseen_language"])
    trust = packages(plain["trust"])
    trained_on = load_benchmark(trained["benchmark"], trust)
    source = plain.get("benchmark") if plain.get("benchmark") != trained["benchmark"] else None
    scored_on = load_benchmark(source, COMPOSED) if source else trained_on
    remote_code = {"trust_remote_code": plain["trust_remote_code"]}
    backbone = fill("", stored_backbone, remote_code, section=trained["model"], trust=trust)
    trainer = lightning_trainer(
        accelerator=plain["accelerator"],
        devices=1,
        precision=precision_here(plain["precision"] or precision_of(read_record(run)), plain["accelerator"]),
        logger=False,
        callbacks=progress(True),
        enable_checkpointing=False,
        default_root_dir=run,
    )
    chosen = {key: plain[key] for key in ("split", "tasks", "languages", "where", "strengths", "eval_batch_size")}
    known = {"run": run, "trained_on": trained_on, "scored_on": scored_on, "backbone": backbone, "trainer": trainer}
    found = fill("", evaluate, chosen, **known, unseen_language=policy, source=source)
    print_report(found.scores, run)  # before they are written: a place that cannot be costs no scores
    screen().print(f"scores {keep_scores(Path(out) if out else run, *found)}", highlight=False)


def main(words: Sequence[str]) -> None:
    start(task, "evaluate", words, positional="run", texts=["run"])
