"""Cells: the examples of one task in one language, and the values that they have on every axis."""

from collections.abc import Mapping
from dataclasses import dataclass

from flix_lightning.common.errors import FlixError

SHARED = "shared"  # the axis with one value, active for every cell
DATASET = "dataset"  # the axis with a value of its own for every (task, language) pair
RESERVED = ("task", "language", SHARED, DATASET)
JOIN = "+"  # between the values of an axis that a cell has several of: task=qa+translation


@dataclass(frozen=True, order=True)
class Cell:
    """Examples of one (task, language) pair that share any further attributes, (axis, value) pairs.

    A value may join several, as in the composite task `qa+translation`: the cell then has a feature for each.
    """

    task: str
    language: str
    attributes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for axis, _ in self.attributes:
            if axis in RESERVED:
                raise FlixError(f"cell {self}: an attribute cannot be named {axis!r}; that axis has its own meaning.")
        for axis, value in {"task": self.task, "language": self.language, **dict(self.attributes)}.items():
            parts = value.split(JOIN)
            if "" in parts or len(set(parts)) < len(parts):
                raise FlixError(f"cell {self}: {axis} {value!r} joins by {JOIN!r}; no part is empty or twice.")

    def __str__(self) -> str:
        return "/".join([self.task, self.language, *(f"{axis}={value}" for axis, value in self.attributes)])

    def features(self) -> Mapping[str, str]:
        """Every axis of the cell with its value."""
        pair = f"{self.task}/{self.language}"
        own = {"task": self.task, "language": self.language, SHARED: "all", DATASET: pair}
        return {**own, **dict(self.attributes)}

    def values(self, axis: str) -> tuple[str, ...]:
        """The values that the cell has on an axis, none or one or several joined; a dataset is always one."""
        value = self.features().get(axis)
        if value is None:
            return ()
        return (value,) if axis == DATASET else tuple(value.split(JOIN))
