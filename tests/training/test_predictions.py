"""The predictions that training and evaluation leave: every test row once, and the scores are made of them."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from flix_lightning.data.metrics import METRICS
from flix_lightning.data.predictions import predictions_file, read_predictions
from flix_lightning.evaluation.evaluate import evaluate
from flix_lightning.evaluation.kept_scores import keep_scores
from flix_lightning.training.module import FlixModule
from flix_lightning.training.results import RECORD, cell_of
from flix_lightning.training.run import train
from flix_lightning.training.trainer import lightning_trainer
from tests.configs import SMALL, composed, small_benchmark, untrained_backbone

CHOSEN = {"tasks": ["semantic_parsing", "qa_cross_lang", "translation"], "languages": ["sw", "yo", "bn"]}


def answer(self, batch):
    """Right, cut short or empty, by the row: scores of all sizes."""
    parts = {0: 1.0, 1: 0.6, 2: 0.0}
    return [f" {text[: int(parts[row % 3] * len(text))]}\n" for row, text in zip(batch.rows, batch.targets)]


@pytest.fixture(params=["trained", "evaluated"])
def scored(request, monkeypatch):
    """The rows of scores, and the file beside which the predictions lie."""
    monkeypatch.setattr(FlixModule, "generate", answer)
    record = train(composed(*SMALL, "trainer.max_steps=1"), Path("run"), small_benchmark(), untrained_backbone(), None)
    if request.param == "trained":
        return record["cells"], Path("run", RECORD)
    predictions_file(Path("run", RECORD)).unlink()
    trainer = lightning_trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    found = evaluate(Path("run"), small_benchmark(), small_benchmark(), untrained_backbone(), trainer, **CHOSEN)
    path = keep_scores(Path("run"), *found)
    return json.loads(path.read_text())["cells"], path


def test_the_score_of_every_cell_is_that_of_its_rows_in_the_file(scored):
    rows, file = scored
    assert file.is_file(), "the two go by one name"
    pairs, metrics = defaultdict(list), {}
    for one in read_predictions(file):
        pairs[one.cell].append((one.prediction, one.target))
        metrics[one.cell] = METRICS[one.metric]()
    for row in rows:
        predictions, targets = zip(*pairs.pop(cell_of(row)), strict=True)
        metric = metrics[cell_of(row)]
        metric.update(list(predictions), list(targets))
        assert round(metric.compute().item(), 4) == row["score"] and 0 < row["score"] < 100
    assert not pairs, "and no cell beside them"


def test_rows_are_numbered_as_the_benchmark_gives_them(scored):
    rows, file = scored
    found = read_predictions(file)
    assert list(dict.fromkeys(one.cell for one in found)) == [cell_of(row) for row in rows]
    assert set(Counter(one.cell for one in found).values()) == {3}
    benchmark = small_benchmark()
    for number, one in enumerate(found):
        assert one.row == number % 3
        assert one.target == benchmark.examples(one.cell, "test")[one.row].target.strip()
