"""Score a finished run on any cells of any benchmark, seen or zero-shot."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer
from safetensors.torch import load_file

from flix_lightning.assembly import build_experiment
from flix_lightning.benchmarks.benchmark import SPLITS, Benchmark
from flix_lightning.errors import unknown
from flix_lightning.injection import load_adapter_state
from flix_lightning.mixture import ALL, Mixture
from flix_lightning.models.backbone import Backbone
from flix_lightning.results import cell_rows, read_record
from flix_lightning.run_directory import write_whole
from flix_lightning.training import ADAPTER


def evaluate(
    run: Path,
    trained_on: Benchmark,
    scored_on: Benchmark,
    backbone: Backbone,
    trainer: Trainer,
    split: str = "test",
    tasks: str | Sequence[str] = ALL,
    languages: str | Sequence[str] = ALL,
    eval_batch_size: int = 128,
) -> dict[str, Any]:
    """Score the run's adapters, by default on every cell of `scored_on`, and write the scores beside its record.

    Raises:
        FlixError: the run is unfinished, or a split, task or language is unknown.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    record = read_record(run)
    config: Mapping[str, Any] = record["config"]
    config = {**config, "data": {**config["data"], "eval_batch_size": eval_batch_size}}
    experiment = build_experiment(config, trained_on, backbone)
    load_adapter_state(experiment.module.backbone, load_file(run / ADAPTER))
    cells = Mixture.select(scored_on.cells, tasks, languages).cells
    data = experiment.datamodule.scoring_on(scored_on)
    data.score(cells, split)
    experiment.module.tasks = scored_on.tasks
    trainer.test(experiment.module, datamodule=data, verbose=False)
    scores = {
        **{key: record[key] for key in ("name", "parameters", "steps", "best_step", "seconds")},
        "split": split,
        "benchmark": scored_on.name,
        "cells": cell_rows(experiment.module.test_scores, experiment.datamodule.mixture, scored_on.tasks),
        "unscored_cells": list(map(str, data.unscored_cells)),
        "truncated_examples": data.tokenised.truncated,
    }
    write_whole(run / f"scores-{scored_on.name}-{split}.json", json.dumps(scores, indent=1, ensure_ascii=False) + "\n")
    return scores
