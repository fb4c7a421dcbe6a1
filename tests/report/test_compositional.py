"""The study's table, worked out by hand."""

import json

import pytest

from flix_lightning.report.compositional import study_table
from tests.configs import ROOT

RECORDS = ROOT / "results" / "compositional.json"


def record(method: str, seed: int, qa: float, ner: float) -> dict:
    cells = [
        {"task": f"{main}+{auxiliary}", "score": score + step}
        for main, score in (("qa", qa), ("ner", ner))
        for auxiliary, step in (("translation_it", 0), ("translation_nl", 2), ("style_full", 10))
    ]
    return {
        "method": method, "seed": seed, "passes": 1, "added_parameters": 1200,
        "stored_bytes": 4096, "latency_ratio": 1.0 + seed / 10, "cells": cells,
    }  # fmt: skip


def test_a_table_equals_the_one_worked_out_by_hand():
    records = [
        record("calibration (LC)", 0, 40, 20),
        record("concat merge", 0, 10, 30),
        record("calibration (LC)", 1, 42, 22),
    ]
    assert study_table(records).splitlines() == [
        "| method | seeds | passes | added parameters | stored, KiB | latency | QA + translation | QA + style "
        "| NER + translation | NER + style | mean |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| concat merge | 1 | 1 | 1,200 | 4 | 1.00 | 11.0 | 20.0 | **31.0** | **40.0** | 25.5 |",
        "| calibration (LC) | 2 | 1 | 1,200 | 4 | 1.05 | **42.0 ± 1.4** | **51.0 ± 1.4** | 22.0 ± 1.4 | 31.0 ± 1.4 "
        "| **36.5 ± 1.4** |",
    ]


@pytest.mark.skipif(not RECORDS.exists(), reason="the study has not been run")
def test_the_committed_table_is_made_from_the_committed_records():
    assert RECORDS.with_suffix(".md").read_text(encoding="utf8") == study_table(json.loads(RECORDS.read_text()))
