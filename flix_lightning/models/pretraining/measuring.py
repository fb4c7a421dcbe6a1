"""The measurements of `tiny`'s card: abilities by group of languages, and the benchmark's tasks untrained."""

from collections.abc import Mapping, Sequence
from itertools import islice
from random import Random
from typing import Any

from transformers import PreTrainedTokenizerBase

from flix_lightning.data.benchmarks.cldr.languages import CELLS, language_name
from flix_lightning.data.benchmarks.cldr.rows import draw_rows
from flix_lightning.data.benchmarks.cldr.tasks import TASKS as BENCHMARK
from flix_lightning.data.tokens.encoding import Encoded, encode
from flix_lightning.models.pretraining.abilities import TargetLogits, right
from flix_lightning.models.pretraining.batches import draw
from flix_lightning.models.pretraining.corpus import TASKS
from flix_lightning.models.pretraining.languages import ASKED

GROUPS = {**{f"{task} cells": frozenset(languages) for task, languages in CELLS.items()}, "no cell": frozenset(ASKED)}


def abilities(module: TargetLogits, tokenizer: PreTrainedTokenizerBase, rows: int) -> dict[str, dict[str, float]]:
    """Task of pretraining -> group of languages -> exact match in % on `rows` test rows of each task."""
    percents = {}
    for task in (*TASKS, "copy"):
        rng = Random(f"abilities/{task}")
        drawn = [draw(tokenizer, rng, "test", task) for _ in range(rows)]
        done = right(module, [row.row for row in drawn])
        percents[task] = {"all": _percent(done)}
        for group, languages in GROUPS.items():
            if own := [yes for row, yes in zip(drawn, done) if row.language in languages]:
                percents[task][group] = _percent(own)
    return percents


def untrained(module: TargetLogits, tokenizer: PreTrainedTokenizerBase, rows: int) -> dict[str, float]:
    """Task of the benchmark -> exact match in % of the untrained model on `rows` test rows of every cell."""
    return {task: _percent(right(module, benchmark_rows(tokenizer, task, "test", rows))) for task in CELLS}


def benchmark_rows(tokenizer: PreTrainedTokenizerBase, task: str, split: str, rows: int) -> list[Encoded]:
    """The first rows of every cell of a task."""
    prompts, targets = [], []
    for language in CELLS[task]:
        for row in islice(draw_rows(task, language, split, seed=0), rows):
            prompts.append(BENCHMARK[task].render(language_name(language), input=row.input))
            targets.append(row.target)
    return encode(tokenizer, prompts, targets, is_encoder_decoder=False)


def learning_curve(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A point for each run of `tiny_curve`: its task, the rows it has seen, its mean score on the test rows."""
    points = []
    for record in records:
        scores = [cell["score"] for cell in record["cells"]]
        points.append(
            {
                "task": record["cells"][0]["task"],
                "rows": record["steps"] * record["config"]["data"]["batch_size"],
                "metric": BENCHMARK[record["cells"][0]["task"]].metric,
                "score": round(sum(scores) / len(scores), 1),
            }
        )
    return sorted(points, key=lambda point: (list(BENCHMARK).index(point["task"]), point["rows"]))


def _percent(done: Sequence[bool]) -> float:
    return round(100 * sum(done) / len(done), 1)
