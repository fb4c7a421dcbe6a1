"""Bank surgery: banks joined, features dropped or renamed. No factor changes, and nothing is trained."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import torch

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.features import Feature, FeatureSpace
from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.data.cells import DATASET, JOIN, Cell


def joined(banks: Sequence[Bank]) -> Bank:
    """One bank with the features of several of the same backbone.

    Raises:
        FlixError: other backbones, modules, widths, scalings or axes; a feature or a task that two banks have and that
            differs between them.
    """
    first = banks[0]
    for number, bank in enumerate(banks[1:], 2):
        for what in ("backbone", "scaling", "axes"):
            one, other = getattr(first, what), getattr(bank, what)
            if one != other:
                raise FlixError(f"banks: the first has {what} {one!r}, number {number} {other!r}; they must agree.")
        shapes = [{name: factor.shape[1:] for name, factor in one.factors.items()} for one in (first, bank)]
        if shapes[0] != shapes[1]:
            odd = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))[0][0]
            raise FlixError(f"banks: the first and number {number} adapt other modules or widths, first in {odd!r}.")
        for name in first.tasks.keys() & bank.tasks.keys():
            if first.tasks[name] != bank.tasks[name]:
                raise FlixError(f"banks: task {name!r} has another prompt, target or limit in bank number {number}.")
        first = _two(first, bank, number)
    return first


def dropped(bank: Bank, features: Collection[Feature]) -> Bank:
    """The bank without some features, the cells that they were trained on, and tasks whose feature is gone.

    Raises:
        FlixError: a feature that it has not, or none would be left.
    """
    for feature in features:
        if feature not in bank.ranks:
            raise unknown("feature", feature, bank.ranks)
    kept = [feature for feature in bank.ranks if feature not in features]
    if not kept:
        raise FlixError("bank: dropping these leaves no feature.")
    gone = {feature.value for feature in features if feature.axis == "task"}
    return replace(
        _selected(bank, kept),
        cells=tuple(c for c in bank.cells if not any(f.value in c.values(f.axis) for f in features)),
        tasks={name: task for name, task in bank.tasks.items() if not gone & set(name.split(JOIN))},
    )


def renamed(bank: Bank, names: Mapping[Feature, str]) -> Bank:
    """The bank with other values for some features; their cells, tasks and features of datasets follow.

    Raises:
        FlixError: a feature that the bank has not, or a name that another feature has.
    """
    for feature in names:
        if feature not in bank.ranks:
            raise unknown("feature", feature, bank.ranks)
        if feature.axis == DATASET:
            raise FlixError(f"bank: {feature} is named by its task and language; rename these.")

    def value(axis: str, joined_value: str) -> str:
        return JOIN.join(names.get(Feature(axis, part), part) for part in joined_value.split(JOIN))

    cells = {cell: _renamed_cell(cell, value) for cell in bank.cells}
    datasets = {cell.features()[DATASET]: new.features()[DATASET] for cell, new in cells.items()}

    def feature_name(feature: Feature) -> Feature:
        new = datasets.get(feature.value, feature.value) if feature.axis == DATASET else value(*_pair(feature))
        return Feature(feature.axis, new)

    ranks: dict[Feature, int] = {}
    for feature, rank in bank.ranks.items():
        new = feature_name(feature)
        if new in ranks:
            raise FlixError(f"bank: two features would be named {new}.")
        ranks[new] = rank
    tasks = {new: replace(task, name=new) for task in bank.tasks.values() for new in [value("task", task.name)]}
    return _sorted(replace(bank, ranks=ranks, cells=tuple(cells.values()), tasks=tasks))


def _pair(feature: Feature) -> tuple[str, str]:
    return feature.axis, feature.value


def _renamed_cell(cell: Cell, value: Callable[[str, str], str]) -> Cell:
    attributes = tuple((axis, value(axis, old)) for axis, old in cell.attributes)
    return Cell(value("task", cell.task), value("language", cell.language), attributes)


def _two(one: Bank, other: Bank, number: int) -> Bank:
    """One bank of two that agree in all but their features."""
    for feature in one.ranks.keys() & other.ranks.keys():
        twice = [_selected(bank, [feature]).factors for bank in (one, other)]
        if not all(torch.equal(factor, twice[1][name]) for name, factor in twice[0].items()):
            raise FlixError(f"banks: {feature} differs in bank number {number}; drop or rename it in one of the two.")
    added = _selected(other, [feature for feature in other.ranks if feature not in one.ranks])
    return _sorted(
        replace(
            one,
            ranks={**one.ranks, **added.ranks},
            factors={name: torch.cat([factor, added.factors[name]]) for name, factor in one.factors.items()},
            cells=tuple(dict.fromkeys(one.cells + other.cells)),
            tasks={**one.tasks, **other.tasks},
        )
    )


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
