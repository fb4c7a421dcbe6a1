"""Train an experiment: `python train.py mixture=joint adapter=flix rank.task=4`; `--help` lists the choices."""

import os

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError
from flix_lightning.training.run_directory import run_directory
from hydra_shell import start


def refuse_nested_launch(trainer: dict) -> None:
    """Lightning would start every further process with the whole sweep as its command, and each would sweep again."""
    sweeping = HydraConfig.get().mode == RunMode.MULTIRUN
    launched = {"LOCAL_RANK", "SUBMITIT_EXECUTOR"} & os.environ.keys()
    several = trainer["devices"] not in (1, "1") or trainer["num_nodes"] != 1
    if sweeping and several and not launched:
        raise FlixError(
            f"a sweep (-m) with trainer.devices={trainer['devices']}, trainer.num_nodes={trainer['num_nodes']}: each "
            "process that a run starts would start the whole sweep again. Set both to 1, let SLURM start one job a "
            "configuration (hydra/launcher=slurm), or start the processes around the sweep with torchrun."
        )


@hydra.main(config_path="conf", config_name="train", version_base="1.3")
def main(config: DictConfig) -> float | None:
    """Train or show one run; its best validation score is what a search maximizes."""
    plain = resolved(config)
    run = run_directory(plain)

    from lightning.pytorch.utilities import rank_zero_only

    from flix_lightning.data.benchmarks.benchmark import load_benchmark
    from flix_lightning.models.backbone import load_backbone
    from flix_lightning.report.screen import print_report
    from flix_lightning.training.results import read_record
    from flix_lightning.training.run import train
    from flix_lightning.training.tracking.loggers import make_logger

    refuse_nested_launch(plain["trainer"])
    if (run / "record.json").is_file() and not plain["dry_run"]:
        record = read_record(run)
    else:
        benchmark, backbone = load_benchmark(plain["benchmark"]), load_backbone(plain["model"])
        logger = None if plain["dry_run"] else make_logger(plain["logger"], save_dir=run)
        record = train(plain, run, benchmark, backbone, logger, HydraConfig.get().overrides.task)
    if record is None:  # a dry run
        return None
    rank_zero_only(print_report)(record, run)
    return record["best_validation_score"]


if __name__ == "__main__":
    start(main, "train")
