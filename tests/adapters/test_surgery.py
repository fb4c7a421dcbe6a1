"""Banks cut up and put together: every feature keeps its factors bit for bit, and what does not fit is refused."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.features import Feature
from flix_lightning.adapters.surgery import dropped, joined, renamed
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from tests.adapters.test_bank import TASKS, toy_bank
from tests.toy import CELLS

BANK = replace(toy_bank(), cells=tuple(CELLS))
NAMES = st.sets(st.sampled_from(list(BANK.ranks)), min_size=1, max_size=len(BANK.ranks) - 1)


def by_feature(bank: Bank) -> dict[Feature, list[torch.Tensor]]:
    return {f: [factor[list(rows)] for factor in bank.factors.values()] for f, rows in bank.rows().items()}


def same(one: Bank, other: Bank) -> bool:
    """Whether two banks are equal in all, the order of cells apart."""
    parts_of = [
        {**vars(bank), "factors": None, "cells": set(bank.cells), "ranks": list(bank.ranks)} for bank in (one, other)
    ]
    return parts_of[0] == parts_of[1] and all(torch.equal(f, other.factors[name]) for name, f in one.factors.items())


@given(NAMES)
def test_what_is_dropped_is_gone_and_the_rest_is_bit_for_bit_there(features):
    left = dropped(BANK, features)
    before, after = by_feature(BANK), by_feature(left)
    assert after.keys() == before.keys() - features
    assert all(torch.equal(a, b) for f, factors in after.items() for a, b in zip(factors, before[f], strict=True))
    gone = {str(f) for f in features}
    assert set(left.cells) == {c for c in CELLS if not {f"task={c.task}", f"language={c.language}"} & gone}
    assert left.tasks.keys() == {name for name in TASKS if f"task={name}" not in gone}


@given(NAMES)
def test_two_parts_joined_are_the_whole(features):
    parts = dropped(BANK, features), dropped(BANK, set(BANK.ranks) - features)
    for order in (parts, parts[::-1]):
        whole = joined(order)
        assert list(whole.ranks) == list(BANK.ranks)
        assert all(torch.equal(whole.factors[name], factor) for name, factor in BANK.factors.items())
        assert whole.tasks == BANK.tasks


@given(st.permutations(["am", "bn", "sw", "yo"]))
def test_renaming_moves_names_and_not_factors(names):
    values = dict(zip(["am", "bn", "sw", "yo"], names))
    new = renamed(BANK, {Feature("language", old): value for old, value in values.items()})
    before, after = by_feature(BANK), by_feature(new)
    for feature, factors in before.items():
        value = values[feature.value] if feature.axis == "language" else feature.value
        pairs = zip(factors, after[Feature(feature.axis, value)], strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    back = renamed(new, {Feature("language", value): old for old, value in values.items()})
    assert same(back, BANK)


def test_a_task_is_renamed_in_cells_prompts_and_composite_values():
    cells = (Cell("qa", "sw"), Cell("qa+ner", "yo"))
    tasks = {**TASKS, "qa+ner": replace(TASKS["qa"], name="qa+ner")}
    new = renamed(replace(BANK, cells=cells, tasks=tasks), {Feature("task", "qa"): "question"})
    assert new.cells == (Cell("question", "sw"), Cell("question+ner", "yo"))
    assert new.tasks.keys() == {"ner", "parse", "question", "question+ner"}
    assert all(task.name == name for name, task in new.tasks.items())


def test_datasets_follow_their_task_and_language():
    bank = replace(
        BANK, axes=("dataset",), cells=(Cell("qa", "sw"), Cell("ner", "sw")),
        ranks={Feature("dataset", "ner/sw"): 9, Feature("dataset", "qa/sw"): 10},
    )  # fmt: skip
    with pytest.raises(FlixError, match="named by its task and language"):
        renamed(bank, {Feature("dataset", "qa/sw"): "x"})


def test_equal_features_of_two_banks_are_one():
    some = dropped(BANK, [Feature("language", "am")])
    assert same(joined([BANK, some]), BANK)


def changed(**values) -> Bank:
    return replace(BANK, **values)


@pytest.mark.parametrize(
    "other, message",
    [
        (changed(backbone="else"), "backbone 'llama'|backbone ''|backbone"),
        (changed(scaling=2.0), "scaling 1.0, number 2 2.0"),
        (changed(axes=("task", "family")), "axes"),
        (changed(factors={n: f[:, :-1] for n, f in BANK.factors.items()}), "other modules or widths"),
        (changed(factors={n: f + 1 for n, f in BANK.factors.items()}), "differs in bank number 2; drop or rename it"),
        (changed(tasks={"qa": replace(TASKS["qa"], prompt="{input}")}), "task 'qa' has another prompt"),
    ],
)
def test_banks_that_do_not_fit_are_refused(other, message):
    with pytest.raises(FlixError, match=message):
        joined([BANK, other])


def test_impossible_cuts_are_refused():
    with pytest.raises(FlixError, match="did you mean 'language=sw'"):
        dropped(BANK, [Feature("language", "swa")])
    with pytest.raises(FlixError, match="leaves no feature"):
        dropped(BANK, list(BANK.ranks))
    with pytest.raises(FlixError, match="two features would be named language=yo"):
        renamed(BANK, {Feature("language", "sw"): "yo"})
