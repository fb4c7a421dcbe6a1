"""The `optimizer` section of a config: the learning rate, its course over the steps and over the axes."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from flix_lightning.common.errors import unknown
from flix_lightning.common.settings import Natural, NotNegative, Positive, checked


@checked("optimizer")
@dataclass(frozen=True)
class Optimization:
    """How the adapters are trained.

    Args:
        lr: the peak learning rate.
        warmup_steps: steps from 0 to the peak.
        decay: from the peak to 0 at `max_steps`, or `constant`.
        weight_decay: as in AdamW.
        axis_lr: axis -> what the learning rate of its features is multiplied by; 1 where not given.
    """

    lr: Positive
    warmup_steps: Natural = 0
    decay: Literal["constant", "linear", "cosine"] = "linear"
    weight_decay: NotNegative = 0.0
    axis_lr: Mapping[str, Positive] = field(default_factory=dict)

    def check_axes(self, trained: Collection[str]) -> None:
        """
        Raises:
            FlixError: `axis_lr` names an axis that has no features to train.
        """
        for axis in self.axis_lr:
            if axis not in trained:
                raise unknown("axis of optimizer.axis_lr", axis, trained)

    def row_lr(self, axes: Mapping[str, slice], rows: int) -> Tensor | None:
        """(rows,), what the learning rate of every row of the factors is multiplied by; None for 1 throughout.

        Args:
            axes: axis -> its rows.
        """
        if not self.axis_lr:
            return None
        factors = torch.ones(rows)
        for axis, factor in self.axis_lr.items():
            factors[axes[axis]] = factor
        return factors

    def factor(self, step: int, max_steps: int) -> float:
        """The learning rate at `step` over the peak."""
        rise = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        left = max(0.0, (max_steps - step) / max(1, max_steps - self.warmup_steps))
        fall = {"constant": 1.0, "linear": min(1.0, left), "cosine": (1 - math.cos(math.pi * min(1.0, left))) / 2}
        return rise * fall[self.decay]
