"""Score a finished run on any cells of any benchmark, seen or zero-shot."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from lightning import Trainer

from flix_lightning.adapters.bank_file import bank_file
from flix_lightning.adapters.corrections import CORRECTIONS
from flix_lightning.adapters.strengths import Strengths
from flix_lightning.adapters.unseen import TASK_ONLY, UnseenLanguage
from flix_lightning.common.settings import Count, checked, without
from flix_lightning.data.benchmarks.benchmark import Benchmark, Split
from flix_lightning.data.mixture import ALL, Mixture, Names
from flix_lightning.data.predictions import Prediction
from flix_lightning.data.row_digests import DIGITS, RowDigests
from flix_lightning.evaluation.unseen.few_shot import stand_ins
from flix_lightning.models.backbone import Backbone
from flix_lightning.models.positions import check_positions
from flix_lightning.training.assembly import build_finished
from flix_lightning.training.results import cell_rows, read_record
from flix_lightning.training.used_vocabulary import known_texts

KEPT = ("name", "config", "parameters", "active_rank", "steps", "best_step", "best_validation_score", "seconds")


class Evaluation(NamedTuple):
    """What an evaluation finds: the scores, as they are kept, and the rows that they are made of."""

    scores: dict[str, Any]
    predictions: list[Prediction]


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
    source: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Score the run's adapters, by default on every cell of `scored_on`; `keep_scores` keeps what is found.

    What serves a cell does not depend on the cells that are scored with it. Where the run's vocabulary was cut, it is
    here too if the run itself read all that is scored; else all tokens are there, for every cell.

    Args:
        tasks, languages, where: choose among the cells; `where` is axis -> values.
        unseen_language: what serves languages that were not trained.
        strengths: how strongly each feature serves, as `Strengths.parse` reads them.
        source: the config of `scored_on`; None where it is the run's own.

    Raises:
        FlixError: the run is unfinished, or a split, a value of an axis or a feature of the strengths is unknown.
    """
    record = read_record(run)
    config: Mapping[str, Any] = record["config"]
    config = {**config, "data": {**config["data"], "eval_batch_size": eval_batch_size}}
    cells = Mixture.select(scored_on.cells, tasks, languages, where=where).cells
    read = [(cell, split) for cell in cells if split in scored_on.splits(cell)]
    if (
        scored_on is not trained_on
        or unseen_language.stand_in == "few_shot"
        or not known_texts(config, trained_on, read)
    ):
        config = {**config, "model": without(config["model"], "vocabulary")}
    experiment = build_finished(run, config, trained_on, backbone)
    data = experiment.datamodule.scoring_on(scored_on)
    chosen = {cell.task: scored_on.tasks[cell.task] for cell in cells}
    check_positions(backbone.model, chosen.values(), data.batching.max_prompt_tokens)
    module = experiment.module
    told = Strengths.parse(strengths or {})
    module.composer = module.composer.with_strengths(told)
    able = [cell for cell in scored_on.cells if cell in set(cells) or "train" in scored_on.splits(cell)]
    served = stand_ins(unseen_language, module, data, able, trainer)
    module.composer = module.composer.with_stand_ins(served)
    data.score(cells, split)
    module.tasks = scored_on.tasks
    trainer.test(module, datamodule=data, verbose=False)
    digests = RowDigests(scored_on, data.caching)
    absent = {feature for cell in cells for feature in module.composer.featurizer(cell)}
    rows = cell_rows(module.test_scores, experiment.datamodule.mixture, scored_on.tasks)
    scores = {
        **{key: record[key] for key in KEPT},
        "adapters": adapters_digest(run, config),
        "precision": trainer.precision,
        **({"vocabulary": list(experiment.vocabulary)} if experiment.vocabulary else {}),
        "split": split,
        "benchmark": scored_on.name,
        "source": source,
        "unseen_language": asdict(unseen_language),
        "strengths": told.plain(),
        "stand_ins": {
            str(f): {str(k): round(w, 4) for k, w in known.items()} for f, known in served.items() if f in absent
        },
        "cells": [{**row, "rows": digests.digest(cell, split)} for cell, row in zip(module.test_scores, rows)],
        "unscored_cells": list(map(str, data.unscored_cells)),
        "left_out_rows": len(data.benchmark.left_out),
        "truncated_examples": data.tokenised.truncated,
    }
    return Evaluation(scores, module.predictions)


def adapters_digest(run: Path, config: Mapping[str, Any]) -> str:
    """Of the files with what was trained and, of a calibration, with the bank that it corrects."""
    bank = config["adapter"].get("bank")
    digest = hashlib.sha256()
    for path in [bank_file(run)] if bank is None else [run / CORRECTIONS, bank_file(Path(bank))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:DIGITS]
