"""Cells, their features, and the featurizer that says which features of a cell are active.

A baseline is a featurizer: one always-on feature is LoRA, one feature a dataset is per-dataset LoRA, task + language
is FLix.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flix_lightning.errors import FlixError, unknown

SHARED = "shared"  # the axis with one value, active for every cell
DATASET = "dataset"  # the axis with a value of its own for every (task, language) pair
RESERVED = ("task", "language", SHARED, DATASET)
JOIN = "+"  # between the values of an axis that a cell has several of: task=qa+translation


@dataclass(frozen=True, order=True)
class Feature:
    """One value of one axis, written `axis=value`."""

    axis: str
    value: str

    def __str__(self) -> str:
        return f"{self.axis}={self.value}"

    @staticmethod
    def parse(text: str) -> "Feature":
        """The feature written as `text`.

        Raises:
            FlixError: `text` is not of the form `axis=value`.
        """
        axis, equals, value = text.partition("=")
        if not (axis and equals and value):
            raise FlixError(f"a feature is written axis=value, e.g. language=sw; got {text!r}.")
        return Feature(axis, value)


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


@dataclass(frozen=True)
class Featurizer:
    """Cell -> its active features, in the order of `axes`; usually one an axis.

    A cell that joins values has more, one that has no value on an axis none.
    """

    axes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.axes or len(set(self.axes)) < len(self.axes):
            raise FlixError(f"adapter.axes: at least one axis, none twice; got {list(self.axes)}.")

    def __call__(self, cell: Cell) -> tuple[Feature, ...]:
        """The features of `cell`."""
        return tuple(Feature(axis, value) for axis in self.axes for value in cell.values(axis))


class FeatureSpace(Sequence[Feature]):
    """The ordered vocabulary of known features: axis by axis, values in alphabetical order."""

    def __init__(self, features: Iterable[Feature]) -> None:
        features = list(features)
        axes = list(dict.fromkeys(feature.axis for feature in features))
        self._features = tuple(sorted(set(features), key=lambda f: (axes.index(f.axis), f.value)))
        self._index = {feature: i for i, feature in enumerate(self._features)}

    @staticmethod
    def of(cells: Iterable[Cell], featurizer: Featurizer) -> "FeatureSpace":
        """The features that `cells` activate.

        Raises:
            FlixError: an axis that none of the cells has a value on.
        """
        cells = list(cells)
        known = {axis for cell in cells for axis in cell.features()}
        for axis in featurizer.axes:
            if axis not in known:
                raise unknown("feature axis", axis, known)
        features = (feature for cell in cells for feature in featurizer(cell))
        return FeatureSpace(sorted(features, key=lambda feature: featurizer.axes.index(feature.axis)))

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, index):
        return self._features[index]

    def __contains__(self, feature: object) -> bool:
        return feature in self._index

    def index(self, feature: Feature) -> int:  # type: ignore[override]
        """The place of `feature`.

        Raises:
            FlixError: the feature is not known.
        """
        if feature not in self._index:
            raise unknown("feature", feature, self._features)
        return self._index[feature]

    def axes(self) -> tuple[str, ...]:
        """The axes in order."""
        return tuple(dict.fromkeys(feature.axis for feature in self._features))
