"""Learnable Calibration (Bohdal et al., 2025): a small correction of a frozen bank's composed update.

One example may need several tasks at once; the sum of their features is not quite the update that does both. Beside it
stands a correction for each projection type t (q_proj, ..., down_proj), shared by all layers l:

    LC     y = W0[l,t] x + dW[l,t] x + p[t]                p: (out,)
    LC++   y = W0[l,t] x + dW[l,t] x + P2[t] P1[t] x       P1: (rank, in), P2: (out, rank)

A correction is a feature like any other, one for each composite task or one for all, so a batch may mix them. Its rows
lie behind the bank's in the row of all ranks; only that its factors are the same in all layers sets it apart.
"""

import math
import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from flix_lightning.adapters import AdapterBank
from flix_lightning.composition import Composer
from flix_lightning.errors import FlixError
from flix_lightning.features import DATASET, SHARED, Cell, Feature, FeatureSpace, Featurizer
from flix_lightning.injection import banks_of
from flix_lightning.ranks import RankAllocation

CALIBRATION = "calibration"  # the backbone's submodule that holds the corrections


def projection_type(path: str) -> str:
    """A module path without its numbers: `model.layers.3.mlp.up_proj` -> `model.layers.mlp.up_proj`."""
    return re.sub(r"\.\d+(?=\.|$)", "", path)


class Correction(nn.Module):
    """The corrections of one projection type, stacked along rows.

    Attributes:
        lora_a: (rows, in), P1; None for biases.
        lora_b: (rows, out), p or P2 transposed; zero at the start, so that a fresh calibration changes nothing.
    """

    def __init__(self, rows: int, inputs: int, outputs: int, biases: bool) -> None:
        super().__init__()
        self.lora_a = None if biases else nn.Parameter(torch.empty(rows, inputs))
        self.lora_b = nn.Parameter(torch.zeros(rows, outputs))
        if self.lora_a is not None:
            nn.init.uniform_(self.lora_a, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))


class CalibratedBank(AdapterBank):
    """A frozen bank whose composed update is corrected; its composition reaches beyond its own ranks.

    Args:
        bank: what it takes over, factors included.
        correction: of its projection type.
    """

    def __init__(self, bank: AdapterBank, correction: Correction) -> None:
        super().__init__(bank.base, 0, bank.active, bank.scaling)
        self.lora_a, self.lora_b = bank.lora_a.requires_grad_(False), bank.lora_b.requires_grad_(False)
        self.correction = (correction,)  # in a tuple: the backbone owns it, once for all layers
        self._bias: Tensor | None = None

    def _gathered(self, x: Tensor, y: Tensor, batch: int) -> Tensor:
        y = super()._gathered(x, y, batch)
        if self._bias is None:
            return y
        return (y.reshape(batch, -1, self.out_features) + self._bias[:, None].to(y.dtype)).view_as(y)

    def _compose(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        a, b, self._bias = self.composed(self.active.current.index, self.active.current.weight)
        return a.to(dtype), b.to(dtype)

    def composed(self, index: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Factors (..., active rank, in) and (..., active rank, out), and bias (..., out) or None, of compositions.

        The weights are folded into the first and the bias; the row of a bias is zero in the factors.
        """
        correction, ranks = self.correction[0], len(self.lora_a)
        own = index < ranks
        if correction.lora_a is not None:
            strength = weight * torch.where(own, self.scaling, 1.0)
            a = functional.embedding(index, torch.cat([self.lora_a, correction.lora_a]))
            b = functional.embedding(index, torch.cat([self.lora_b, correction.lora_b]))
            return a * strength[..., None], b, None
        places, strength = index.clamp(max=ranks - 1), torch.where(own, weight * self.scaling, 0.0)
        a, b = functional.embedding(places, self.lora_a), functional.embedding(places, self.lora_b)
        biases = functional.embedding((index - ranks).clamp(min=0), correction.lora_b)
        return a * strength[..., None], b, (torch.where(own, 0.0, weight)[..., None] * biases).sum(dim=-2)

    def delta_weight(self, index: Tensor, weight: Tensor) -> Tensor:
        """The composed update (out, in) of one example, the correction's factors included; a bias is no part of it."""
        a, b, _ = self.composed(index, weight)
        return b.T @ a

    @torch.no_grad()
    def merged(self, index: Tensor, weight: Tensor) -> nn.Linear:
        """A plain linear that does what this bank does for that one composition."""
        place = {"device": self.weight.device, "dtype": self.weight.dtype}
        a, b, bias = self.composed(index, weight)
        shifts = [shift for shift in (self.bias, bias) if shift is not None]
        linear = nn.utils.skip_init(nn.Linear, self.in_features, self.out_features, bool(shifts), **place)
        linear.weight.copy_(self.weight + b.T @ a)
        if shifts:
            linear.bias.copy_(sum(shifts))
        return linear.requires_grad_(False)


def calibrated_composer(bank: Composer, cells: Sequence[Cell], rank: int | None, shared: bool) -> Composer:
    """The composer of `bank` with a feature more for every one of `cells`, or one for all: their corrections.

    Args:
        bank: the frozen bank's.
        cells: the composite cells that train.
        rank: of a correction; None for a bias.
        shared: one correction for all cells.

    Raises:
        FlixError: the bank uses the corrections' axis itself, or no rank at all.
    """
    axis = SHARED if shared else DATASET
    if axis in bank.featurizer.axes:
        raise FlixError(f"adapter.shared={shared}: the bank has features on the axis {axis!r} of its own.")
    if rank is not None and rank < 1:
        raise FlixError(f"adapter.rank: at least 1, or null for a bias; got {rank!r}.")
    corrections = FeatureSpace.of(cells, Featurizer((axis,)))
    ranks = {**{str(f): bank.allocation[f] for f in bank.space}, **{str(f): rank or 1 for f in corrections}}
    by_axis = {Feature.parse(name).axis: rank for name, rank in ranks.items()}
    space = FeatureSpace([*bank.space, *corrections])
    return Composer(Featurizer((*bank.featurizer.axes, axis)), space, RankAllocation(by_axis, ranks))


def calibrate(backbone: nn.Module, rows: int, biases: bool) -> dict[str, Correction]:
    """Freeze the banks of `backbone` and correct them in place; returns projection type -> correction.

    Args:
        rows: of all corrections of one projection type together.
        biases: LC; otherwise LC++.
    """
    found: dict[str, Correction] = {}
    banks = banks_of(backbone)
    active = next(iter(banks.values())).active
    active.ranks, active.WIDE_UP_TO = active.ranks + rows, 0  # corrections are gathered: no bank has all rows
    for path, bank in banks.items():
        kind, (parent, _, child) = projection_type(path), path.rpartition(".")
        if kind not in found:
            found[kind] = Correction(rows, bank.in_features, bank.out_features, biases).to(bank.lora_a.device)
        setattr(backbone.get_submodule(parent), child, CalibratedBank(bank, found[kind]))
    backbone.add_module(CALIBRATION, nn.ModuleDict({kind.replace(".", "/"): c for kind, c in found.items()}))
    return found


def size(corrections: Iterable[Correction]) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for correction in corrections for parameter in correction.parameters())
