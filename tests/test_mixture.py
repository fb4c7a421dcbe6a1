"""Tests of mixtures: sampling probabilities against values worked out by hand, the rules that choose cells, groups."""

import math

import numpy as np
import pytest

from flix_lightning.errors import FlixError
from flix_lightning.features import Cell
from flix_lightning.mixture import Mixture, sampling_probabilities

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
    with pytest.raises(FlixError, match=f"mixture.{name}.*above 0") as caught:
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
