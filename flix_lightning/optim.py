"""The optimizer: AdamW that touches only the ranks whose features were active in the step."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from flix_lightning.errors import FlixError


class ActiveRowsAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter, 2019) over rows that come and go.

    Every parameter is (ranks, width). Rows of features that no example of the step activated keep their weights,
    moments and step count: a rare language is neither moved by stale momentum nor decayed, and its bias correction
    counts its own updates. With every row active this is AdamW.

    A parameter may be the working rows of a larger tensor (see `WorkingSet`): weights and moments are then that
    tensor's, the gradient alone is the parameter's, and a step costs what the working rows cost.

    Args:
        parameters: all with the same number of rows.
        lr: learning rate.
        betas, eps, weight_decay: as in AdamW.
        wholes: parameter -> the (ranks, width) that it holds working rows of, where it is not the whole itself.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        wholes: Mapping[nn.Parameter, Tensor] | None = None,
    ) -> None:
        if not lr > 0:
            raise FlixError(f"optimizer.lr: must be above 0; got {lr!r}.")
        super().__init__(list(parameters), {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.wholes = dict(wholes or {})
        self.row_lr: Tensor | None = None
        self.active_rows: Tensor | None = None
        self.gradient_rows: Tensor | None = None

    @torch.no_grad()
    def step(self, closure=None):  # type: ignore[override]
        """Update `active_rows`, (active ranks,) row numbers without repetition; all rows while it is None.

        `gradient_rows`, (active ranks,), says where these rows' gradients stand; in the same rows while it is None.
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

    def _state(self, parameter: Tensor, whole: Tensor) -> list[Tensor]:
        """First and second moments and counts of updates, one row each."""
        state = self.state[parameter]
        if not state:
            state["exp_avg"] = torch.zeros_like(whole)
            state["exp_avg_sq"] = torch.zeros_like(whole)
            state["updates"] = torch.zeros_like(whole[:, :1])
        return [state["exp_avg"], state["exp_avg_sq"], state["updates"]]

    def _update(self, parameters: list[Tensor], group: dict) -> None:
        wholes = [self.wholes.get(parameter, parameter) for parameter in parameters]
        kept = [[whole, *self._state(parameter, whole)] for parameter, whole in zip(parameters, wholes)]
        rows, at = self._rows(wholes[0])
        gradients = [parameter.grad.index_select(0, at) for parameter in parameters]
        weights, first, second, updates = ([tensor.index_select(0, rows) for tensor in some] for some in zip(*kept))
        beta1, beta2 = group["betas"]
        torch._foreach_add_(updates, 1)
        torch._foreach_lerp_(first, gradients, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
        root = torch._foreach_div(second, [_debias(beta2, count) for count in updates])
        torch._foreach_sqrt_(root)
        torch._foreach_add_(root, group["eps"])
        change = torch._foreach_div(first, [_debias(beta1, count) for count in updates])
        torch._foreach_div_(change, root)
        decay = group["lr"] * group["weight_decay"]
        if self.row_lr is None:
            torch._foreach_mul_(weights, 1 - decay)
        else:
            factor = self.row_lr.to(rows.device)[rows, None]
            torch._foreach_mul_(weights, [1 - decay * factor] * len(weights))
            torch._foreach_mul_(change, [factor] * len(change))
        torch._foreach_add_(weights, change, alpha=-group["lr"])
        for own, new in zip(kept, zip(weights, first, second, updates)):
            for whole, part in zip(own, new):
                whole.index_copy_(0, rows, part)

    def _rows(self, whole: Tensor) -> tuple[Tensor, Tensor]:
        """The active rows, and where their gradients stand."""
        rows = self.active_rows
        rows = torch.arange(len(whole), device=whole.device) if rows is None else rows.to(whole.device)
        return rows, rows if self.gradient_rows is None else self.gradient_rows.to(whole.device)


def _debias(beta: float, updates: Tensor) -> Tensor:
    """1 - beta^updates, exact also for a beta near 1."""
    return -torch.expm1(updates * math.log(beta))
