"""One run from its config: train, score the best checkpoint, write the record. Knows nothing of Hydra."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.loggers import Logger
from safetensors.torch import save_file

from flix_lightning.assembly import Experiment, build_experiment
from flix_lightning.benchmarks.benchmark import Benchmark
from flix_lightning.errors import FlixError
from flix_lightning.injection import adapter_state, load_adapter_state
from flix_lightning.models.backbone import Backbone
from flix_lightning.progress import progress
from flix_lightning.quiet import quieten
from flix_lightning.results import (
    cell_rows,
    environment,
    mixing_shares,
    parameters_by_axis,
    peak_memory_mib,
    write_record,
)
from flix_lightning.run_directory import write_whole

ADAPTER = "adapter.safetensors"
LAST = "last.ckpt"


def check_trainer(section: Mapping[str, Any]) -> None:
    """Refuse lengths that cannot be.

    Raises:
        FlixError: a step count below 1.
    """
    for name in ("max_steps", "validate_every", "checkpoint_every"):
        if isinstance(section[name], bool) or not isinstance(section[name], int) or section[name] < 1:
            raise FlixError(f"trainer.{name}: a whole number of at least 1; got {section[name]!r}.")


def build_trainer(section: Mapping[str, Any], run: Path, logger: Logger | None, callbacks: Sequence[Callback]) -> Trainer:
    """The trainer of one run; how it splits a step into micro-batches is set once its processes are known."""
    shown = progress(section["progress"])
    return Trainer(
        accelerator=section["accelerator"],
        devices=section["devices"],
        num_nodes=section["num_nodes"],
        strategy=section["strategy"],
        precision=section["precision"],
        max_steps=section["max_steps"],
        max_epochs=1,
        gradient_clip_val=section["gradient_clip"],
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        use_distributed_sampler=False,
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in shown),
        enable_model_summary=False,
        default_root_dir=run,
        logger=logger or False,
        callbacks=[*callbacks, *shown],
    )


def checkpoints(run: Path, every: int) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """The best by validation score, and the last by step."""
    folder = run / "checkpoints"
    best = ModelCheckpoint(folder, "best", monitor="val/score", mode="max", save_top_k=1, enable_version_counter=False)
    last = ModelCheckpoint(
        folder, LAST.removesuffix(".ckpt"), every_n_train_steps=every, save_top_k=1, enable_version_counter=False
    )
    return best, last




def train(config: Mapping[str, Any], run: Path, benchmark: Benchmark, backbone: Backbone,
          logger: Logger | None) -> dict[str, Any]:
    """Train to `trainer.max_steps`, continuing from the run's last checkpoint; returns the record it wrote."""
    started = time.monotonic()
    quieten()
    check_trainer(config["trainer"])
    lightning.seed_everything(config["seed"], workers=True, verbose=False)
    if config["trainer"]["gradient_checkpointing"]:
        backbone.model.gradient_checkpointing_enable({"use_reentrant": False})
    experiment = build_experiment(config, benchmark, backbone)
    best, last = checkpoints(run, config["trainer"]["checkpoint_every"])
    trainer = build_trainer(config["trainer"], run, logger, [best, last])
    trainer.accumulate_grad_batches = experiment.datamodule.batching.micro_batches(trainer.world_size)
    trainer.val_check_interval = min(config["trainer"]["validate_every"], trainer.max_steps) * trainer.accumulate_grad_batches
    run.mkdir(parents=True, exist_ok=True)
    write_whole(run / "config.json", json.dumps(config, indent=1) + "\n")
    resume = run / "checkpoints" / LAST
    trainer.fit(experiment.module, experiment.datamodule, ckpt_path=resume if resume.exists() else None)
    if trainer.interrupted:
        raise KeyboardInterrupt
    state = torch.load(best.best_model_path, weights_only=True, map_location="cpu")
    factors = {k.removeprefix("backbone."): v for k, v in state["state_dict"].items()}
    load_adapter_state(experiment.module.backbone, factors)
    record = {
        "name": config["name"],
        "split": "test",
        "config": config,
        "environment": environment(),
        "parameters": parameters_by_axis(experiment.module.composer, experiment.module.banks),
        "active_rank": experiment.module.composer.active_rank(experiment.datamodule.mixture.train),
        "steps": trainer.global_step,
        "best_step": state["global_step"],
        "best_validation_score": float(best.best_model_score),
        "mixing": realised_mixing(experiment, trainer.global_step),
        "cells": score(trainer, experiment, experiment.datamodule.mixture.cells, "test"),
        "seconds": round(time.monotonic() - started, 1),
        "peak_memory_mib": round(peak_memory_mib()),
    }
    if trainer.is_global_zero:
        save_file(adapter_state(experiment.module.backbone), run / ADAPTER)
        write_record(run, record)
    return record


def realised_mixing(experiment: Experiment, steps: int) -> dict[str, dict[str, float]]:
    data = experiment.datamodule
    drawn = np.zeros(len(data.mixture.train), dtype=np.int64)
    for step in range(steps):
        drawn += np.bincount(data.global_batches[step].cells, minlength=len(drawn))
    return mixing_shares(data.mixture, data.probabilities, drawn)


def score(trainer: Trainer, experiment: Experiment, cells: Sequence, split: str) -> list[dict[str, Any]]:
    """A row a cell, scored with the adapters as they are."""
    experiment.datamodule.score(cells, split)
    trainer.test(experiment.module, datamodule=experiment.datamodule, verbose=False)
    return cell_rows(experiment.module.test_scores, experiment.datamodule.mixture)
