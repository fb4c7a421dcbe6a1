"""Errors on the real model are told apart by hand-made answers, and the page has its table."""

import pytest

from flix_lightning.data.cells import Cell
from flix_lightning.data.predictions import Prediction, write_predictions
from flix_lightning.report.evidence import Evidence
from flix_lightning.report.real_model import is_parse, real_model, wrong

DATE = "[IN:DATE [SL:YEAR 1978 ] [SL:MONTH 4 ] [SL:DAY 8 ] ]"


@pytest.mark.parametrize(
    "text", [DATE, "[IN:MEASURE [SL:ケニア 59 ] ]", f"[IN:LIST {DATE} [IN:MONEY [SL:AMOUNT 5 ] [SL:CURRENCY a b ] ] ]"]
)
def test_what_has_the_form(text):
    assert is_parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "236 meters", "DATE: 8 April 1978", f"date {DATE}", f"{DATE} {DATE}", DATE[:-2],
        "[IN:DATE ]", "[SL:DAY 8 ]", "[IN:DATE [SL:DAY ] ]", "[IN:MONEY [SL:AMOUNT 9 ] [SL:CUR:CUR ] ]",
        "\0", "[IN:DATE \0 ]",
    ],
)  # fmt: skip
def test_what_has_not(text):
    assert not is_parse(text)


def rows(*answers):
    cell = Cell("semantic_parsing", "am")
    return [Prediction(cell, i, "exact_match", said, DATE) for i, said in enumerate(answers)]


def test_wrong_answers_are_counted_apart():
    assert wrong(rows(DATE, DATE.replace("4", "5"), "8 April 1978", "")) == (2, 1)


def record(experiment, dropped):
    return {
        "steps": 300,
        "config": {
            "name": experiment,
            "seed": 0,
            "model": {"name": "a-model"},
            "data": {"batch_size": 32},
            "adapter": {"name": "flix", "axes": ["task", "language"], "dropout_axes": dropped},
            "feature_dropout": {"p": 0.3},
        },
        "cells": [
            {"task": "ner", "language": "sw", "group": "seen", "score": 80.0},
            {"task": "semantic_parsing", "language": "am", "group": "unseen combination", "score": 25.0},
        ],
    }


def test_the_tables_have_the_runs_of_the_experiment(tmp_path):
    kept = {tmp_path / f"{name}.json": record(name, ["language"]) for name in ("real_model", "another")}
    lines = real_model(Evidence(kept)).splitlines()
    assert lines[2] == "`a-model` in 2 languages, 300 steps of 32 rows, as in"
    assert (
        "| FLix (languages dropped) | 1 | **80.0** | not run | not run | not run | **25.0** | not run | not run |"
        in lines
    )
    assert lines[-1] == "| --- | --- | --- | --- | --- |", "no predictions were kept"
    for path in kept:
        write_predictions(path, rows(DATE, DATE.replace("4", "5"), "8 April 1978", ""))
    assert real_model(Evidence(kept)).splitlines()[-1] == "| FLix (languages dropped) | 0 | 4 | 2 | 1 |"
    assert real_model(Evidence({tmp_path / "another.json": record("another", ["language"])})) is None
