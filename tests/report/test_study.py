"""Studies, claims and diversity against tables worked out by hand; the paper's numbers against one another."""

from dataclasses import replace
from statistics import fmean

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.report.diversity import Diversity
from flix_lightning.report.paper import CLAIMS, FIGURE_2, FLIX, SEEN, STUDIES, TABLE_1, TABLE_2
from flix_lightning.report.regime import REGIMES, Regime
from flix_lightning.report.study import Column, Row, Study


def run(adapter, seed, scores, mixture="joint", name=None, **settings):
    """A record whose cells are `scores`: (task, language, group) -> score."""
    return {
        "best_validation_score": 11.0 + seed,
        "config": {
            "name": name or f"{mixture}-{adapter}",
            "seed": seed,
            "mixture": {"name": mixture},
            "adapter": {"name": adapter},
            **settings,
        },
        "cells": [
            {"task": task, "language": language, "group": group, "score": score}
            for (task, language, group), score in scores.items()
        ],
    }


def cells(ner, parse, zero_shot):
    return {
        ("ner", "sw", "seen"): ner,
        ("parse", "sw", "seen"): parse,
        ("parse", "yo", "unseen combination"): zero_shot,
    }


STUDY = Study(
    "Table",
    "two methods",
    [Column("NER", "joint", "ner"), Column("zero-shot", "joint", "parse", "unseen combination")],
    [Row("ours", {"adapter.name": "flix"}, (60.0, 30.0)), Row("theirs", {"adapter.name": "lora"}, (50.0, 40.0, 46.0))],
)
RECORDS = [
    run("flix", 1, cells(62, 0, 20)),
    run("flix", 0, cells(60, 0, 24)),
    run("lora", 0, cells(50, 99, 10)),
    run("lora", 0, cells(1, 2, 3), mixture="other"),
    run("lora", 0, cells(1, 2, 3), name="an ablation"),
]


def test_a_table_equals_the_one_worked_out_by_hand():
    assert STUDY.table(RECORDS).splitlines() == [
        "|  | seeds | NER | zero-shot | avg |",
        "| --- | --- | --- | --- | --- |",
        "| ours | 2 | **61.0 ± 1.4** | **22.0 ± 2.8** | **41.5 ± 0.7** |",
        "| theirs | 1 | 50.0 | 10.0 | 30.0 |",
        "| *ours, in the paper* |  | *60.0* | *30.0* | *45.0* |",
        "| *theirs, in the paper* |  | *50.0* | *40.0* | *46.0* |",
    ]


def test_what_was_not_run_is_said_to_be_so():
    assert "| theirs | 0 | not run | not run | not run |" in STUDY.table(RECORDS[:2])


def test_a_run_without_the_cells_of_a_column_is_not_in_it():
    partial = run("lora", 7, {("parse", "yo", "unseen combination"): 5})
    scores = STUDY.scores([*RECORDS, partial], "theirs")
    assert scores["NER"] == {0: 50} and scores["zero-shot"] == {0: 10, 7: 5}


def test_the_average_takes_the_seeds_that_all_columns_have():
    column = Column("elsewhere", "other", "ner")
    study = replace(STUDY, columns=[*STUDY.columns, column], rows=[replace(row, published=()) for row in STUDY.rows])
    records = [*RECORDS, run("flix", 1, cells(31, 0, 0), mixture="other")]
    assert study.scores(records, "ours")["avg"] == {1: pytest.approx((62 + 20 + 31) / 3)}


def test_a_column_without_a_task_is_the_mean_over_tasks_and_validation_is_the_records_own():
    assert Column("all", "joint").score(RECORDS[2]) == (50 + 99) / 2
    assert Column("validation", "joint", "ner", split="validation").score(RECORDS[0]) == 12.0


def test_where_chooses_by_setting_and_two_settings_in_one_place_are_refused():
    records = [run("flix", seed, cells(60, 0, 0), feature_dropout={"p": p}) for seed, p in ((0, 0.3), (1, 0.7))]
    row = Row("dropped", {"adapter.name": "flix", "feature_dropout.p": 0.7})
    assert replace(STUDY, rows=[row]).scores(records, "dropped")["NER"] == {1: 60}
    with pytest.raises(FlixError, match=r"ours, NER.*feature_dropout.p: 0.3 and 0.7"):
        STUDY.table(records)


