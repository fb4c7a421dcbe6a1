"""Tests of mixtures: sampling probabilities against values worked out by hand, the rules that choose cells, groups."""

import math
import re

import numpy as np
import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.data.mixture import Mixture, in_order, sampling_probabilities

CELLS = [Cell(task, language) for task in ("ner", "parse", "qa") for language in ("am", "bn", "sw", "yo")]
SIZES = [100, 400, 900]


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({}, [1 / 14, 4 / 14, 9 / 14]),
        ({"temperature": 2}, [10 / 60, 20 / 60, 30 / 60]),  # the square roots
        ({"temperature": 0.5}, [1 / 98, 16 / 98, 81 / 98]),  # below 1 the large grow larger
        ({"cap": 400}, [1 / 9, 4 / 9, 4 / 9]),
        ({"cap": 400, "temperature": 2}, [0.2, 0.4, 0.4]),  # 10, 20, 20
        ({"cap": 10_000}, [1 / 14, 4 / 14, 9 / 14]),
        ({"scale": 3}, [1 / 14, 4 / 14, 9 / 14]),  # without a cap a scale changes nothing
        ({"scale": 2, "cap": 400}, [0.2, 0.4, 0.4]),  # 200, 400, 400
        # Scale, then cap, then temperature: 25, 100, 225 -> 25, 100, 100 -> 5, 10, 10.
        # Cap before scale would give thirds; temperature before cap 5, 10, 15.
        ({"scale": 0.25, "cap": 100, "temperature": 2}, [0.2, 0.4, 0.4]),
        ({"temperature": math.inf}, [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_probabilities_by_hand(settings, expected):
    np.testing.assert_allclose(sampling_probabilities(SIZES, **settings), expected, rtol=1e-12)


def test_a_high_temperature_is_nearly_uniform_and_large_sizes_do_not_overflow():
    np.testing.assert_allclose(sampling_probabilities(SIZES, 1e9), 1 / 3, rtol=1e-8)
    np.testing.assert_allclose(sampling_probabilities([10**12, 3 * 10**12], 0.01), [3.0**-100, 1], rtol=1e-9)


def test_the_largest_share_falls_as_the_temperature_rises():
    shares = [sampling_probabilities(SIZES, temperature)[-1] for temperature in (0.5, 1, 2, 4, 100)]
    assert shares == sorted(shares, reverse=True) and len(set(shares)) == 5


@pytest.mark.parametrize("name", ["temperature", "cap", "scale"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_impossible_settings_are_refused_and_named(name, value):
    with pytest.raises(FlixError, match=f"mixture.mixing.{name}.*above 0") as caught:
        sampling_probabilities(SIZES, **{name: value})
    assert repr(value) in str(caught.value)


def names(cells) -> set[str]:
    return set(map(str, cells))


def test_everything_trains_unless_told_otherwise():
    mixture = Mixture.select(CELLS)
    assert mixture.train == tuple(CELLS) and mixture.zero_shot == () and mixture.cells == tuple(CELLS)


def test_tasks_and_languages_choose_the_study():
    assert names(Mixture.select(CELLS, tasks="qa", languages=["sw", "am"]).cells) == {"qa/sw", "qa/am"}
    assert names(Mixture.select(CELLS, tasks=["qa", "ner"], languages="yo").train) == {"qa/yo", "ner/yo"}


def test_a_restricted_task_leaves_its_other_cells_zero_shot():
    mixture = Mixture.select(CELLS, tasks=["qa", "ner"], train={"qa": ["sw", "bn"]})
    assert names(mixture.train) == {"qa/sw", "qa/bn", "ner/am", "ner/bn", "ner/sw", "ner/yo"}
    assert names(mixture.zero_shot) == {"qa/am", "qa/yo"}
    assert mixture.cells == mixture.train + mixture.zero_shot


def test_a_rule_for_a_task_outside_the_study_changes_nothing():
    assert Mixture.select(CELLS, tasks="ner", train={"qa": ["sw"]}) == Mixture.select(CELLS, tasks="ner")


def test_groups_are_four_different_cases():
    cells = [*CELLS, Cell("qa", "te")]
    mixture = Mixture.select(cells, train={"qa": ["sw"], "ner": []})
    grouped = {str(cell): mixture.group(cell) for cell in mixture.cells}
    assert grouped == {
        **{f"parse/{language}": "seen" for language in ("am", "bn", "sw", "yo")},
        "qa/sw": "seen",
        **{f"qa/{language}": "unseen combination" for language in ("am", "bn", "yo")},
        **{f"ner/{language}": "unseen task" for language in ("am", "bn", "sw", "yo")},
        "qa/te": "unseen language",
    }
    assert mixture.group(Cell("summary", "fr")) == "unseen language"  # neither is known: the language decides


def test_a_composite_task_is_an_unseen_combination_once_its_parts_are_trained():
    mixture = Mixture((Cell("ner", "sw"), Cell("qa+parse", "sw")))
    assert mixture.group(Cell("qa+parse", "sw")) == "seen"
    assert mixture.group(Cell("qa+ner", "sw")) == "unseen combination"
    assert mixture.group(Cell("qa", "sw")) == "unseen combination"
    assert mixture.group(Cell("qa+translation", "sw")) == "unseen task"
    assert mixture.group(Cell("qa+ner", "sw+yo")) == "unseen language"


def test_attributes_of_cells_stay_with_them():
    cell = Cell("qa", "sw", (("family", "bantu"),))
    assert Mixture.select([cell, *CELLS[:2]], tasks="qa", train={"qa": ["sw"]}).train == (cell,)


@pytest.mark.parametrize(
    "arguments, place, wrong, hint",
    [
        ({"tasks": "nerr"}, "mixture.tasks", "nerr", "ner"),
        ({"tasks": ["qa", "parsee"]}, "mixture.tasks", "parsee", "parse"),
        ({"languages": ["swa"]}, "mixture.languages", "swa", "sw"),
        ({"train": {"parser": ["sw"]}}, "mixture.train: task", "parser", "parse"),
        ({"train": {"qa": ["sww"]}}, "mixture.train.qa: language", "sww", "sw"),
    ],
)
def test_an_unknown_name_is_refused_with_its_place_and_the_nearest_one(arguments, place, wrong, hint):
    with pytest.raises(FlixError) as caught:
        Mixture.select(CELLS, **arguments)
    assert f"unknown {place} {wrong!r}" in str(caught.value) and f"did you mean {hint!r}?" in str(caught.value)


def test_a_language_of_another_task_is_no_language_of_this_one():
    with pytest.raises(FlixError, match="mixture.train.qa: language 'te'"):
        Mixture.select([*CELLS, Cell("ner", "te")], train={"qa": ["te"]})


@pytest.mark.parametrize("arguments", [{"tasks": "qa", "train": {"qa": []}}, {"tasks": []}, {"languages": []}])
def test_a_mixture_that_trains_nothing_is_refused(arguments):
    with pytest.raises(FlixError, match="no cell .* left to train"):
        Mixture.select(CELLS, **arguments)


def domains(*cells: str) -> list[Cell]:
    """`qa/sw/news` -> the cell with that domain, `qa/sw` -> the cell without one."""
    parts = [name.split("/") for name in cells]
    return [Cell(task, language, tuple(("domain", d) for d in rest)) for task, language, *rest in parts]


OTHER_AXES = domains("qa/sw/news", "qa/sw/law", "qa/am/news", "ner/sw/law", "ner/am/web", "parse/yo")


def test_any_axis_chooses_the_study():
    chosen = Mixture.select(OTHER_AXES, where={"domain": ["news", "web"]})
    assert names(chosen.train) == {"qa/sw/domain=news", "qa/am/domain=news", "ner/am/domain=web"}
    chosen = Mixture.select(OTHER_AXES, where={"domain": "law", "task": ["qa"]})
    assert names(chosen.cells) == {"qa/sw/domain=law"}


def test_a_rule_over_any_axes_holds_cells_out():
    mixture = Mixture.select(OTHER_AXES, held_out=[{"task": "qa", "domain": "law"}, {"domain": ["web"]}])
    assert names(mixture.zero_shot) == {"qa/sw/domain=law", "ner/am/domain=web"}
    groups = {str(cell): mixture.group(cell) for cell in mixture.zero_shot}
    assert groups == {"qa/sw/domain=law": "unseen combination", "ner/am/domain=web": "unseen domain"}


def test_groups_stand_in_one_order():
    groups = ["unseen script", "unseen task", "unseen domain", "seen", "unseen language", "seen", "unseen combination"]
    assert in_order(groups) == [
        "seen", "unseen combination", "unseen language", "unseen task", "unseen domain", "unseen script"
    ]  # fmt: skip


def test_languages_may_differ_from_task_to_task():
    mixture = Mixture.select(CELLS, languages={"qa": ["sw"]}, train={"ner": ["am"]})
    assert {c.language for c in mixture.cells if c.task == "qa"} == {"sw"}
    assert names(c for c in mixture.zero_shot) == {"ner/bn", "ner/sw", "ner/yo"}
    assert {c.language for c in mixture.train if c.task == "parse"} == {"am", "bn", "sw", "yo"}


def test_cells_without_training_rows_are_zero_shot_and_cannot_be_asked_to_train():
    able = [cell for cell in CELLS if str(cell) != "qa/sw"]
    assert names(Mixture.select(CELLS, trainable=able).zero_shot) == {"qa/sw"}
    with pytest.raises(FlixError, match="mixture.train.qa: sw has no training rows"):
        Mixture.select(CELLS, train={"qa": ["sw"]}, trainable=able)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"where": {"domian": "news"}}, "mixture.where: axis 'domian'; did you mean 'domain'?"),
        ({"where": {"domain": "newz"}}, "mixture.where.domain 'newz'; did you mean 'news'?"),
        ({"held_out": [{"domain": "news"}, {"taks": "qa"}]}, "mixture.held_out.1: axis 'taks'; did you mean 'task'?"),
        ({"languages": {"qaa": ["sw"]}}, "mixture.languages: task 'qaa'; did you mean 'qa'?"),
        ({"languages": {"qa": ["yo"]}}, "mixture.languages.qa: language 'yo'"),
    ],
)
def test_a_wrong_name_in_a_rule_over_axes_is_told(arguments, message):
    with pytest.raises(FlixError, match=re.escape(message)):
        Mixture.select(OTHER_AXES, **arguments)
