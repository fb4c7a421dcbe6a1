"""Rows of a record and the means over them, with further axes and official languages."""

import pytest

from flix_lightning.data.cells import Cell
from flix_lightning.data.mixture import Mixture
from flix_lightning.data.tasks import Task
from flix_lightning.report.screen import score_table
from flix_lightning.training.results import cell_rows, columns

NEWS, LAW = (("domain", "news"),), (("domain", "law"),)
CELLS = [Cell("ner", "sw", NEWS), Cell("ner", "sw", LAW), Cell("ner", "am", NEWS), Cell("qa", "sw")]
TASKS = {"ner": Task("ner", "{text}", "span_f1", 8), "qa": Task("qa", "{text}", "f1", 8, scored=("sw",))}


@pytest.fixture
def rows():
    mixture = Mixture.select(CELLS, held_out=[{"domain": "law"}])
    return cell_rows(dict(zip(CELLS, [10.0, 20.0, 40.0, 80.0])), mixture, TASKS)


def test_a_row_says_what_its_cell_is(rows):
    assert rows[1] == {
        "task": "ner", "language": "sw", "attributes": {"domain": "law"}, "group": "unseen domain", "score": 20.0
    }  # fmt: skip
    assert rows[3] == {"task": "qa", "language": "sw", "scored": True, "group": "seen", "score": 80.0}


def test_columns_are_means_over_cells_of_one_task_and_group(rows):
    assert columns(rows) == {("ner", "seen"): 25.0, ("qa", "seen"): 80.0, ("ner", "unseen domain"): 20.0}


def test_the_table_has_a_line_for_each_value_and_a_column_for_official_languages(rows):
    table = score_table({"name": "x", "split": "test", "cells": rows})
    lines = list(zip(*(column.cells for column in table.columns)))
    assert [column.header for column in table.columns] == ["task", "seen", "unseen domain", "scored languages"]
    assert lines[:2] == [("ner", "25.0 (2)", "20.0 (1)", ""), ("qa", "80.0 (1)", "", "80.0 (1)")]
    assert lines[2:4] == [("domain=law", "", "20.0 (1)", ""), ("domain=news", "25.0 (2)", "", "")]
