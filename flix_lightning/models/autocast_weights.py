"""Frozen weights held in autocast's number format for a while, instead of converted at every use."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from flix_lightning.adapters.probe import LINEAR


@contextmanager
def converted_weights(model: nn.Module) -> Iterator[None]:
    """Within, the linears hold their weights as autocast converts them: the same numbers, converted once.

    In generation, matrices multiply few rows, and converting a matrix costs as much as the product, most of all for an
    output embedding over a large vocabulary. A weight shared with an embedding is unchanged there. Nothing changes
    outside of autocast, nor for quantized and sharded weights. Meanwhile both formats take memory.
    """
    weights = {module: module.weight for module in model.modules() if isinstance(module, LINEAR)}
    kind = next(model.parameters()).device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    whole = {
        module: weight
        for module, weight in weights.items()
        if type(weight) is nn.Parameter and dtype and weight.is_floating_point() and weight.dtype != dtype
    }
    try:
        for module, weight in whole.items():
            module.weight = nn.Parameter(weight.detach().to(dtype), requires_grad=False)
        yield
    finally:
        for module, weight in whole.items():
            module.weight = weight
