"""One run from its config: train, score the best checkpoint, write the record. Knows nothing of Hydra."""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from flix_lightning.common.console import quieten
from flix_lightning.common.files import make_directory, write_whole
from flix_lightning.common.settings import fill, plain, without
from flix_lightning.data.benchmarks.benchmark import Benchmark
from flix_lightning.data.mixture import build_mixture
from flix_lightning.data.predictions import write_predictions
from flix_lightning.models.backbone import Backbone
from flix_lightning.models.pretrained import check_device
from flix_lightning.training.assembly import Experiment, build_experiment
from flix_lightning.training.callbacks import check_monitors
from flix_lightning.training.checkpoint_files import STEPS
from flix_lightning.training.checkpoints import Checkpoints, last_state, newest_sound
from flix_lightning.training.credentials import refuse_credentials
from flix_lightning.training.environment import environment
from flix_lightning.training.interruption import Interruption
from flix_lightning.training.kept_precision import keep_precision, run_precision
from flix_lightning.training.lock import locked
from flix_lightning.training.plan import Plan, dry_run
from flix_lightning.training.preemption import Preemption
from flix_lightning.training.results import RECORD, cell_rows, mixing_shares, read_record, write_record
from flix_lightning.training.run_data import RunData, in_short, write_data
from flix_lightning.training.steps import StepLoss, StepSeed
from flix_lightning.training.tracking.ending import CloseOnError, log_results
from flix_lightning.training.tracking.norms import AxisNorms, FeatureUse
from flix_lightning.training.trainer import TrainerSettings


def train(
    config: Mapping[str, Any],
    run: Path,
    benchmark: Benchmark,
    backbone: Backbone,
    logger: Logger | Sequence[Logger] | None,
    overrides: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
) -> dict[str, Any] | None:
    """Train to `trainer.max_steps`, continuing from the run's last checkpoint; returns the record it wrote. With
    `dry_run` only show what would be trained, and return None.

    Without a checkpoint it starts from the last one of the run in `continue_from`, if its config names one.

    Args:
        config: plain and resolved; it determines the run.
        run: its directory, created after all settings are checked.
        benchmark, backbone: made from the config's sections of these names.
        logger: Lightning's, one or several, or None.
        overrides: the user's, stored with the config.
        callbacks: further ones, as `make_callbacks` gives them.

    Raises:
        FlixError: an invalid setting.
    """
    quieten()
    around = environment()
    refuse_credentials({**config, "overrides": overrides})
    settings = fill("trainer", TrainerSettings, config["trainer"])
    check_device(backbone.model, settings.accelerator)
    if settings.gradient_checkpointing:
        backbone.model.gradient_checkpointing_enable({"use_reentrant": False})
    experiment, dry = build_experiment(config, benchmark, backbone), config.get("dry_run", False)
    if settings.compile:
        experiment.module.compile_training()
    check_monitors(callbacks, experiment.module.logged(experiment.datamodule.validated_cells))
    lightning.seed_everything(config["seed"], workers=True, verbose=False)
    precision = run_precision(run, settings.precision, settings.accelerator, waits=not dry)
    folder, validate_every = run / "checkpoints", min(settings.validate_every, settings.max_steps)
    saved = Checkpoints(
        folder,
        settings.checkpoint_every,
        validate_every,
        settings.keep_checkpoints,
        experiment.module.trained_state,
        experiment.module.feature_rows(),
        callbacks,
    )
    data = RunData.of(config, experiment.datamodule.mixture, benchmark)
    if any(folder.glob(STEPS)):
        data.check(run, "unfinished", needed=True)
    elif last_state(config.get("continue_from")):
        data.check(Path(config["continue_from"]), "finished", needed=True)
    found = data.plain()
    use = FeatureUse(experiment.module.composer)
    tracked = [use, AxisNorms(), CloseOnError()] if logger else [use]
    interruption = Interruption()
    plan = Plan(settings, precision, run, experiment.vocabulary)
    own = [StepSeed(config["seed"]), StepLoss(saved), Preemption(saved), interruption, saved, plan, *tracked]
    trainer = settings.build(run, precision, logger, [*own, *callbacks])
    micro_batches = experiment.datamodule.batching.micro_batches(trainer.world_size)
    trainer.accumulate_grad_batches = micro_batches
    trainer.val_check_interval = validate_every * micro_batches
    if dry:
        return dry_run(plan, trainer, experiment)
    experiment.datamodule.shown = settings.progress and trainer.is_global_zero
    make_directory(run)
    with interruption, locked(run) if trainer.is_global_zero else nullcontext():
        for each in trainer.loggers:
            each.log_hyperparams(plain(config))
        if trainer.is_global_zero:
            write_start(run, config, overrides, precision, found)
        start = newest_sound(folder) or last_state(config.get("continue_from"))
        trainer.fit(experiment.module, experiment.datamodule, ckpt_path=start)
        known = {"environment": around, "precision": precision, "data": in_short(found)}
        if experiment.vocabulary:
            known["vocabulary"] = experiment.vocabulary
        record = {**score_best(config, trainer, experiment, saved, known), **use.record()}
        if trainer.is_global_zero:
            mixture = experiment.datamodule.mixture
            cells = dict.fromkeys(mixture.train + mixture.earlier)
            experiment.module.write(run, cells, without(config["model"], "vocabulary"))
            write_predictions(run / RECORD, experiment.module.predictions)
            write_record(run, record)  # last: it marks the run as finished
        for each in trainer.loggers:
            log_results(each, record, run)
        return record