def test_a_study_takes_the_runs_of_its_regime_only():
    records = [run("flix", 0, cells(60, 0, 0), model={"_target_": f"x.load_{name}"}) for name in ("one", "other")]
    with pytest.raises(FlixError, match=r"differ in more than the seed.*model"):
        STUDY.table(records)
    regime = Regime("regime", "other", "knows nothing")
    records[1]["config"]["model"] = {"_target_": "flix_lightning.models.other.load_other"}
    study = replace(STUDY, regime=regime)
    assert study.scores(records, "ours")["NER"] == {0: 60} and study.scores(records[:1], "ours")["NER"] == {}
    assert len(study.every_run(records)) == len(study.columns)


def test_no_table_mixes_models_or_number_formats():
    of = {"model": {"_target_": "x.load_one"}}
    ours, theirs = run("flix", 0, cells(60, 0, 0), **of), run("lora", 0, cells(50, 0, 0), **of)
    assert "60.0" in STUDY.table([ours | {"precision": "32-true"}, theirs])
    with pytest.raises(
        FlixError, match=r"Table: records in the number formats 32-true and bf16-mixed make no one table"
    ):
        STUDY.table([ours | {"precision": "32-true"}, theirs | {"precision": "bf16-mixed"}])
    theirs["config"]["model"] = {"_target_": "x.load_other"}
    with pytest.raises(FlixError, match=r"Table: records of several models make no one table .*'x.load_one'"):
        STUDY.table([ours, theirs])


def test_a_mean_over_named_columns_stands_behind_the_average():
    study = replace(STUDY, means={"seen": ["NER"]})
    assert study.heads == ["NER", "zero-shot", "avg", "seen"] and study.parts("seen") == STUDY.columns[:1]
    assert study.scores(RECORDS, "ours")["seen"] == {0: 60, 1: 62}
    assert study.published("theirs", "seen") == 50.0 and study.published("theirs", "avg") == 46.0


def test_diversity_compares_the_cells_that_train_in_both():
    joint = replace(STUDY, columns=[Column("P", "joint", "parse")])
    alone = replace(STUDY, columns=[Column("P", "alone", "parse")])
    study = Diversity("Figure", "", joint, alone, labels=("P",), comparable=("P",))
    trained = {("parse", "sw", "seen"): 50, ("parse", "yo", "seen"): 99, ("ner", "sw", "seen"): 1}
    records = [*RECORDS, run("lora", 0, trained, mixture="alone"), run("lora", 5, trained, mixture="alone")]
    assert study.scores(records, "theirs") == {
        "P": {0: 49},
        "avg": {0: 49},
    }  # Swahili alone: Yoruba is zero-shot in joint
    assert study.published("theirs", "P") == 50 - 50


def test_the_papers_averages_are_the_means_of_its_rows():
    for study in (TABLE_1, TABLE_2):
        for row in study.rows:
            *numbers, average = row.published or [0.0, 0.0]
            assert average == pytest.approx(fmean(numbers), abs=0.16), row.label  # the paper rounds from more digits


def test_every_row_has_a_published_number_for_each_column():
    for study in STUDIES:
        for row in study.rows:
            assert len(row.published) in (0, len(study.columns), len(study.columns) + study.average), study.name


@pytest.mark.parametrize("claim", [claim for _, claims in CLAIMS for claim in claims], ids=lambda claim: claim.text)
def test_claims_name_rows_and_columns_that_are_there(claim):
    for label in filter(None, (claim.better, claim.worse)):
        assert claim.study.scores([], label)[claim.head] == {}


def test_claims_are_of_the_regime_that_they_stand_under():
    assert [regime for regime, _ in CLAIMS] == list(REGIMES)
    for regime, claims in CLAIMS:
        assert {getattr(claim.study, "regime", FIGURE_2.joint.regime) for claim in claims} == {regime}
    assert TABLE_1.published(TABLE_1.rows[0].label, SEEN) == pytest.approx((76.3 + 35.4 + 86.6 + 83.1) / 4)


def test_figure_2_is_the_difference_of_the_papers_tables():
    assert FIGURE_2.published(FLIX, "SP") == pytest.approx(45.6 - 45.0)
    assert FIGURE_2.published(FLIX, "QA-cross") is None
