"""Runs side by side from local records and from Weights & Biases; policies for unseen languages side by side."""

import json
from pathlib import Path

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.report.comparison import comparison
from flix_lightning.report.heatmap import draw_difference
from flix_lightning.report.policies import FOLDER, collect_policies, policies_table
from flix_lightning.report.wandb_records import wandb_records
from tests.commands.test_commands import run_command
from tests.report.test_report import record


class Api:
    """As much of `wandb.Api` as is used: runs by group, each with artifacts of several types."""

    def __init__(self, groups):
        self.groups = groups

    def runs(self, project, filters):
        assert project == "team/flix"
        return [Run(r) for name, r in self.groups.items() if not filters or name in filters["group"]["$in"]]


class Run:
    def __init__(self, record):
        self.record = record

    def logged_artifacts(self):
        return [Artifact("wandb-history", None), Artifact("adapter", self.record)]


class Artifact:
    def __init__(self, type, record):
        self.type, self.record = type, record

    def get_entry(self, name):
        assert name == "record.json"
        return self

    def download(self, folder):
        path = Path(folder) / "record.json"
        path.write_text(json.dumps(self.record))
        return str(path)


FLIX, LORA = record("flix", 0, 60, 24), record("lora", 0, 50, 10)


def test_wandb_gives_the_table_that_local_records_give():
    api = Api({"joint-flix": FLIX, "joint-lora": LORA})
    assert comparison(wandb_records("team/flix", api=api)) == comparison([FLIX, LORA])
    assert list(wandb_records("team/flix", ["joint-lora"], api)) == [LORA]


def test_two_runs_are_shown_and_drawn_and_nothing_else_is_written(monkeypatch, capsys):
    for name, found in {"flix": FLIX, "lora": LORA}.items():
        Path(f"runs/{name}/0").mkdir(parents=True)
        Path(f"runs/{name}/0/record.json").write_text(json.dumps(found))
    words = ("runs/flix", "runs/lora", "picture=difference.png")
    assert run_command("report", *words, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == comparison([FLIX, LORA])
    assert Path("difference.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in Path().iterdir()) == ["difference.png", "runs"]


def test_a_picture_takes_two_settings():
    with pytest.raises(FlixError, match="have 1"):
        draw_difference([FLIX], Path("x.png"))


def scores(policy: str, seed: int, gu: float, az: float):
    cells = [
        {"task": "qa", "language": "gu", "group": "unseen language", "score": gu},
        {"task": "qa", "language": "az", "group": "unseen language", "score": az},
        {"task": "qa", "language": "hi", "group": "unseen combination", "score": 1.0},
    ]
    return {"unseen_language": {"stand_in": policy}, "config": {"seed": seed}, "cells": cells}


def test_policies_by_hand():
    found = [scores("family", 0, 50, 80), scores("task_only", 0, 40, 80), scores("task_only", 1, 44, 90)]
    assert policies_table(found).splitlines() == [
        "| task | language | family | script | task_only | family |",
        "| --- | --- | --- | --- | --- | --- |",
        "| qa | az | Turkic | Latn | **85.0 ± 7.1** | 80.0 |",
        "| qa | gu | Indic | Gujr | 42.0 ± 2.8 | **50.0** |",
        "| mean |  |  |  | 63.5 ± 4.9 | **65.0** |",
        "| seeds |  |  |  | 2 | 1 |",
    ]


def of(split: str) -> dict:
    return {"split": split, "unseen_language": {"stand_in": "family"}}


def test_policies_are_collected_by_run():
    with pytest.raises(FlixError, match="policies"):
        collect_policies([Path("runs")], Path("results"))
    Path("runs/flix/0").mkdir(parents=True)
    for name in ("", "-family"):
        Path(f"runs/flix/0/scores-cldr-test{name}.json").write_text(json.dumps({**FLIX, **of("test")}))
    Path("runs/flix/0/scores-cldr-validation.json").write_text(json.dumps({**FLIX, **of("validation")}))
    collect_policies([Path("runs")], Path("results"))
    kept = sorted(path.name for path in Path("results", FOLDER).iterdir())
    assert kept == ["flix-0-scores-cldr-test-family.json", "flix-0-scores-cldr-test.json"]
