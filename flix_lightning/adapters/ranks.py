"""How much rank each feature gets, and the rank of a LoRA that is matched to such an allocation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flix_lightning.adapters.features import Feature, FeatureSpace, Featurizer
from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import Count, check
from flix_lightning.data.cells import Cell


@dataclass(frozen=True)
class RankAllocation:
    """Feature -> rank: one rank for each axis, with overrides for single features.

    Args:
        by_axis: axis -> rank.
        overrides: `axis=value` -> rank.

    Raises:
        FlixError: a rank that is not a whole number in [1, 2^31).
    """

    by_axis: Mapping[str, int]
    overrides: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check("rank", Mapping[str, Count], {**self.by_axis, **self.overrides})
        for name in self.overrides:
            Feature.parse(name)

    def __getitem__(self, feature: Feature) -> int:
        """The rank of `feature`.

        Raises:
            FlixError: no rank is set for its axis.
        """
        if str(feature) in self.overrides:
            return self.overrides[str(feature)]
        if feature.axis not in self.by_axis:
            raise unknown("axis without a rank: rank has no", feature.axis, self.by_axis)
        return self.by_axis[feature.axis]

    def check(self, space: FeatureSpace) -> None:
        """Every override names a feature of `space`.

        Raises:
            FlixError: an override for an unknown feature.
        """
        for name in self.overrides:
            feature = Feature.parse(name)
            if feature.axis not in self.by_axis:
                raise unknown(f"axis in rank.overrides.{name}:", feature.axis, self.by_axis)
            if feature.axis in space.axes():
                space.index(feature)


def total_rank(allocation: RankAllocation, features: Iterable[Feature]) -> int:
    """The sum of the features' ranks."""
    return sum(allocation[feature] for feature in features)


def compute_matched_rank(allocation: RankAllocation, featurizer: Featurizer, cells: Sequence[Cell]) -> int:
    """The rank of a LoRA with FLix's compute: the largest sum of active ranks over `cells` (FLix, sec. 4)."""
    if not cells:
        raise FlixError("a matched rank needs at least one training cell; there is none.")
    return max(total_rank(allocation, featurizer(cell)) for cell in cells)


def param_matched_rank(allocation: RankAllocation, featurizer: Featurizer, cells: Sequence[Cell]) -> int:
    """The rank of a LoRA with FLix's trainable parameters: the sum of all feature ranks (FLix, sec. 4)."""
    if not cells:
        raise FlixError("a matched rank needs at least one training cell; there is none.")
    return total_rank(allocation, FeatureSpace.of(cells, featurizer))
