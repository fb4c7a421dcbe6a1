"""From active features to the weights over the ranks of a batch.

The ranks of all features form one list, feature after feature. A composition picks, for every example, the ranks of
its active features and a weight for each; the adapted layers need to know nothing else.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from flix_lightning.adapters.features import Feature, FeatureSpace, Featurizer
from flix_lightning.adapters.ranks import RankAllocation, total_rank
from flix_lightning.adapters.strengths import WHOLE, StandIns, Strengths
from flix_lightning.data.cells import Cell


class Composition(NamedTuple):
    """Which ranks serve each example of a batch, and how strongly.

    Attributes:
        index: (batch, active rank), indices into the list of all ranks.
        weight: (batch, active rank); 0 where a rank is padding or its feature is switched off.
    """

    index: Tensor  # type: ignore[assignment]    # in the place of a tuple's method
    weight: Tensor

    def to(self, device: torch.device) -> "Composition":
        return Composition(self.index.to(device), self.weight.to(device))

    def rows(self, rows: Tensor | Sequence[int]) -> "Composition":
        """The composition of some examples of the batch."""
        return Composition(self.index[rows], self.weight[rows])

    def row_uses(self) -> tuple[Tensor, Tensor]:
        """The ranks that serve an example with any weight, in rising order, and how many examples each serves."""
        return self.index[self.weight != 0].unique(return_counts=True)

    def padded(self, width: int) -> "Composition":
        """Padded to `width` columns, with weight 0: batches of one shape for a compiled model."""
        spare = (0, width - self.index.shape[1])
        return Composition(nn.functional.pad(self.index, spare), nn.functional.pad(self.weight, spare))


class Slots(NamedTuple):
    """The active ranks of one example: their indices in the list of all ranks, the gate column of each rank's feature,
    and their weights.
    """

    ranks: list[int]
    columns: list[int]
    weights: list[float]


class Composer:
    """Cells -> composition, for one feature space and rank allocation.

    Features outside the space are left out: an unseen combination uses both of its features, an unseen language its
    task alone (the paper's zero-shot rule), a cell with no known feature the bare backbone. `strengths` says what
    differs from that at inference.

    Raises:
        FlixError: an allocation or strengths that name features outside the space.
    """

    def __init__(
        self, featurizer: Featurizer, space: FeatureSpace, allocation: RankAllocation, strengths: Strengths = WHOLE
    ) -> None:
        allocation.check(space)
        strengths.check(featurizer.axes, space)
        self.featurizer, self.space, self.allocation, self.strengths = featurizer, space, allocation, strengths
        ranks = [allocation[feature] for feature in space]
        self.starts = np.cumsum([0, *ranks]).tolist()
        self.total_rank = sum(ranks)
        self._columns, self.slots = cache(self._find_columns), cache(self._find_slots)

    @staticmethod
    def of(cells: Sequence[Cell], ranks: Mapping[str, int]) -> "Composer":
        """FLix over the features of `cells`.

        Args:
            ranks: axis -> rank of each of its features; `{"task": 4, "language": 2}` is FLix, `{"shared": 6}` LoRA.

        Raises:
            FlixError: no axis, one that none of the cells has a value on, or a rank below 1.
        """
        featurizer = Featurizer(tuple(ranks))
        return Composer(featurizer, FeatureSpace.of(cells, featurizer), RankAllocation(ranks))

    def with_strengths(self, strengths: Strengths) -> "Composer":
        """The same ranks, served by `strengths`."""
        return Composer(self.featurizer, self.space, self.allocation, strengths)

    def with_stand_ins(self, stand_ins: StandIns) -> "Composer":
        """The same ranks, with `stand_ins` for features that the strengths do not name."""
        return self.with_strengths(self.strengths.with_stand_ins(stand_ins))

    def ranks_of(self, feature: Feature) -> range:
        """The indices of a feature's ranks in the list of all ranks.

        Raises:
            FlixError: the feature is not known.
        """
        start = self.starts[self.space.index(feature)]
        return range(start, start + self.allocation[feature])

    def rows_by_axis(self) -> dict[str, slice]:
        """Axis -> the indices of its features' ranks, which are contiguous."""
        ranks = {axis: [self.ranks_of(f) for f in self.space if f.axis == axis] for axis in self.space.axes()}
        return {axis: slice(found[0].start, found[-1].stop) for axis, found in ranks.items()}

    def serving(self, cell: Cell) -> Iterator[tuple[Feature, Feature, float]]:
        """(feature of `cell`, known feature that serves it, weight): itself with weight 1 unless `strengths` differ."""
        for feature in self.featurizer(cell):
            known = self.strengths.serving(feature, {feature: 1.0} if feature in self.space else {})
            yield from ((feature, serving, weight) for serving, weight in known.items())

    def weights(self, cell: Cell) -> dict[Feature, float]:
        """The known features that serve `cell`, with the weight of each."""
        weights: dict[Feature, float] = {}
        for _, feature, weight in self.serving(cell):
            weights[feature] = weights.get(feature, 0.0) + weight
        return weights

    def active(self, cell: Cell) -> tuple[Feature, ...]:
        """The known features that serve `cell`."""
        return tuple(dict.fromkeys(serving for _, serving, _ in self.serving(cell)))

    def gate_axes(self, cells: Sequence[Cell]) -> tuple[str, ...]:
        """The axis of each column of gates for a batch: every axis once, and all of them again for second features."""
        last = max(max(self._columns(cell).values(), default=0) for cell in cells)
        return self.featurizer.axes * (last // len(self.featurizer.axes) + 1)

    def gated(self, cells: Sequence[Cell]) -> np.ndarray:
        """(batch, columns of gates), whether a column gates a feature of the example."""
        gated = np.zeros((len(cells), len(self.gate_axes(cells))), dtype=bool)
        for row, cell in zip(gated, cells):
            row[list(self._columns(cell).values())] = True
        return gated

    def _find_columns(self, cell: Cell) -> dict[Feature, int]:
        """Feature of `cell` -> its column of gates."""
        axes, columns = self.featurizer.axes, dict[Feature, int]()
        before = Counter[str]()
        for feature in self.featurizer(cell):
            columns[feature] = axes.index(feature.axis) + before[feature.axis] * len(axes)
            before[feature.axis] += 1
        return columns

    def _find_slots(self, cell: Cell) -> Slots:
        columns = self._columns(cell)
        slots = [
            (rank, columns[feature], weight)
            for feature, serving, weight in self.serving(cell)
            for rank in self.ranks_of(serving)
        ]
        return Slots(*map(list, zip(*slots))) if slots else Slots([], [], [])

    def compose(self, cells: Sequence[Cell], gates: Tensor | None = None) -> Composition:
        """The composition of a batch.

        Args:
            cells: one for each example.
            gates: (batch, columns), a factor for each feature, columns as in `gate_axes`; all ones when absent.

        Raises:
            ValueError: gates of another shape.
        """
        if gates is not None and gates.shape != (len(cells), len(self.gate_axes(cells))):
            raise ValueError(f"{len(cells)} cells, axes {self.gate_axes(cells)}: gates of {tuple(gates.shape)}")
        index, column, weight = laid_out([self.slots(cell) for cell in cells])
        return Composition(index, weight if gates is None else weight * gates.gather(1, column))

    def active_rank(self, cells: Sequence[Cell]) -> int:
        """The largest active rank over `cells`, which the cost of a batch follows."""
        return max(total_rank(self.allocation, self.active(cell)) for cell in cells)


def laid_out(slots: Sequence[Slots]) -> tuple[Tensor, Tensor, Tensor]:
    """Indices, gate columns and weights of a batch, (batch, active rank) each, padded with weight 0."""
    width = max(1, max(len(example.ranks) for example in slots))
    index, column, weight = (
        torch.tensor([row + [0] * (width - len(row)) for row in rows]) for rows in zip(*slots, strict=True)
    )
    return index, column, weight.float()
