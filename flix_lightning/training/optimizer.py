"""The `optimizer` section of a config, and its optimizer: AdamW that touches only the ranks active in the step."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from flix_lightning.common.errors import unknown
from flix_lightning.common.settings import Natural, NotNegative, Positive, checked

TOGETHER_ON_CPU = 8  # parameters stepped at once: few enough that their rows stay in the processor's cache


@checked("optimizer")
@dataclass(frozen=True)
class Optimization:
    """How the adapters are trained.

    Args:
        lr: the peak learning rate.
        warmup_steps: steps from 0 to the peak.
        decay: from the peak to 0 at `max_steps`, or `constant`.
        weight_decay: as in AdamW.
        axis_lr: axis -> factor on the learning rate of its features; 1 for other axes.
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
        """(rows,), the factor on the learning rate of every row of the factors; None for 1 throughout.

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


@checked("optimizer")
class ActiveRowsAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter, 2019) over the rows that are active in a step.

    Every parameter is (ranks, width). Rows of features that no example of the step activated keep their weights,
    moments and step count: a rare language is neither moved by stale momentum nor decayed, and its bias correction
    counts its own updates. With every row active this is AdamW.

    A parameter may be the working rows of a larger tensor (see `WorkingSet`): weights and moments are then those
    of that tensor, the gradient is the parameter's, and the cost of a step follows the working rows.

    Args:
        parameters: (name, parameter), all with the same number of rows; a state is found by name.
        lr: learning rate.
        betas, eps, weight_decay: as in AdamW.
        wholes: parameter -> the (ranks, width) tensor that it holds working rows of; absent for whole parameters.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        lr: Positive,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: Positive = 1e-8,
        weight_decay: NotNegative = 0.0,
        wholes: Mapping[nn.Parameter, Tensor] | None = None,
    ) -> None:
        super().__init__(list(parameters), {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.wholes = dict(wholes or {})
        self.row_lr: Tensor | None = None
        self.active_rows: Tensor | None = None
        self.gradient_rows: Tensor | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update `active_rows`, (active ranks,) row numbers in rising order; all rows while it is None.

        `gradient_rows`, (active ranks,), are the rows of their gradients; the same rows while it is None.
        `row_lr`, (ranks,), multiplies the learning rate of each row; by 1 while it is None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._update(parameters, group)
        return loss

    def _state(self, group: dict, parameters: list[nn.Parameter], wholes: list[Tensor]) -> list[dict[str, Tensor]]:
        """First and second moments, and counts of updates, (ranks, 1), the same tensor for all.

        Raises:
            RuntimeError: other parameters have gradients than in the step before.
        """
        known = [parameter for parameter in group["params"] if parameter in self.state]
        if not known:
            updates = torch.zeros_like(wholes[0][:, :1])
            for parameter, whole in zip(parameters, wholes):
                moments = {"exp_avg": torch.zeros_like(whole), "exp_avg_sq": torch.zeros_like(whole)}
                self.state[parameter] = {**moments, "updates": updates}
        elif len(known) != len(parameters):
            raise RuntimeError(f"{len(parameters)} parameters have gradients now, {len(known)} had some before")
        return [self.state[parameter] for parameter in parameters]

    def _update(self, parameters: list[nn.Parameter], group: dict) -> None:
        wholes: list[Tensor] = [self.wholes.get(parameter, parameter) for parameter in parameters]
        state = self._state(group, parameters, wholes)
        rows, at = self._rows(wholes[0])
        updates = state[0]["updates"].index_select(0, rows) + 1
        state[0]["updates"].index_copy_(0, rows, updates)
        beta1, beta2 = group["betas"]
        # first / debias1 / (sqrt(second / debias2) + eps), with the corrections moved into the divisor
        scale = _debias(beta1, updates) * _debias(beta2, updates).rsqrt()
        floor = _debias(beta1, updates) * group["eps"]
        factor = None if self.row_lr is None else self.row_lr.to(rows.device)[rows, None]
        size = TOGETHER_ON_CPU if wholes[0].device.type == "cpu" else len(wholes)
        for start in range(0, len(wholes), size):
            part = slice(start, start + size)
            gradients = [p.grad.index_select(0, at) for p in parameters[part] if p.grad is not None]
            kept = wholes[part], [s["exp_avg"] for s in state[part]], [s["exp_avg_sq"] for s in state[part]]
            everything = len(rows) == len(wholes[0])
            active = kept if everything else [[tensor.index_select(0, rows) for tensor in tensors] for tensors in kept]
            weights, first, second = active
            torch._foreach_lerp_(first, gradients, 1 - beta1)
            torch._foreach_mul_(second, beta2)
            torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
            divisors = [torch.addcmul(floor, root, scale) for root in torch._foreach_sqrt(second)]
            decay = group["lr"] * group["weight_decay"]
            if factor is None:
                torch._foreach_mul_(weights, 1 - decay)
                torch._foreach_addcdiv_(weights, first, divisors, -group["lr"])
            else:
                torch._foreach_mul_(weights, [1 - decay * factor] * len(weights))
                scaled = torch._foreach_mul(first, [factor] * len(first))
                torch._foreach_addcdiv_(weights, scaled, divisors, -group["lr"])
            for whole, values in zip(chain(*kept), () if everything else chain(*active)):
                whole.index_copy_(0, rows, values)

    def _rows(self, whole: Tensor) -> tuple[Tensor, Tensor]:
        """The active rows, and the rows of their gradients."""
        rows = self.active_rows
        rows = torch.arange(len(whole), device=whole.device) if rows is None else rows.to(whole.device)
        return rows, rows if self.gradient_rows is None else self.gradient_rows.to(whole.device)


def _debias(beta: float, updates: Tensor) -> Tensor:
    """1 - beta^updates, exact also for a beta near 1."""
    return -torch.expm1(updates * math.log(beta))
