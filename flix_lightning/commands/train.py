"""`flix train`: one run or a sweep of runs: started, continued from the last checkpoint, or shown when finished."""

import os
from collections.abc import Sequence

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError
from flix_lightning.common.targets import COMPOSED, packages
from flix_lightning.training.continuation import continued
from flix_lightning.training.early_warning import note_warnings
from flix_lightning.training.run_directory import run_directory
from flix_lightning.training.runs import find_run


def refuse_nested_launch(trainer: dict) -> None:
    """Lightning would start every further process with the command of the whole sweep, and each would sweep again."""
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    launched = {"LOCAL_RANK", "SUBMITIT_EXECUTOR"} & os.environ.keys()
    several = trainer["devices"] not in (1, "1") or trainer["num_nodes"] != 1
    if sweeping and several and not launched:
        raise FlixError(
            f"a sweep (-m) with trainer.devices={trainer['devices']}, trainer.num_nodes={trainer['num_nodes']}: each "
            "process that a run starts would start the whole sweep again. Set both to 1, let SLURM start one job a "
            "configuration (hydra/launcher=slurm), or start the processes around the sweep with torchrun."
        )


def task(config: DictConfig) -> float | None:
    """Train or show one run; its best validation score is what a search maximizes."""
    note_warnings()
    plain = resolved(config)
    trust = packages(plain["trust"])
    if plain["continue_from"] is None:
        trust = COMPOSED
    else:
        plain["continue_from"] = str(find_run("continue_from", plain["continue_from"], plain["runs_dir"]))
        plain = continued(plain, HydraConfig.get().overrides.task)
    run = run_directory(plain)

    from lightning.pytorch.utilities import rank_zero_only

    from flix_lightning.data.benchmarks.benchmark import load_benchmark
    from flix_lightning.models.backbone import load_backbone
    from flix_lightning.report.screen import print_report
    from flix_lightning.training.callbacks import make_callbacks
    from flix_lightning.training.results import is_finished
    from flix_lightning.training.run import finished_record, train
    from flix_lightning.training.tracking.loggers import make_loggers

    refuse_nested_launch(plain["trainer"])
    benchmark = load_benchmark(plain["benchmark"], trust)
    if is_finished(run) and not plain["dry_run"]:
        record = finished_record(plain, run, benchmark)
    else:
        backbone = load_backbone(plain["model"], trust)
        loggers = [] if plain["dry_run"] else make_loggers(plain.get("logger") or {}, run, trust)
        callbacks = make_callbacks(plain.get("callbacks") or {}, trust)
        record = train(plain, run, benchmark, backbone, loggers, HydraConfig.get().overrides.task, callbacks)
    if record is None:  # a dry run
        return None
    rank_zero_only(print_report)(record, run)
    return record["best_validation_score"]


def main(words: Sequence[str]) -> None:
    start(task, "train", words)
