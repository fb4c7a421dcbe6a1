"""Files of predictions: any text comes back as it was, and what is no such file is told."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.data.predictions import Prediction, predictions_file, read_predictions, write_predictions

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.text("abc=/\u2028\n\x85", min_size=1, max_size=4)
CELLS = st.builds(Cell, NAMES, NAMES, st.lists(st.tuples(NAMES, NAMES), max_size=1).map(tuple))
SCORES = Path("scores-cldr-test.json")
ROW = Prediction(Cell("ner", "sw", (("domain", "law"),)), 7, "span_f1", "LOC: a", "LOC: b $$ PER: c")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.builds(Prediction, CELLS, st.integers(0), TEXTS, TEXTS, TEXTS), max_size=4))
def test_any_text_comes_back(predictions):
    write_predictions(SCORES, predictions)
    assert read_predictions(SCORES) == predictions


def test_a_file_is_read_without_this_project_and_equal_rows_make_equal_bytes():
    write_predictions(SCORES, [ROW])
    written = Path("scores-cldr-test.predictions.jsonl.gz").read_bytes()
    assert json.loads(gzip.decompress(written)) == {
        "task": "ner", "language": "sw", "attributes": {"domain": "law"}, "row": 7, "metric": "span_f1",
        "prediction": "LOC: a", "target": "LOC: b $$ PER: c",
    }  # fmt: skip
    write_predictions(SCORES, [ROW])
    assert predictions_file(SCORES).read_bytes() == written


@pytest.mark.parametrize(
    "damage",
    [b"", b"{}", gzip.compress(b"[]\n"), gzip.compress(b'{"task": 1}\n'), "short"],
    ids=["empty", "plain", "a list", "no cell", "short"],
)
def test_what_is_no_file_of_predictions_is_told(damage):
    with pytest.raises(FlixError, match="were not kept. `flix evaluate`"):
        read_predictions(SCORES)
    write_predictions(SCORES, [ROW])
    path = predictions_file(SCORES)
    path.write_bytes(path.read_bytes()[:-9] if damage == "short" else damage)
    with pytest.raises(FlixError, match="predictions.jsonl.gz' is no file of predictions"):
        read_predictions(SCORES)
