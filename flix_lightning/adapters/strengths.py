"""Strengths: how strongly each feature serves an example, and which known features replace another.

    W(x) = W0 + sum_i s_i f_i(x) A_i B_i

Training has s = 1. At inference a feature can be left out (0), weakened, or replaced by others of its axis, each with a
weight of its own. Serving, evaluation and export share one notation:

    language: 0.5                                every language's feature at half strength
    language: {sw: 0.5}                          that of one language
    language: {xx: {sw: 0.7, zu: 0.3}}           two languages in place of a third, known or not
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flix_lightning.adapters.features import Feature
from flix_lightning.common.errors import FlixError, unknown

StandIns = Mapping[Feature, Mapping[Feature, float]]  # feature -> known ones in its place, with weights
Weights = tuple[tuple[Feature, float], ...]  # of the known features that serve one


@dataclass(frozen=True)
class Strengths:
    """What differs from serving every known feature with strength 1.

    Attributes:
        axes: (axis, factor of its features) pairs; 1 for other axes.
        features: (feature, what serves it) pairs; the axis's factor does not apply to these weights.
    """

    axes: tuple[tuple[str, float], ...] = ()
    features: tuple[tuple[Feature, Weights], ...] = ()

    @staticmethod
    def of(given: "Strengths | Mapping[str, Any] | None", place: str = "strengths") -> "Strengths":
        """From plain values as `parse` reads them; None for none."""
        return given if isinstance(given, Strengths) else Strengths.parse(given or {}, place)

    @staticmethod
    def parse(section: Mapping[str, Any], place: str = "strengths") -> "Strengths":
        """From plain values, as in the head of this file.

        Args:
            place: where they were written, for messages.

        Raises:
            FlixError: something that is neither a finite number nor a mapping of values.
        """
        axes, features = [], []
        for axis, entry in _items(section, place):
            if not isinstance(entry, Mapping):
                axes.append((axis, _number(entry, f"{place}.{axis}")))
                continue
            for value, inner in _items(entry, f"{place}.{axis}"):
                feature = Feature(axis, value)
                inner = inner if isinstance(inner, Mapping) else {value: inner}
                weights = tuple(
                    (Feature(axis, name), _number(weight, f"{place}.{axis}.{value}"))
                    for name, weight in _items(inner, f"{place}.{axis}.{value}")
                )
                features.append((feature, weights))
        return Strengths(tuple(axes), tuple(features))

    def check(self, axes: Collection[str], known: Collection[Feature]) -> None:
        """
        Raises:
            FlixError: an axis that is none of `axes`, or a feature to serve that is none of the `known` ones.
        """
        named = [axis for axis, _ in self.axes] + [feature.axis for feature, _ in self.features]
        for axis in named:
            if axis not in axes:
                raise unknown("axis of strengths", axis, axes)
        for replaced, weights in self.features:
            for feature, _ in weights:
                if feature not in known or feature.axis != replaced.axis:
                    raise unknown(f"feature in the place of {replaced}", feature, _of_axis(known, replaced.axis))

    def serving(self, feature: Feature, by_default: Mapping[Feature, float]) -> dict[Feature, float]:
        """Known features and weights that serve `feature`; `by_default` says what would with strength 1."""
        named = dict(self.features).get(feature)
        if named is not None:
            return {serving: weight for serving, weight in named if weight}
        factor = dict(self.axes).get(feature.axis, 1.0)
        return {serving: factor * weight for serving, weight in by_default.items() if factor * weight}

    def with_stand_ins(self, stand_ins: StandIns) -> "Strengths":
        """These strengths, with known features in the place of others that are not named here."""
        factors, named = dict(self.axes), dict(self.features)
        more = tuple(
            (feature, tuple((serving, factors.get(feature.axis, 1.0) * weight) for serving, weight in known.items()))
            for feature, known in stand_ins.items()
            if feature not in named
        )
        return Strengths(self.axes, self.features + more)

    def __str__(self) -> str:
        """In one word, the same for any order: `language=0.5`, `language.sw=0.5`, `language.xx=0.7sw+0.3rw`."""
        words = [f"{axis}={factor:.12g}" for axis, factor in self.axes]
        for feature, weights in self.features:
            parts = [f"{weight:.12g}" + ("" if f == feature else f.value) for f, weight in weights]
            words.append(f"{feature.axis}.{feature.value}={'+'.join(sorted(parts)) or 0}")
        return ",".join(sorted(words))

    def plain(self) -> dict[str, Any]:
        """As `parse` reads them."""
        section: dict[str, Any] = dict(self.axes)
        for feature, weights in self.features:
            axis = section.setdefault(feature.axis, {})
            if not isinstance(axis, dict):
                raise FlixError(f"strengths.{feature.axis}: either one number, or numbers of single values; got both.")
            axis[feature.value] = {serving.value: weight for serving, weight in weights}
        return section


WHOLE = Strengths()  # every known feature with strength 1


def _of_axis(features: Iterable[Feature], axis: str) -> list[Feature]:
    return [feature for feature in features if feature.axis == axis]


def _items(section: Any, place: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(section, Mapping):
        raise FlixError(f"{place}: axis -> strength, or axis -> value -> strength; got {section!r}.")
    for key, value in section.items():
        if not isinstance(key, str) or not key:
            raise FlixError(f"{place}: names are text; got {key!r}. Quote it where YAML reads another type.")
        yield key, value


def _number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FlixError(f"{place}: a finite number; got {value!r}.")
    return float(value)
