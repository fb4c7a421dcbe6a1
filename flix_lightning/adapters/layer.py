"""The adapted layer: a frozen linear with the low-rank factors of every feature. The maths of FLix is here.

    y = x W0^T + b + scaling * sum_i w_i (x a_i) b_i^T          (FLix, eq. 2, one term for each active rank)

The factors of all features are stacked along one axis of ranks, feature after feature:

          in                          out
    +-------------+            +-------------+
    | task=ner    | r_task     | task=ner    |        an example of (ner, Swahili) uses these
    | task=qa     |            | task=qa     |
    | language=sw | r_lang     | language=sw |        and these ranks
    | language=yo |            | language=yo |
    +-------------+            +-------------+
        lora_a                  lora_b^T

The sum over features is then a concatenation of ranks, and a batch may mix any cells.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.composition import Composition
from flix_lightning.adapters.kept import KeptFactors
from flix_lightning.adapters.paths import added, fast_path, projected
from flix_lightning.adapters.probe import sizes


class Factors(NamedTuple):
    """The factors of each example of a batch, its weights folded into the first.

    Attributes:
        a, b: (batch, active rank, in) and (batch, active rank, out).
        constant: (batch, active rank, 1), added to the hidden value of each rank; None for nothing.
    """

    a: Tensor
    b: Tensor
    constant: Tensor | None = None


class FeaturizedLinear(nn.Module):
    """A frozen linear with stacked factors; a drop-in for the linear it wraps.

    Args:
        base: the linear to adapt, in -> out, or GPT-2's Conv1D; it is frozen here.
        ranks: the total rank of all features.
        active: the current composition: which ranks serve which example.
        scaling: a factor on the whole update; 1 in the paper.

    Attributes:
        lora_a: (ranks, in), drawn uniformly from +-1/sqrt(in), as PEFT does.
        lora_b: (ranks, out), zero at the start, so that fresh factors change nothing. It is stored transposed, a
            feature's rows side by side in both factors.
        working_a, working_b: (capacity, in), (capacity, out), the rows of a training step after `work_on`.
    """

    working_a: nn.Parameter
    working_b: nn.Parameter

    def __init__(self, base: nn.Linear | Conv1D, ranks: int, active: ActiveComposition, scaling: float = 1.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.active = active
        self.scaling = scaling
        self.in_features, self.out_features = sizes(base)
        device = base.weight.device
        self.lora_a = nn.Parameter(torch.empty(ranks, self.in_features, device=device, dtype=torch.float32))
        self.lora_b = nn.Parameter(torch.zeros(ranks, self.out_features, device=device, dtype=torch.float32))
        nn.init.uniform_(self.lora_a, -1 / math.sqrt(self.in_features), 1 / math.sqrt(self.in_features))
        self.register_parameter("working_a", None)
        self.register_parameter("working_b", None)
        self.kept = KeptFactors()

    @property
    def weight(self) -> Tensor:
        """The frozen weight as the linear holds it; some backbones read its dtype."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        return self.base.bias

    def forward(self, x: Tensor) -> Tensor:
        """(batch * anything, in) or (batch, ..., in) -> the same with out; `batch` is the composition's.

        Raises:
            ValueError: the rows of `x` are not a multiple of the composition's batch.
        """
        if self.active.current is None:
            return self.base(x)
        x, rows = self._inputs(x, len(self.active.current.index))
        y = self.base(x)
        if faster := fast_path(self, rows):
            return faster(self, rows, y)
        a, b, constant = self.factors(rows.dtype)  # w_i a_i and b_i of each example
        return added(self, y, projected(self, rows, a, constant), b)

    def _inputs(self, x: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """`x` for the frozen linear, and as (batch, tokens, in) for the factors, in the products' number format."""
        kind = x.device.type
        if len(x) % batch:
            raise ValueError(f"{len(x)} rows cannot be served by a composition of {batch}")
        if torch.is_autocast_enabled(kind):
            x = rows = self.active.converted(x, torch.get_autocast_dtype(kind))
        else:
            rows = x.to(self.lora_a.dtype)
        return x, rows.reshape(batch, -1, self.in_features)

    def factors(self, dtype: torch.dtype) -> Factors:
        """The factors of each example of the batch, kept while nothing changes and no gradients are taken."""
        if not torch.is_grad_enabled():
            return self.kept.composed(self, dtype)
        self.kept.clear()
        return self.compose(dtype)

    def compose(self, dtype: torch.dtype) -> Factors:
        """The factors of each example of the batch, composed now."""
        composition = self.active.current
        assert composition is not None, "without one the frozen linear alone is computed"
        if self.active.used is not None and not torch.is_grad_enabled():  # in the number format first, then laid out
            places = self.active.used.places
            a, b = (functional.embedding(places, factor) for factor in self.kept.used_rows(self, dtype))
            return Factors(a.mul_(composition.weight[..., None]), b)
        whole = (self.working_a, self.working_b) if self.active.working else (self.lora_a, self.lora_b)
        a, b = gathered(*whole, composition, self.scaling)
        return Factors(a.to(dtype), b.to(dtype))

    def work_on(self, capacity: int) -> None:
        """Train `capacity` working rows in place of the whole factors, which keep their values."""
        for working, factor in (("working_a", self.lora_a), ("working_b", self.lora_b)):
            factor.requires_grad_(False)
            setattr(self, working, nn.Parameter(factor.new_zeros(capacity, factor.shape[1])))

    def working_factors(self) -> tuple[tuple[nn.Parameter, Tensor], ...]:
        """Both working factors, each with the whole factor that it holds rows of."""
        return (self.working_a, self.lora_a), (self.working_b, self.lora_b)

    def low_rank(self, index: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The composed update of one example as factors (active rank, in) and (active rank, out), the weights and the
        scaling folded into the first; `index` and `weight` are its rows (active rank,).
        """
        return gathered(self.lora_a, self.lora_b, Composition(index, weight), self.scaling)

    def shift(self, index: Tensor, weight: Tensor) -> Tensor | None:
        """The constant (out,) that one composition adds to every output beside the low-rank update: none here."""
        return None

    def delta_weight(self, index: Tensor, weight: Tensor) -> Tensor:
        """The composed update (out, in) of one example."""
        a, b = self.low_rank(index, weight)
        return b.T @ a

    @torch.no_grad()
    def merged(self, index: Tensor, weight: Tensor) -> nn.Linear | Conv1D:
        """A plain linear of the base's kind, equal to this layer under one composition."""
        device, dtype = self.weight.device, self.weight.dtype
        added = [bias for bias in (self.bias, self.shift(index, weight)) if bias is not None]
        delta = self.delta_weight(index, weight)
        if isinstance(self.base, Conv1D):
            linear, delta = Conv1D(self.out_features, self.in_features).to(device, dtype), delta.T
        else:
            linear = nn.utils.skip_init(
                nn.Linear, self.in_features, self.out_features, bool(added), device=device, dtype=dtype
            )
        linear.weight.copy_(self.weight + delta)
        if added:
            linear.bias.copy_(sum(added[1:], added[0]))
        return linear.requires_grad_(False)


def gathered(lora_a: Tensor, lora_b: Tensor, composition: Composition, scaling: float = 1.0) -> tuple[Tensor, Tensor]:
    """Factors (..., active rank, in) and (..., active rank, out), weights and scaling folded into the first.

    Args:
        lora_a, lora_b: (ranks, in), (ranks, out).
        composition: its tensors are (..., active rank).
    """
    a, b = (functional.embedding(composition.index, factor) for factor in (lora_a, lora_b))
    return a * (composition.weight * scaling)[..., None], b
