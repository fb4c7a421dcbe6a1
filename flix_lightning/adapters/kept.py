"""Composed factors cached between calls without gradients: generation composes once, not at every token."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from flix_lightning.adapters.layer import Factors, FeaturizedLinear


class KeptFactors:
    """The composed factors of one layer, valid until its factors or the composition change."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, Any]] = {}

    def clear(self) -> None:
        self._kept.clear()

    def composed(self, layer: "FeaturizedLinear", dtype: torch.dtype) -> "Factors":
        """Each example's own factors."""
        return self._get("composed", layer, dtype, lambda: layer.compose(dtype))

    def used_rows(self, layer: "FeaturizedLinear", dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(used, in) and (used, out): the ranks that the batch uses, once each, the scaling folded into the first."""
        return self._get("used", layer, dtype, lambda: _used_rows(layer, dtype))

    def _get(self, what: str, layer: "FeaturizedLinear", dtype: torch.dtype, make: Callable[[], Any]) -> Any:
        version = (layer.active.version, layer.lora_a._version, layer.lora_b._version, dtype)
        if self._kept.get(what, (None,))[0] != version:
            self._kept[what] = (version, make())
        return self._kept[what][1]


def _used_rows(layer: "FeaturizedLinear", dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    a, b = (functional.embedding(layer.active.used.rows, factor) for factor in (layer.lora_a, layer.lora_b))
    return a.mul_(layer.scaling).to(dtype), b.to(dtype)
