"""One run from its config: train, score the best checkpoint, write the record. Knows nothing of Hydra."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger, WandbLogger
from safetensors.torch import save_file

from flix_lightning.assembly import Experiment, build_experiment
from flix_lightning.benchmarks.benchmark import Benchmark
from flix_lightning.filling import fill
from flix_lightning.injection import adapter_state, load_adapter_state
from flix_lightning.models.backbone import Backbone
from flix_lightning.quiet import quieten
from flix_lightning.results import (
    cell_rows,
    columns,
    environment,
    mixing_shares,
    parameters_by_axis,
    peak_memory_mib,
    write_record,
)
from flix_lightning.run_directory import write_whole
from flix_lightning.trainer import TrainerSettings

ADAPTER = "adapter.safetensors"
LAST = "last.ckpt"


def checkpoints(run: Path, every: int) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """The best by validation score, and the last by step."""
    folder = run / "checkpoints"
    best = ModelCheckpoint(folder, "best", monitor="val/score", mode="max", save_top_k=1, enable_version_counter=False)
    last = ModelCheckpoint(
        folder, LAST.removesuffix(".ckpt"), every_n_train_steps=every, save_top_k=1, enable_version_counter=False
    )
    return best, last


def train(
    config: Mapping[str, Any],
    run: Path,
    benchmark: Benchmark,
    backbone: Backbone,
    logger: Logger | None,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Train to `trainer.max_steps`, continuing from the run's last checkpoint; returns the record it wrote.

    Args:
        config: plain and resolved; all that decides the run.
        run: its directory, made once every setting has been checked.
        benchmark, backbone: what the config's sections of these names stand for.
        logger: Lightning's, or None.
        overrides: what the user typed, kept beside the config.

    Raises:
        FlixError: a setting that cannot be.
    """
    started = time.monotonic()
    quieten()
    settings = fill("trainer", TrainerSettings, config["trainer"])
    if settings.gradient_checkpointing:
        backbone.model.gradient_checkpointing_enable({"use_reentrant": False})
    experiment = build_experiment(config, benchmark, backbone)
    lightning.seed_everything(config["seed"], workers=True, verbose=False)
    best, last = checkpoints(run, settings.checkpoint_every)
    trainer = settings.build(run, logger, [best, last])
    micro_batches = experiment.datamodule.batching.micro_batches(trainer.world_size)
    trainer.accumulate_grad_batches = micro_batches
    trainer.val_check_interval = min(settings.validate_every, settings.max_steps) * micro_batches
    run.mkdir(parents=True, exist_ok=True)
    if logger is not None:
        logger.log_hyperparams(config)
    write_whole(run / "config.json", json.dumps(config, indent=1) + "\n")
    write_whole(run / "overrides.txt", "".join(f"{override}\n" for override in overrides))
    resume = run / "checkpoints" / LAST
    trainer.fit(experiment.module, experiment.datamodule, ckpt_path=resume if resume.exists() else None)
    if trainer.interrupted:
        raise KeyboardInterrupt
    record = score_best(config, trainer, experiment, best)
    record["seconds"] = round(time.monotonic() - started, 1)
    if logger is not None:
        log_results(logger, record)
    if trainer.is_global_zero:
        save_file(adapter_state(experiment.module.backbone), run / ADAPTER)
        write_record(run, record)
    return record


def log_results(logger: Logger, record: Mapping[str, Any]) -> None:
    """Put the test scores beside the curves; a sweep's next run is then a run of its own."""
    scores = {f"test/{task}/{group}": score for (task, group), score in columns(record["cells"]).items()}
    logger.log_metrics(scores, step=record["steps"])
    logger.save()
    if isinstance(logger, WandbLogger):
        logger.experiment.finish()


def score_best(
    config: Mapping[str, Any], trainer: Trainer, experiment: Experiment, best: ModelCheckpoint
) -> dict[str, Any]:
    """The record of a trained run, its test scores those of the best checkpoint, which the module then holds."""
    module, data = experiment.module, experiment.datamodule
    state = torch.load(best.best_model_path, weights_only=True, map_location="cpu")
    load_adapter_state(module.backbone, {k.removeprefix("backbone."): v for k, v in state["state_dict"].items()})
    data.score(data.mixture.cells, "test")
    trainer.test(module, datamodule=data, verbose=False)
    return {
        "name": config["name"],
        "split": "test",
        "config": config,
        "environment": environment(),
        "parameters": parameters_by_axis(module.composer, module.banks),
        "active_rank": module.composer.active_rank(data.mixture.train),
        "steps": trainer.max_steps,
        "best_step": state["global_step"],
        "best_validation_score": float(best.best_model_score),
        "validation_scores": [[step, round(score, 4)] for step, score in sorted(module.validation_scores.items())],
        "mixing": mixing_shares(data.mixture, data.probabilities, data.global_batches.drawn(trainer.max_steps)),
        "cells": cell_rows(module.test_scores, data.mixture, module.tasks),
        "unscored_cells": list(map(str, data.unscored_cells)),
        "truncated_examples": data.tokenised.truncated,
        "peak_memory_mib": round(peak_memory_mib()),
    }
