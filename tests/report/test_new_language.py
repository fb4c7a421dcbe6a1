"""The table of an added language: what it compares, and that a changed feature does not pass for an unchanged one."""

import json
from pathlib import Path

import pytest
import torch

from flix_lightning.adapters.features import Feature
from flix_lightning.evaluation.new_language import unchanged_features
from flix_lightning.report.new_language import table
from tests.adapters.test_bank import toy_bank
from tests.commands.test_commands import run_command
from tests.configs import ROOT

RESULTS = ROOT / "results"


def row(task: str, language: str, score: float) -> dict:
    return {"task": task, "language": language, "group": "seen", "score": score}


FOUND = {
    "joint": {
        "steps": 400,
        "parameters": {"task": 900, "language": 1100},
        "cells": [row("ner", "sw", 80.0), row("qa", "sw", 60.04), row("qa", "yo", 1.0)],
    },
    "extended": {
        "steps": 100,
        "parameters": {"language": 50},
        "cells": [row("qa", "sw", 62.0), row("ner", "sw", 77.0)],
        "config": {"mixture": {"languages": ["sw"]}, "model": {"_target_": "a.package.load_somebody"}},
    },
    "features": {"of_base": 7, "unchanged": 7, "in_all": 8},
}


def test_the_table_compares_the_added_cells_alone():
    lines = table(FOUND).splitlines()
    assert [line for line in lines if line.startswith("| ")] == [
        "| cell | joint, 400 steps | added, 100 steps | difference |",
        "| --- | --- | --- | --- |",
        "| ner sw | 80.0 | 77.0 | -3.0 |",
        "| qa sw | 60.0 | 62.0 | +2.0 |",
        "| **mean** | 70.0 | 69.5 | -0.5 |",
    ]
    assert "with the model `somebody`" in lines[2]
    assert "2,000 jointly, 50 for the added" in lines[-1]
    assert "Of the bank's 7 features 7 are the same" in lines[-1]


def test_a_feature_that_moved_by_one_bit_is_not_unchanged():
    base, extended = toy_bank(), toy_bank()
    assert unchanged_features(base, extended) == len(base.ranks) == 7
    factor = extended.factors["model.layers.1.mlp.up_proj.lora_a"]
    place = extended.rows()[Feature("language", "sw")][0]
    factor[place, 0] = torch.nextafter(factor[place, 0], torch.tensor(9.0))
    assert unchanged_features(base, extended) == 6


def test_the_table_in_the_results_is_that_of_its_records():
    found = json.loads((RESULTS / "new_language.json").read_text(encoding="utf8"))
    assert (RESULTS / "new_language.md").read_text(encoding="utf8") == table(found)


def test_the_table_is_written_again_from_its_records(monkeypatch):
    Path("results").mkdir()
    Path("results/new_language.json").write_text(json.dumps(FOUND))
    assert run_command("report", monkeypatch=monkeypatch) == 0
    assert Path("results/new_language.md").read_text() == table(FOUND)


@pytest.mark.parametrize(
    "words, message",
    [
        (["new_language.joint=a"], "all three"),
        (["new_language.joint=a", "new_language.base=b", "new_language.extended=c"], "no run lies in 'a'"),
        ([], "no records lie in 'results'"),
    ],
)
def test_what_is_missing_is_told(words, message, monkeypatch, capsys):
    assert run_command("report", *words, monkeypatch=monkeypatch) == 1
    assert message in capsys.readouterr().err
    assert not list(Path().iterdir())
