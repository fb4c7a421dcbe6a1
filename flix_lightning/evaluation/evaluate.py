"""Score a finished run on any cells of any benchmark, seen or zero-shot."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning import Trainer

from flix_lightning.adapters.strengths import WHOLE, Strengths
from flix_lightning.common.files import escaped, plain_name, shortened, write_whole
from flix_lightning.common.settings import Count, checked
from flix_lightning.data.benchmarks.benchmark import Benchmark, Split
from flix_lightning.data.mixture import ALL, Mixture, Names
from flix_lightning.data.predictions import write_predictions
from flix_lightning.evaluation.unseen.few_shot import stand_ins
from flix_lightning.evaluation.unseen.policy import TASK_ONLY, UnseenLanguage
from flix_lightning.models.backbone import Backbone
from flix_lightning.models.positions import check_positions
from flix_lightning.training.assembly import build_finished
from flix_lightning.training.results import cell_rows, read_record

KEPT = ("name", "config", "parameters", "active_rank", "steps", "best_step", "best_validation_score", "seconds")


@checked("")
def evaluate(
    run: Path,
    trained_on: Benchmark,
    scored_on: Benchmark,
    backbone: Backbone,
    trainer: Trainer,
    split: Split = "test",
    tasks: Names = ALL,
    languages: Names = ALL,
    where: Mapping[str, Names] | None = None,
    eval_batch_size: Count = 128,
    unseen_language: UnseenLanguage = TASK_ONLY,
    strengths: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Score the run's adapters, by default on every cell of `scored_on`.

    Scores and predictions are written beside the run's record.

    `tasks`, `languages` and `where`, axis -> values, choose among the cells. `unseen_language` says what serves
    languages that were not trained, `strengths`, as `Strengths.parse` reads them, how strongly each feature serves; the
    scores of each choice of the two have a file.

    Raises:
        FlixError: the run is unfinished, or a split, a value of an axis or a feature of the strengths is unknown.
    """
    record = read_record(run)
    config: Mapping[str, Any] = record["config"]
    config = {**config, "data": {**config["data"], "eval_batch_size": eval_batch_size}}
    experiment = build_finished(run, config, trained_on, backbone)
    cells = Mixture.select(scored_on.cells, tasks, languages, where=where).cells
    data = experiment.datamodule.scoring_on(scored_on)
    chosen = {cell.task: scored_on.tasks[cell.task] for cell in cells}
    check_positions(backbone.model, chosen.values(), data.batching.max_prompt_tokens)
    module = experiment.module
    told = Strengths.parse(strengths or {})
    module.composer = module.composer.with_strengths(told)
    served = stand_ins(unseen_language, module, data, cells, trainer)
    module.composer = module.composer.with_stand_ins(served)
    data.score(cells, split)
    module.tasks = scored_on.tasks
    trainer.test(module, datamodule=data, verbose=False)
    scores = {
        **{key: record[key] for key in KEPT},
        "precision": trainer.precision,
        "split": split,
        "benchmark": scored_on.name,
        "unseen_language": asdict(unseen_language),
        "stand_ins": {str(f): {str(k): round(w, 4) for k, w in known.items()} for f, known in served.items()},
        "strengths": told.plain(),
        "cells": cell_rows(module.test_scores, experiment.datamodule.mixture, scored_on.tasks),
        "unscored_cells": list(map(str, data.unscored_cells)),
        "left_out_rows": len(data.benchmark.left_out),
        "truncated_examples": data.tokenised.truncated,
    }
    policy = "" if unseen_language == TASK_ONLY else f"-{unseen_language.stand_in}"
    word = str(told).replace("=", "-")  # a file without `=` is no setting on a command line
    by = "" if told == WHOLE else f"-{escaped(shortened(word))}"
    path = run / f"scores-{plain_name('benchmark.name', scored_on.name)}-{split}{policy}{by}.json"
    write_predictions(path, module.predictions)
    write_whole(path, json.dumps(scores, indent=1, ensure_ascii=False) + "\n")
    return scores
