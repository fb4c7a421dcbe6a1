"""Frozen weights in autocast's number format for a while, where it would convert them anew at every use."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from flix_lightning.adapters.probe import LINEAR


@contextmanager
def converted_weights(model: nn.Module) -> Iterator[None]:
    """Within, the linears hold their weights as autocast converts them: the same numbers, converted once.

    A token of generation multiplies few rows with every matrix: converting the matrix costs as much as the product, the
    more so for an output embedding over a large vocabulary. A weight that an embedding shares stays what it is there.
    Nothing changes outside of autocast, nor for quantized and sharded weights. For as long as it lasts it takes the
    memory of both formats.
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
