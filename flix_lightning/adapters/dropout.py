"""Feature dropout: active features switched off at random while training, and its schedule over the steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from flix_lightning.adapters.composition import Composer, Composition
from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import Natural, Probability, checked
from flix_lightning.data.cells import Cell

Schedule = Literal["constant", "linear", "cosine"]


@checked("feature_dropout")
@dataclass(frozen=True)
class FeatureDropout:
    """Switches active features off at random while training (FLix, sec. 3; its probability there is 0.7).

    Drops are independent for every feature and example. The paper leaves open whether all features of an example may
    drop and whether the survivors are rescaled: both are choices here.

    Args:
        p: the probability at the end of the schedule, in [0, 1].
        schedule: `constant`, or a rise from 0 along a line or half a cosine.
        schedule_steps: length of the rise; afterwards the probability is `p`.
        keep_one: bring one feature, drawn at random, back where all of an example's were dropped.
        rescale: divide the survivors by the probability of survival, which keeps the expected update.
        axes: the axes that may drop; all of them when not given, none when empty.

    Raises:
        FlixError: a setting out of its range.
    """

    p: Probability
    schedule: Schedule = "constant"
    schedule_steps: Natural = 0
    keep_one: bool = False
    rescale: bool = False
    axes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
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
            return self.p
        done = min(1.0, step / self.schedule_steps)
        return self.p * (done if self.schedule == "linear" else (1 - math.cos(math.pi * done)) / 2)

    def compose(self, composer: Composer, cells: Sequence[Cell], step: int, seed: int) -> Composition:
        """The composition of the whole global batch of `step`, with its drops; see `gates`."""
        axes, gated = composer.gate_axes(cells), composer.gated(cells)
        return composer.compose(cells, self.gates(axes, len(cells), step, seed, gated))

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
