"""Features, and the featurizer that says which of them are active for a cell.

A baseline is a featurizer: one always-on feature is LoRA, one feature for each dataset is per-dataset LoRA, task +
language is FLix.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import checked
from flix_lightning.data.cells import Cell


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


@checked("adapter")
@dataclass(frozen=True)
class Featurizer:
    """Cell -> its active features, in the order of `axes`; usually one for each axis.

    A cell with joined values has several on that axis, a cell without a value none.
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

    @overload
    def __getitem__(self, index: int) -> Feature: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Feature, ...]: ...

    def __getitem__(self, index: int | slice) -> Feature | tuple[Feature, ...]:
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
