"""The results of a run for its logger: scores by group of cells and by cell, feature use, the adapters."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from flix_lightning.adapters.bank_file import ADAPTER
from flix_lightning.adapters.corrections import CORRECTIONS
from flix_lightning.common.files import write_whole
from flix_lightning.common.markdown import markdown_table
from flix_lightning.common.settings import plain
from flix_lightning.training.results import axes_of, columns

Rows = Sequence[Mapping[str, Any]]


def summary(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers by which runs are compared."""
    means = columns(record["cells"])
    return {
        **{f"test/{task}/{group}": score for (task, group), score in means.items()},
        "test/mean": fmean(means.values()),
        "best/validation_score": record["best_validation_score"],
        "best/step": record["best_step"],
        "active_rank": record["active_rank"],
        **{f"parameters/{axis}": count for axis, count in record["parameters"].items()},
    }


def tables(record: Mapping[str, Any]) -> dict[str, Rows]:
    """One row for each cell, with its values on all axes; one row for each feature."""
    used, alone = record["feature_use"], record["feature_use_alone"]
    features = [{"feature": feature, "examples": used[feature], "alone": alone[feature]} for feature in used]
    axes = axes_of(record["cells"])
    cells = [
        {
            **{key: row[key] for key in ("task", "language")},
            **{axis: row.get("attributes", {}).get(axis, "") for axis in axes},
            **{key: row[key] for key in ("group", "score")},
        }
        for row in record["cells"]
    ]
    return {"cells": cells, "feature_use": features}


@rank_zero_only
def log_results(logger: Logger, record: Mapping[str, Any], run: Path) -> None:
    """Log a finished run's results, and close its W&B run: the next run of a sweep is another one.

    W&B gets summary, tables and the adapters; TensorBoard the summary and tables as text; any other logger the
    summary, and the tables as CSV files beside it.
    """
    logger.log_metrics(summary(record), step=record["steps"])
    for name, rows in tables(record).items():
        if isinstance(logger, WandbLogger):
            logger.log_table(name, columns=list(rows[0]), data=[list(row.values()) for row in rows])
        elif isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(name, markdown_table(rows[0], map(dict.values, rows)), record["steps"])
        else:
            write_whole(run / f"{name}.csv", as_csv(rows))
    if isinstance(logger, WandbLogger):
        log_adapters(logger.experiment, record, run)
        logger.experiment.finish()
    logger.save()


def log_adapters(wandb_run: Any, record: Mapping[str, Any], run: Path) -> None:
    """The adapters as an artifact with the record they belong to. Online its inputs are declared, so that W&B draws
    the lineage; offline they are in the metadata, with the commit.
    """
    import wandb

    config = record["config"]
    inputs = {kind: plain(config[kind]) for kind in ("model", "benchmark", "mixture")}
    commit = record["environment"]["commit"]
    artifact = wandb.Artifact(f"adapter-{run.name}", "adapter", metadata={**inputs, "commit": commit, "run": str(run)})
    for path in (run / ADAPTER, run / CORRECTIONS, run / "config.json"):
        if path.is_file():  # a calibration writes its corrections alone
            artifact.add_file(str(path))
    with artifact.new_file("record.json", encoding="utf8") as file:
        json.dump(record, file, ensure_ascii=False)
    if not wandb_run.offline:
        for kind in ("model", "benchmark"):
            name = inputs[kind]["_target_"].rpartition(".")[2]
            wandb_run.use_artifact(wandb.Artifact(name, kind, metadata=inputs[kind]))
    wandb_run.log_artifact(artifact)


def as_csv(rows: Rows) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


class CloseOnError(Callback):
    """Closes the W&B run of a failed run; otherwise the next one of a sweep would log into it."""

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and trainer.is_global_zero:
                logger.experiment.finish(exit_code=1)
