"""Bank surgery: banks joined, features dropped or renamed. No factor changes, and nothing is trained."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.features import Feature, FeatureSpace
from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.data.cells import DATASET, JOIN, RESERVED, SHARED, Cell
from flix_lightning.data.prompting import Prompting


def joined(banks: Sequence[Bank]) -> Bank:
    """One bank with the features of several of the same backbone.

    Raises:
        FlixError: other backbones, modules, widths, scalings, axes or words of prompts; a feature or a task that two
            banks have and that differs between them.
    """
    first = banks[0]
    for number, bank in enumerate(banks[1:], 2):
        _check_same(
            number, "", *({name: getattr(b, name) for name in ("backbone", "scaling", "axes")} for b in (first, bank))
        )
        if first.model is not None and bank.model is not None:
            _check_same(number, "model.", first.model, bank.model)
        shapes = [{name: factor.shape[1:] for name, factor in b.factors.items()} for b in (first, bank)]
        if shapes[0] != shapes[1]:
            differing = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))[0][0]
            raise FlixError(f"banks: the first and number {number} adapt other modules or widths, as in {differing!r}.")
        for name, task in first.tasks.items():
            if bank.tasks.get(name, task) != task:
                raise FlixError(
                    f"banks: task {name!r} has another prompt, target or limit in bank number {number}; drop or rename "
                    "it in one of the two."
                )
        first = _joined_pair(first, bank, number)
    return first


def dropped(bank: Bank, features: Collection[Feature]) -> Bank:
    """The bank without some features, the cells that they were trained on, and tasks whose feature is gone.

    Raises:
        FlixError: a feature that the bank does not have, or none would be left.
    """
    for feature in features:
        if feature not in bank.ranks:
            raise unknown("feature", feature, bank.ranks)
    kept = [feature for feature in bank.ranks if feature not in features]
    if not kept:
        raise FlixError("bank: dropping these leaves no feature.")
    gone = {feature.value for feature in features if feature.axis == "task"}
    axes = {*RESERVED, *(feature.axis for feature in kept)}
    return replace(
        _selected(bank, kept),
        axes=tuple(axis for axis in bank.axes if axis in axes),
        cells=tuple(c for c in bank.cells if not any(f.value in c.values(f.axis) for f in features)),
        tasks={name: task for name, task in bank.tasks.items() if not gone & set(name.split(JOIN))},
    )


def renamed(bank: Bank, names: Mapping[Feature, str]) -> Bank:
    """The bank with other values for some features.

    Cells, tasks, features of datasets and tables of axes follow; prompts stay as they are, since a language keeps its
    words.

    Raises:
        FlixError: a feature that the bank does not have, or a name that another feature has or that cannot be one.
    """
    for feature, name in names.items():
        _check_name(bank, feature, name)

    def value(axis: str, joined_value: str) -> str:
        return JOIN.join(names.get(Feature(axis, part), part) for part in joined_value.split(JOIN))

    cells = {cell: _renamed_cell(cell, value) for cell in bank.cells}
    datasets = {cell.features()[DATASET]: new.features()[DATASET] for cell, new in cells.items()}
    ranks: dict[Feature, int] = {}
    for feature, rank in bank.ranks.items():
        given = datasets.get(feature.value, feature.value) if feature.axis == DATASET else value(*_pair(feature))
        new = Feature(feature.axis, given)
        if new in ranks:
            raise FlixError(f"bank: two features would be named {new}.")
        ranks[new] = rank
    languages = [feature.value for feature in names if feature.axis == "language"]
    tasks = [
        replace(
            task,
            name=value("task", task.name),
            scored=task.scored and tuple(value("language", language) for language in task.scored),
        )
        for task in bank.tasks.values()
    ]
    return _sorted(
        replace(
            bank,
            ranks=ranks,
            cells=tuple(cells.values()),
            tasks={task.name: task for task in tasks},
            prompting=bank.prompting and bank.prompting.renamed(value, languages),
        )
    )


def _check_name(bank: Bank, feature: Feature, name: str) -> None:
    if feature.axis == DATASET:
        raise FlixError(f"bank: {feature} is named by its task and language; rename these.")
    if feature.axis == SHARED:
        raise FlixError(f"bank: {feature} serves every cell by this name and keeps it.")
    known = {Feature(axis, v) for cell in bank.cells for axis in ("task", "language") for v in cell.values(axis)}
    if feature not in known and feature not in bank.ranks:
        raise unknown("feature", feature, bank.ranks)
    if not name or JOIN in name:
        raise FlixError(f"bank: {feature} cannot be named {name!r}; a name is not empty and has no {JOIN!r}.")


def _pair(feature: Feature) -> tuple[str, str]:
    return feature.axis, feature.value


def _renamed_cell(cell: Cell, value: Callable[[str, str], str]) -> Cell:
    attributes = tuple((axis, value(axis, old)) for axis, old in cell.attributes)
    return Cell(value("task", cell.task), value("language", cell.language), attributes)


def _check_same(number: int, place: str, first: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Refuse bank `number` where a value differs from the first bank's."""
    for key in first | other:
        if first.get(key) != other.get(key):
            values = f"{first.get(key)!r}, number {number} {other.get(key)!r}"
            raise FlixError(f"banks: the first has {place}{key} {values}; they must agree.")


def _joined_pair(first: Bank, other: Bank, number: int) -> Bank:
    """One bank of two that agree in all but their features."""
    for feature in (feature for feature in first.ranks if feature in other.ranks):
        a, b = (_selected(bank, [feature]).factors for bank in (first, other))
        if not all(torch.equal(factor, b[name]) for name, factor in a.items()):
            raise FlixError(f"banks: {feature} differs in bank number {number}; drop or rename it in one of the two.")
    added = _selected(other, [feature for feature in other.ranks if feature not in first.ranks])
    return _sorted(
        replace(
            first,
            ranks={**first.ranks, **added.ranks},
            factors={name: torch.cat([factor, added.factors[name]]) for name, factor in first.factors.items()},
            cells=tuple(dict.fromkeys(first.cells + other.cells)),
            tasks={**first.tasks, **other.tasks},
            prompting=_joined_prompting(first.prompting, other.prompting, number),
            model=first.model or other.model,
        )
    )


def _joined_prompting(first: Prompting | None, other: Prompting | None, number: int) -> Prompting | None:
    """The words of prompts of both banks."""
    if first is None or other is None:
        if first is not other:
            raise FlixError(
                f"banks: the first or number {number} was written by an earlier version (format 1) and does not say in "
                "what words languages stood in prompts. Train its run again."
            )
        return None
    _check_same(number, "", {"max_prompt_tokens": first.max_tokens}, {"max_prompt_tokens": other.max_tokens})
    for name in ("words", "fields", "tables"):
        one, two = getattr(first, name), getattr(other, name)
        both = [key for key in one if key in two]
        _check_same(number, f"{name}.", {key: one[key] for key in both}, {key: two[key] for key in both})
    return first.after(other)


def _selected(bank: Bank, features: Sequence[Feature]) -> Bank:
    """The factors of `features`, in this order."""
    rows = bank.rows()
    places = [row for feature in features for row in rows[feature]]
    factors = {name: factor[places] for name, factor in bank.factors.items()}
    return replace(bank, factors=factors, ranks={feature: bank.ranks[feature] for feature in features})


def _sorted(bank: Bank) -> Bank:
    """The same bank in the order of a feature space: axis by axis, values in alphabetical order."""
    by_axis = sorted(bank.ranks, key=lambda feature: bank.axes.index(feature.axis))
    return _selected(bank, list(FeatureSpace(by_axis)))
