"""Faster computations of an adapted layer's update than the literal formula: the same numbers in another order.

Which one is faster depends on the shape of the batch alone; `python -m speed --parts paths` measures the crossover.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from flix_lightning.adapters.layer import FeaturizedLinear

Path = Callable[["FeaturizedLinear", Tensor, Tensor], Tensor]


def fast_path(layer: "FeaturizedLinear", x: Tensor) -> Path | None:
    """The fastest path for the current composition and `x`, (batch, tokens, in); None for the literal formula."""
    if layer.active.wide is not None:
        return all_ranks
    if layer.active.used is not None and x.shape[1] == 1 and x.dtype == torch.bfloat16 and not torch.is_grad_enabled():
        return one_token
    return None


def all_ranks(layer: "FeaturizedLinear", x: Tensor, y: Tensor) -> Tensor:
    """Compute every example with all ranks, gated by (batch, ranks): fastest while ranks are few."""
    lora_a, lora_b = (factor.to(x.dtype) for factor in (layer.lora_a, layer.lora_b))
    gate = layer.active.wide
    hidden = functional.linear(x, lora_a) * (gate * layer.scaling)[:, None].to(x.dtype)
    return added(layer, y, hidden, lora_b.expand(len(gate), -1, -1))


def one_token(layer: "FeaturizedLinear", x: Tensor, y: Tensor) -> Tensor:
    """One token for each example, as in generation: the factors of single examples are not copied."""
    used = layer.active.used
    a, b = layer.kept.used_rows(layer, x.dtype)
    hidden = functional.linear(x[:, 0], a).gather(1, used.places).mul_(used.weight)
    update = torch.embedding_bag(b, used.flat, used.starts, mode=0, per_sample_weights=hidden.view(-1))[0]
    return y.add_(update.view_as(y))


def projected(layer: "FeaturizedLinear", x: Tensor, a: Tensor, constant: Tensor | None = None) -> Tensor:
    """x a^T, (batch, tokens, active rank), of (batch, tokens, in) and (batch, active rank, in).

    As (a x^T)^T where that is faster: for many tokens and a down projection; its gradient is slower everywhere.

    Args:
        constant: (batch, active rank, 1), added to every token's, if there is one.
    """
    if not torch.is_grad_enabled() and x.shape[1] > 1 and layer.in_features > layer.out_features:
        return (torch.bmm(a, x.mT) if constant is None else torch.baddbmm(constant, a, x.mT)).mT
    return torch.bmm(x, a.mT) if constant is None else torch.baddbmm(constant.mT, x, a.mT)


def added(layer: "FeaturizedLinear", y: Tensor, hidden: Tensor, b: Tensor) -> Tensor:
    """y + hidden b, of (batch, tokens, active rank) and (batch, active rank, out); in place unless autograd copies."""
    whole = y if y.shape[:-1] == hidden.shape[:-1] else y.view(len(b), -1, layer.out_features)
    if y.dtype != hidden.dtype:
        return y + torch.bmm(hidden, b).view_as(y).to(y.dtype)
    own = whole is y and layer.bias is None and layer.weight.is_floating_point()  # 8-bit products give a view
    if not torch.is_grad_enabled() or own:
        return whole.baddbmm_(hidden, b).view_as(y)
    return torch.baddbmm(whole, hidden, b).view_as(y)