def write_start(
    run: Path, config: Mapping[str, Any], overrides: Sequence[str], precision: str, found: Mapping[str, Any]
) -> None:
    """What a run keeps from its start on: its config as resolved and as typed, its number format, what its data are."""
    write_whole(run / "config.json", json.dumps(config, indent=1) + "\n")
    keep_precision(run, precision)
    write_data(run, found)
    write_whole(run / "overrides.txt", "".join(f"{override}\n" for override in overrides))


def finished_record(config: Mapping[str, Any], run: Path, benchmark: Benchmark) -> dict[str, Any]:
    """The record of a finished run, to be shown again.

    Args:
        config, run, benchmark: as for `train`.

    Raises:
        FlixError: its data has changed since.
    """
    record = read_record(run)
    RunData.of(config, build_mixture(config, benchmark), benchmark).check(run, "finished", needed=False)
    return record


def score_best(
    config: Mapping[str, Any],
    trainer: Trainer,
    experiment: Experiment,
    saved: Checkpoints,
    known: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of a trained run, its test scores those of the best adapters, which the module then holds.

    Args:
        known: entries of the record that were known before training.
    """
    module, data = experiment.module, experiment.datamodule
    module.load_trained_state(saved.best_adapters)
    data.score(data.mixture.cells, "test")
    trainer.test(module, datamodule=data, verbose=False)
    return {
        "name": config["name"],
        "benchmark": data.benchmark.name,
        "split": "test",
        "config": config,
        **known,
        "parameters": module.parameters_by_axis(),
        "active_rank": module.composer.active_rank(data.mixture.train),
        "steps": trainer.global_step,
        "stopped_early": trainer.global_step < trainer.max_steps,
        "best_step": saved.best_step,
        "best_validation_score": saved.best_score,
        "validation_scores": [[step, round(score, 4)] for step, score in sorted(module.validation_scores.items())],
        "mixing": mixing_shares(data.mixture, data.probabilities, data.global_batches.drawn(trainer.global_step)),
        "cells": cell_rows(module.test_scores, data.mixture, module.tasks),
        "unscored_cells": list(map(str, data.unscored_cells)),
        "left_out_rows": len(data.benchmark.left_out),
        "truncated_examples": data.tokenised.truncated,
        "peak_memory_mib": round(saved.peak_memory_mib),
        "peak_device_memory_mib": round(saved.peak_device_memory_mib),
        "seconds": round(saved.seconds, 1),
    }
