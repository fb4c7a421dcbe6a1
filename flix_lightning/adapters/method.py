"""How the methods differ: in their feature axes and in the source of their ranks. All else is shared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.features import FeatureSpace, Featurizer
from flix_lightning.adapters.injection import ALL_LINEAR
from flix_lightning.adapters.ranks import RankAllocation, compute_matched_rank, param_matched_rank
from flix_lightning.common.errors import unknown
from flix_lightning.common.settings import Positive, checked
from flix_lightning.data.cells import Cell

MATCHED_RANKS = {"compute": compute_matched_rank, "param": param_matched_rank}


@checked("adapter")
@dataclass(frozen=True)
class Method:
    """FLix or one of its baselines.

    Args:
        axes: the axes whose features are active: [task, language] is FLix, [shared] LoRA, [dataset] a LoRA for each.
        budget: `allocation` takes each axis's rank from `rank`; `compute` and `param` give every feature the rank of a
            LoRA matched to what FLix over `matched_axes` has by that allocation.
        matched_axes: FLix's axes, for the matched budgets.
        dropout_axes: the axes that feature dropout may switch off.
        target_modules, scaling: see `inject`.

    Raises:
        FlixError: a setting out of its range.
    """

    axes: tuple[str, ...]
    budget: Literal["allocation", "compute", "param"] = "allocation"
    matched_axes: tuple[str, ...] = ("task", "language")
    dropout_axes: tuple[str, ...] = ()
    target_modules: str | tuple[str, ...] = ALL_LINEAR
    scaling: Positive = 1.0

    def __post_init__(self) -> None:
        for axis in self.dropout_axes:
            if axis not in self.axes:
                raise unknown("adapter.dropout_axes", axis, self.axes)

    def composer(self, cells: Sequence[Cell], allocation: RankAllocation) -> Composer:
        """The composer for a model trained on `cells`.

        Raises:
            FlixError: an axis that no cell has a value on, or one without a rank.
        """
        featurizer = Featurizer(self.axes)
        if self.budget != "allocation":
            rank = MATCHED_RANKS[self.budget](allocation, Featurizer(self.matched_axes), cells)
            allocation = RankAllocation(dict.fromkeys(self.axes, rank))
        return Composer(featurizer, FeatureSpace.of(cells, featurizer), allocation)
