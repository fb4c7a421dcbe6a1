"""The optimizer: AdamW that touches only the ranks whose features were active in the step."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from flix_lightning.errors import FlixError


class ActiveRowsAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter, 2019) over rows that come and go.

    Every parameter is (ranks, width). Rows of features that no example of the step activated keep their weights,
    moments and step count: a rare language is neither moved by stale momentum nor decayed, and its bias correction
    counts its own updates. With every row active this is AdamW.

    Args:
        parameters: all with the same number of rows.
        lr: learning rate.
        betas, eps, weight_decay: as in AdamW.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if not lr > 0:
            raise FlixError(f"optimizer.lr: must be above 0; got {lr!r}.")
        super().__init__(list(parameters), {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.active_rows: Tensor | None = None

    @torch.no_grad()
    def step(self, closure=None):  # type: ignore[override]
        """Update `active_rows`, (active ranks,) row numbers without repetition; all rows while it is None."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict) -> None:
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
            state["updates"] = torch.zeros_like(parameter[:, :1])
        rows = self.active_rows if self.active_rows is not None else torch.arange(len(parameter))
        rows = rows.to(parameter.device)
        gradient = parameter.grad[rows]
        updates = state["updates"][rows] + 1
        first = state["exp_avg"][rows].lerp_(gradient, 1 - beta1)
        second = state["exp_avg_sq"][rows].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (second / _debias(beta2, updates)).sqrt_().add_(group["eps"])
        weights = parameter[rows].mul_(1 - group["lr"] * group["weight_decay"])
        weights -= group["lr"] * (first / _debias(beta1, updates)) / root
        for whole, part in zip(
            (parameter, state["exp_avg"], state["exp_avg_sq"], state["updates"]), (weights, first, second, updates)
        ):
            whole[rows] = part


def _debias(beta: float, updates: Tensor) -> Tensor:
    """1 - beta^updates, exact also for a beta near 1."""
    return -torch.expm1(updates * math.log(beta))
