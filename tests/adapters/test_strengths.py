"""Strengths at inference: features left out, weakened and replaced, against compositions laid out by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flix_lightning.adapters.features import Feature
from flix_lightning.adapters.injection import featurized_linears
from flix_lightning.adapters.strengths import WHOLE, Strengths
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from tests.reference import flix_linear, rank_rows
from tests.toy import CELLS, RANKS, toy_composer, toy_flix

NUMBERS = st.floats(-2, 2, allow_nan=False)


def weights(section: dict, cell: Cell) -> dict[str, float]:
    """Known feature -> its weight for `cell`."""
    composer = toy_composer().with_strengths(Strengths.parse(section))
    return {str(serving): weight for _, serving, weight in composer.serving(cell)}


@pytest.mark.parametrize(
    "section, cell, expected",
    [
        ({}, "qa/sw", {"task=qa": 1, "language=sw": 1}),
        ({"language": 0.5}, "qa/sw", {"task=qa": 1, "language=sw": 0.5}),
        ({"language": 0}, "qa/sw", {"task=qa": 1}),
        ({"language": {"sw": 0.25}}, "qa/sw", {"task=qa": 1, "language=sw": 0.25}),
        ({"language": {"sw": 0.25}}, "qa/yo", {"task=qa": 1, "language=yo": 1}),
        ({"language": {"xx": {"sw": 0.7, "yo": 0.3}}}, "qa/xx", {"task=qa": 1, "language=sw": 0.7, "language=yo": 0.3}),
        ({"language": {"sw": {"yo": 1}}, "task": 2}, "qa/sw", {"task=qa": 2, "language=yo": 1}),
        ({"language": 0.5}, "qa/xx", {"task=qa": 1}),
    ],
)
def test_strengths_by_hand(section, cell, expected):
    assert weights(section, Cell(*cell.split("/"))) == expected
    assert Strengths.parse(Strengths.parse(section).plain()) == Strengths.parse(section)


@given(st.fixed_dictionaries({"task": NUMBERS, "language": NUMBERS}), st.sampled_from(CELLS))
def test_a_factor_multiplies_what_serves(section, cell):
    found = weights(section, cell)
    whole = {f"task={cell.task}": section["task"], f"language={cell.language}": section["language"]}
    assert found == {name: weight for name, weight in whole.items() if weight}


def test_an_axis_factor_reaches_stand_ins_and_named_weights_hold():
    new, known = Feature("language", "gu"), Feature("language", "bn")
    composer = toy_composer().with_strengths(Strengths.parse({"language": 0.5})).with_stand_ins({new: {known: 0.8}})
    assert [(str(f), w) for _, f, w in composer.serving(Cell("qa", "gu"))] == [("task=qa", 1.0), ("language=bn", 0.4)]
    named = Strengths.parse({"language": {"gu": {"bn": 0.9}}})
    composer = toy_composer().with_strengths(named).with_stand_ins({new: {known: 0.8}})
    assert [w for _, _, w in composer.serving(Cell("qa", "gu"))] == [1.0, 0.9]


@pytest.mark.parametrize("path", ["wide", "gathered"])
def test_the_model_computes_what_the_strengths_say(path):
    backbone, active, composer = toy_flix("llama", path)
    cells = [Cell("qa", "sw"), Cell("ner", "yo"), Cell("parse", "xx")]
    composer = composer.with_strengths(Strengths.parse({"language": {"sw": 0.5, "xx": {"am": 0.3}}, "task": 0.7}))
    active.set(composer.compose(cells))
    by_hand = [
        {"task=qa": 0.7, "language=sw": 0.5},
        {"task=ner": 0.7, "language=yo": 1.0},
        {"task=parse": 0.7, "language=am": 0.3},
    ]
    bank = next(iter(featurized_linears(backbone).values()))
    x = torch.randn(3, 4, bank.in_features, generator=torch.Generator().manual_seed(0))
    expected = flix_linear(x, bank.weight, bank.bias, bank.lora_a, bank.lora_b, rank_rows(RANKS), by_hand)
    torch.testing.assert_close(bank(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "section, message",
    [
        ({"langauge": 0.5}, "axis of strengths 'langauge'; did you mean 'language'"),
        ({"language": {"sw": {"xx": 1}}}, "in the place of language=sw 'language=xx'"),
        ({"language": {"xx": 0.5}}, "in the place of language=xx"),
        ({"language": "half"}, r"strengths.language: a finite number; got 'half'"),
        ({"language": {"sw": float("nan")}}, r"strengths.language.sw: a finite number; got nan"),
        ({"language": {False: 1}}, "names are text; got False. Quote it"),
        (0.5, "axis -> strength"),
    ],
)
def test_bad_strengths_are_told(section, message):
    with pytest.raises(FlixError, match=message):
        toy_composer().with_strengths(Strengths.parse(section))


def test_whole_is_what_nothing_said_gives():
    assert Strengths.parse({}) == WHOLE
