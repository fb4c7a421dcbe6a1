"""From active features to the weights over ranks of a batch; feature dropout and its schedule.

The ranks of all features lie in one row, feature after feature. A composition picks, for every example, the ranks of
its active features and a weight for each; the adapter banks need to know nothing else.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from flix_lightning.errors import FlixError, unknown
from flix_lightning.features import Cell, Feature, FeatureSpace, Featurizer
from flix_lightning.ranks import RankAllocation, total_rank

StandIns = Mapping[Feature, Mapping[Feature, float]]  # unknown feature -> known ones in its place, with weights
Schedule = Literal["constant", "linear", "cosine"]
SCHEDULES = ("constant", "linear", "cosine")


class Composition(NamedTuple):
    """Which ranks serve each example of a batch, and how strongly.

    Attributes:
        index: (batch, active rank), places in the row of all ranks.
        weight: (batch, active rank); 0 where a rank is padding or its feature is switched off.
    """

    index: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> "Composition":
        return Composition(self.index.to(device), self.weight.to(device))

    def rows(self, rows: Tensor | Sequence[int]) -> "Composition":
        """That of some examples of the batch."""
        return Composition(self.index[rows], self.weight[rows])

    def padded(self, width: int) -> "Composition":
        """With `width` columns, the further ones without weight: batches of one shape for a compiled model."""
        spare = (0, width - self.index.shape[1])
        return Composition(nn.functional.pad(self.index, spare), nn.functional.pad(self.weight, spare))


class UsedRanks(NamedTuple):
    """The ranks that a batch uses, once each.

    Attributes:
        rows: (used,), places in the row of all ranks.
        places: (batch, active rank), places in `rows`; `flat` is the same in one row.
        starts: (batch,), where each example begins in `flat`.
        weight: (batch, active rank), the composition's in bfloat16.
    """

    rows: Tensor
    places: Tensor
    flat: Tensor
    starts: Tensor
    weight: Tensor


class ActiveComposition:
    """The one holder all adapter banks of a model read from; set at the start of a step and left set.

    A context manager would not do: gradient checkpointing recomputes activations in the backward pass, after the
    forward has returned.
    """

    # Up to so many times the active rank, one product is cheaper than gathering each example's own factors: over all
    # ranks; and for single tokens in bfloat16 on a CPU, over those that the batch uses. `python -m benchmarks --parts
    # paths` measures both: the first crosses over between 2 and 4, the second is still ahead at 64, the most tried.
    WIDE_UP_TO = 2
    USED_UP_TO = 64

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self.version = 0
        self.current: Composition | None = None
        self.wide: Tensor | None = None
        self.used: UsedRanks | None = None
        self.working = False
        self._converted: tuple[Tensor, int, Tensor] | None = None

    def converted(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """`x` in another number format: in training once for all linears in a row that read it, as q, k and v do."""
        if x.dtype == dtype or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return x.to(dtype)
        if self._converted is None or self._converted[0] is not x or self._converted[1] != x._version:
            self._converted = (x, x._version, x.to(dtype))
        return self._converted[2]

    def set(self, composition: Composition | None, working: bool = False) -> None:
        """Serve `composition` from now on; `None` switches every adapter off.

        Args:
            working: its places are those of the banks' working rows, not of all ranks.
        """
        self.version += 1
        self._converted = None
        self.current, self.wide, self.used, self.working = composition, None, None, working
        if composition is not None and composition.index.device.type == "cpu" and not working:
            rows, places = composition.index.unique(return_inverse=True)
            if len(rows) <= self.USED_UP_TO * places.shape[1]:
                starts = torch.arange(0, places.numel(), places.shape[1])
                self.used = UsedRanks(rows, places, places.flatten(), starts, composition.weight.bfloat16())
        if composition is not None and not working and self.ranks <= self.WIDE_UP_TO * composition.index.shape[1]:
            gate = composition.weight.new_zeros(len(composition.index), self.ranks)
            self.wide = gate.scatter_add_(1, composition.index, composition.weight)


class Composer:
    """Cells -> composition, for one feature space and rank allocation.

    Features outside the space are left out: an unseen combination uses both of its features, an unseen language its
    task alone (the paper's zero-shot rule), a cell with no known feature the bare backbone. `stand_ins` names known
    features of the same axis to use in an unknown one's place (see `unseen`).
    """

    def __init__(
        self, featurizer: Featurizer, space: FeatureSpace, allocation: RankAllocation, stand_ins: StandIns | None = None
    ) -> None:
        allocation.check(space)
        self.featurizer, self.space, self.allocation = featurizer, space, allocation
        self.stand_ins = dict(stand_ins or {})
        for unknown_feature, known in self.stand_ins.items():
            if unknown_feature in space or any(f not in space or f.axis != unknown_feature.axis for f in known):
                raise ValueError(f"stand-ins of {unknown_feature}: {list(map(str, known))}, not known ones of its axis")
        ranks = [allocation[feature] for feature in space]
        self.starts = np.cumsum([0, *ranks]).tolist()
        self.total_rank = sum(ranks)
        self._columns, self._ranks = cache(self._find_columns), cache(self._find_ranks)

    def with_stand_ins(self, stand_ins: StandIns) -> "Composer":
        """The same ranks, with `stand_ins` for unknown features."""
        return Composer(self.featurizer, self.space, self.allocation, stand_ins)

    def ranks_of(self, feature: Feature) -> range:
        """The places of a feature's ranks in the row of all ranks.

        Raises:
            FlixError: the feature is not known.
        """
        start = self.starts[self.space.index(feature)]
        return range(start, start + self.allocation[feature])

    def rows_by_axis(self) -> dict[str, slice]:
        """Axis -> the places of its features' ranks, which stand side by side."""
        ranks = {axis: [self.ranks_of(f) for f in self.space if f.axis == axis] for axis in self.space.axes()}
        return {axis: slice(found[0].start, found[-1].stop) for axis, found in ranks.items()}

    def serving(self, cell: Cell) -> Iterator[tuple[Feature, Feature, float]]:
        """(feature of `cell`, known feature that serves it, weight): itself with weight 1, or its stand-ins."""
        for feature in self.featurizer(cell):
            known = {feature: 1.0} if feature in self.space else self.stand_ins.get(feature, {})
            yield from ((feature, serving, weight) for serving, weight in known.items())

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
        axes, before, columns = self.featurizer.axes, Counter(), {}
        for feature in self.featurizer(cell):
            columns[feature] = axes.index(feature.axis) + before[feature.axis] * len(axes)
            before[feature.axis] += 1
        return columns

    def _find_ranks(self, cell: Cell) -> tuple[list[int], list[int], list[float]]:
        """For each active rank of `cell`: its place, the column of its feature's gate, and its weight."""
        columns = self._columns(cell)
        slots = [
            (rank, columns[feature], weight)
            for feature, serving, weight in self.serving(cell)
            for rank in self.ranks_of(serving)
        ]
        return tuple(map(list, zip(*slots))) if slots else ([], [], [])

    def compose(self, cells: Sequence[Cell], gates: Tensor | None = None) -> Composition:
        """The composition of a batch.

        Args:
            cells: one an example.
            gates: (batch, columns), a factor for each feature, columns as in `gate_axes`; all ones when absent.

        Raises:
            ValueError: gates of another shape.
        """
        if gates is not None and gates.shape != (len(cells), len(self.gate_axes(cells))):
            raise ValueError(f"{len(cells)} cells, axes {self.gate_axes(cells)}: gates of {tuple(gates.shape)}")
        found = [self._ranks(cell) for cell in cells]
        width = max(1, max(len(ranks) for ranks, _, _ in found))
        index, column, weight = (
            torch.tensor([row + [0] * (width - len(row)) for row in rows]) for rows in zip(*found, strict=True)
        )
        return Composition(index, weight.float() if gates is None else weight * gates.gather(1, column))

    def active_rank(self, cells: Sequence[Cell]) -> int:
        """The largest active rank over `cells`: what an example pays for."""
        return max(total_rank(self.allocation, self.active(cell)) for cell in cells)


@dataclass(frozen=True)
class FeatureDropout:
    """Switches active features off at random while training (FLix, sec. 3; its probability there is 0.7).

    Drops are independent for every feature and example. The paper leaves open whether all features of an example may
    drop and whether the survivors are rescaled: both are choices here.

    Args:
        p: the probability at the end of the schedule, in [0, 1].
        schedule: `constant`, or a rise from 0 along a line or half a cosine.
        schedule_steps: steps that the rise takes; afterwards `p` holds.
        keep_one: bring one feature, drawn at random, back where all of an example's were dropped.
        rescale: divide the survivors by their chance to survive, which keeps the expected update.
        axes: the axes that may drop; all of them when not given, none when empty.

    Raises:
        FlixError: a setting out of its range.
    """

    p: float
    schedule: Schedule = "constant"
    schedule_steps: int = 0
    keep_one: bool = False
    rescale: bool = False
    axes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.p, bool) or not isinstance(self.p, int | float) or not 0 <= self.p <= 1:
            raise FlixError(f"feature_dropout.p: a probability lies in [0, 1]; got {self.p!r}.")
        if self.schedule not in SCHEDULES:
            raise unknown("feature_dropout.schedule", self.schedule, SCHEDULES)
        if self.schedule != "constant" and self.schedule_steps < 1:
            raise FlixError(
                f"feature_dropout.schedule_steps: a {self.schedule} schedule takes at least 1 step; "
                f"got {self.schedule_steps!r}."
            )
        if self.rescale and self.p == 1:
            raise FlixError("feature_dropout: p = 1 leaves nothing to rescale; set rescale=false or p below 1.")

    def probability(self, step: int) -> float:
        """The drop probability at `step`."""
        if self.schedule == "constant":
            return float(self.p)
        done = min(1.0, step / self.schedule_steps)
        return self.p * (done if self.schedule == "linear" else (1 - math.cos(math.pi * done)) / 2)

    def gates(
        self, axes: Sequence[str], batch_size: int, step: int, seed: int, gated: np.ndarray | None = None
    ) -> Tensor:
        """The gates of a whole global batch: (batch_size, columns), a pure function of the arguments.

        Every process computes them all and takes its rows, so the number of processes does not matter.

        Args:
            axes: the axis of each column.
            batch_size, step, seed: of the global batch.
            gated: (batch_size, columns), which columns gate a feature of the example; all when not given.
        """
        for axis in self.axes or ():
            if axis not in axes:
                raise unknown("axis that may drop", axis, axes)
        p, n = self.probability(step), len(axes)
        gated = np.ones((batch_size, n), dtype=bool) if gated is None else gated
        features = gated.sum(axis=1, keepdims=True)
        draws = np.random.default_rng([seed, step, 0xD50]).random((batch_size, n + 1))
        may_drop = np.array([self.axes is None or axis in self.axes for axis in axes])
        kept = (draws[:, :n] >= p) | ~may_drop
        chance = np.full((batch_size, 1), 1 - p)
        if self.keep_one:
            all_may_drop = (may_drop | ~gated).all(axis=1, keepdims=True)
            lost = np.flatnonzero(~(kept & gated).any(axis=1))
            chosen = (draws[lost, n] * features[lost, 0]).astype(int)
            kept[lost, np.argsort(~gated[lost], axis=1, kind="stable")[np.arange(len(lost)), chosen]] = True
            chance = chance + all_may_drop * p**features / np.maximum(features, 1)
        scale = np.where(may_drop, 1 / chance, 1.0) if self.rescale else 1.0
        return torch.from_numpy((kept * scale).astype(np.float32))
