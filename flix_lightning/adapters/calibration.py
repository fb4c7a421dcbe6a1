"""Learnable Calibration (Bohdal et al., 2025): a small correction of a frozen bank's composed update.

One example may need several tasks at once; the sum of their features only approximates the update for both. A
correction is added for each projection type t (q_proj, ..., down_proj), shared by all layers l:

    LC     y = W0[l,t] x + dW[l,t] x + p[t]                p: (out,)
    LC++   y = W0[l,t] x + dW[l,t] x + P2[t] P1[t] x       P1: (rank, in), P2: (out, rank)

A correction is a feature like any other, one for each composite task or one for all, so a batch may mix them. Its rows
follow the bank's in the list of all ranks; it differs in one point, its factors are shared by all layers.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.composition import Composer, Composition
from flix_lightning.adapters.features import Feature, FeatureSpace, Featurizer
from flix_lightning.adapters.injection import featurized_linears
from flix_lightning.adapters.layer import Factors, FeaturizedLinear, gathered
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import Count, checked
from flix_lightning.data.cells import DATASET, SHARED, Cell

CALIBRATION = "calibration"  # the backbone's submodule that holds the corrections


def projection_type(path: str) -> str:
    """A module path without its numbers: `model.layers.3.mlp.up_proj` -> `model.layers.mlp.up_proj`."""
    return re.sub(r"\.\d+(?=\.|$)", "", path)


class ActiveCorrections(ActiveComposition):
    """The current composition of a calibrated model, split into the ranks of the bank and those of the corrections.

    Args:
        ranks: of a bank.
        rows: of all corrections of one projection type.

    Attributes:
        own, beyond: the parts of the current composition that belong to the bank and to the corrections.
    """

    WIDE_UP_TO = USED_UP_TO = 0  # no bank has all ranks

    def __init__(self, ranks: int, rows: int) -> None:
        super().__init__(ranks + rows)
        self.bank_ranks = ranks
        self.own: Composition | None = None
        self.beyond: Composition | None = None

    def set(self, composition: Composition | None, working: bool = False) -> None:
        super().set(composition, working)
        if composition is not None:
            self.own, self.beyond = split(composition, self.bank_ranks)


def split(whole: Composition, ranks: int) -> tuple[Composition, Composition]:
    """The parts of a composition in the first `ranks` ranks and in the others, counted from there; no idle columns."""
    parts = []
    for inside, first in ((whole.index < ranks, 0), (whole.index >= ranks, ranks)):
        used = inside & (whole.weight != 0)
        columns = used.any(dim=0)
        index, weight = torch.where(used, whole.index - first, 0), torch.where(used, whole.weight, 0.0)
        parts.append(Composition(index[:, columns], weight[:, columns]))
    return parts[0], parts[1]


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


class CalibratedLinear(FeaturizedLinear):
    """A frozen bank whose composed update is corrected: the corrections' ranks follow the example's own.

    A bias is a rank whose hidden value is 1 whatever the input.

    Args:
        bank: the layer that it replaces; its factors are taken over.
        correction: of its projection type.
        active: the calibrated model's composition.
    """

    def __init__(self, bank: FeaturizedLinear, correction: Correction, active: ActiveCorrections) -> None:
        super().__init__(bank.base, 0, active, bank.scaling)
        self.lora_a, self.lora_b = bank.lora_a.requires_grad_(False), bank.lora_b.requires_grad_(False)
        self.correction = (correction,)  # in a tuple: the backbone owns it, once for all layers

    def compose(self, dtype: torch.dtype) -> Factors:
        factors = self.composed(self.active.own, self.active.beyond)
        return Factors(*(part if part is None else part.to(dtype) for part in factors))

    def composed(self, own: Composition, beyond: Composition) -> Factors:
        """The factors of each example: the bank's ranks, then the corrections'. A bias has a constant hidden value."""
        correction, (start, more) = self.correction[0], (own.index.shape[1], beyond.index.shape[1])
        a, b = gathered(self.lora_a, self.lora_b, own.padded(start + more), self.scaling)
        if not more:
            return Factors(a, b)
        if correction.lora_a is None:
            b[:, start:] = functional.embedding(beyond.index, correction.lora_b)
            return Factors(a, b, functional.pad(beyond.weight, (start, 0))[..., None])
        a[:, start:], b[:, start:] = gathered(correction.lora_a, correction.lora_b, beyond)
        return Factors(a, b)

    def low_rank(self, index: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        a, b, _ = self._one(index, weight)
        return a[0], b[0]

    def shift(self, index: Tensor, weight: Tensor) -> Tensor | None:
        _, b, constant = self._one(index, weight)
        return None if constant is None else (constant * b)[0].sum(dim=0)

    def _one(self, index: Tensor, weight: Tensor) -> Factors:
        return self.composed(*split(Composition(index[None], weight[None]), len(self.lora_a)))


@checked("adapter")
def calibrated_composer(bank: Composer, cells: Sequence[Cell], rank: Count | None, shared: bool) -> Composer:
    """The composer of `bank` with the corrections as further features: one for each of `cells`, or one for all.

    Args:
        bank: the frozen bank's.
        cells: the composite cells that train.
        rank: of a correction; None for a bias.
        shared: one correction for all cells.

    Raises:
        FlixError: the bank uses the corrections' axis itself or lacks a part of a composite cell, or no rank at all.
    """
    for feature in (f for cell in cells for f in bank.featurizer(cell) if len(cell.values(f.axis)) > 1):
        if feature not in bank.space:
            raise unknown("feature of adapter.bank, a part of a composite cell,", feature, bank.space)
    axis = SHARED if shared else DATASET
    if axis in bank.featurizer.axes:
        raise FlixError(f"adapter.shared={shared}: the bank has features on the axis {axis!r} of its own.")
    corrections = FeatureSpace.of(cells, Featurizer((axis,)))
    ranks = {**{str(f): bank.allocation[f] for f in bank.space}, **{str(f): rank or 1 for f in corrections}}
    by_axis = {Feature.parse(name).axis: rank for name, rank in ranks.items()}
    space = FeatureSpace([*bank.space, *corrections])
    return Composer(Featurizer((*bank.featurizer.axes, axis)), space, RankAllocation(by_axis, ranks))


class Calibrated(NamedTuple):
    """What `calibrate` returns: the model's new composition, and projection type -> correction."""

    active: ActiveCorrections
    corrections: dict[str, Correction]


def calibrate(backbone: nn.Module, rows: int, biases: bool) -> Calibrated:
    """Freeze the banks of `backbone` and correct them in place.

    Args:
        rows: of all corrections of one projection type together.
        biases: LC; otherwise LC++.
    """
    banks, found = featurized_linears(backbone), {}
    active = ActiveCorrections(len(next(iter(banks.values())).lora_a), rows)
    for path, bank in banks.items():
        kind, (parent, _, child) = projection_type(path), path.rpartition(".")
        if kind not in found:
            found[kind] = Correction(rows, bank.in_features, bank.out_features, biases).to(bank.lora_a.device)
        setattr(backbone.get_submodule(parent), child, CalibratedLinear(bank, found[kind], active))
    backbone.add_module(CALIBRATION, nn.ModuleDict({kind.replace(".", "/"): c for kind, c in found.items()}))
    return Calibrated(active, found)


def size(corrections: Iterable[Correction]) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for correction in corrections for parameter in correction.parameters())
