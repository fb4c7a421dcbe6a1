"""The adapter bank: one frozen linear layer with the low-rank factors of every feature. The maths of FLix is here.

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
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from flix_lightning.adapters.composition import ActiveComposition, Composition, UsedRanks
from flix_lightning.adapters.probe import sizes

Factors = tuple[Tensor, Tensor]


class AdapterBank(nn.Module):
    """A frozen linear with stacked factors; a drop-in for the linear it wraps.

    Args:
        base: the linear to adapt, in -> out, or GPT-2's Conv1D, which is one; it is frozen here.
        ranks: the number of all features' ranks together.
        active: the holder that says which ranks serve which example.
        scaling: a factor on the whole update; 1 in the paper.

    Attributes:
        lora_a: (ranks, in), drawn uniformly from +-1/sqrt(in), as PEFT does.
        lora_b: (ranks, out), zero at the start, so that a fresh bank changes nothing. It is stored transposed, a
            feature's rows side by side in both factors.
        working_a, working_b: (capacity, in), (capacity, out), the rows of a training step (see `working_set`).
    """

    def __init__(self, base: nn.Linear | Conv1D, ranks: int, active: ActiveComposition, scaling: float = 1.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.active = active
        self.scaling = scaling
        self.in_features, self.out_features = sizes(base)
        place = {"device": base.weight.device, "dtype": torch.float32}
        self.lora_a = nn.Parameter(torch.empty(ranks, self.in_features, **place))
        self.lora_b = nn.Parameter(torch.zeros(ranks, self.out_features, **place))
        nn.init.uniform_(self.lora_a, -1 / math.sqrt(self.in_features), 1 / math.sqrt(self.in_features))
        self.working_a: nn.Parameter | None = None
        self.working_b: nn.Parameter | None = None
        self._composed: dict[str, tuple] = {}

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
            ValueError: the rows of `x` are no multiple of the composition's batch.
        """
        composition = self.active.current
        if composition is None:
            return self.base(x)
        batch = len(composition.index)
        if len(x) % batch:
            raise ValueError(f"{len(x)} rows cannot be served by a composition of {batch}")
        kind = x.device.type
        autocast = torch.is_autocast_enabled(kind)
        x = self.active.converted(x, torch.get_autocast_dtype(kind)) if autocast else x  # for linear and factors
        y = self.base(x)
        x = (x if autocast else x.to(self.lora_a.dtype)).reshape(batch, -1, self.in_features)
        if self.active.wide is not None:
            return self._wide(x, y, self.active.wide)
        used = self.active.used
        if used is not None and x.shape[1] == 1 and x.dtype == torch.bfloat16 and not torch.is_grad_enabled():
            return self._token(x, y, used)
        return self._gathered(x, y)

    def _gathered(self, x: Tensor, y: Tensor) -> Tensor:
        """Add what each example's own factors say: the cost does not depend on the number of features."""
        a, b = self._factors(x.dtype)
        return self._add(y, self._hidden(x, a), b)

    def _hidden(self, x: Tensor, a: Tensor) -> Tensor:
        """x a^T, (batch, length, active rank)."""
        return torch.bmm(a, x.mT).mT if self._swaps(x) else torch.bmm(x, a.mT)

    def _swaps(self, x: Tensor) -> bool:
        """Whether (a x^T)^T is faster: for many tokens and a down projection; its gradient is slower everywhere."""
        return not torch.is_grad_enabled() and x.shape[1] > 1 and self.in_features > self.out_features

    def _wide(self, x: Tensor, y: Tensor, gate: Tensor) -> Tensor:
        """Push every example through all ranks, with the gate (batch, ranks) between: best while ranks are few."""
        lora_a, lora_b = (factor.to(x.dtype) for factor in (self.lora_a, self.lora_b))
        hidden = functional.linear(x, lora_a) * (gate * self.scaling)[:, None].to(x.dtype)
        return self._add(y, hidden, lora_b.expand(len(gate), -1, -1))

    def _token(self, x: Tensor, y: Tensor, used: UsedRanks) -> Tensor:
        """One token an example, as generation has them: no factors of an example's own are laid out in memory."""
        a, b = self._kept(x.dtype, self._rows)
        hidden = functional.linear(x[:, 0], a).gather(1, used.places).mul_(used.weight)
        update = torch.embedding_bag(b, used.flat, used.starts, mode=0, per_sample_weights=hidden.view(-1))[0]
        return y.add_(update.view_as(y))

    def _add(self, y: Tensor, hidden: Tensor, b: Tensor) -> Tensor:
        """y + hidden b, (batch, tokens, ranks) and (batch, ranks, out); in place unless autograd would copy."""
        whole = y if y.shape[:-1] == hidden.shape[:-1] else y.view(len(b), -1, self.out_features)
        if y.dtype != hidden.dtype:
            return y + torch.bmm(hidden, b).view_as(y).to(y.dtype)
        if not torch.is_grad_enabled() or (whole is y and self.bias is None):
            return whole.baddbmm_(hidden, b).view_as(y)
        return torch.baddbmm(whole, hidden, b).view_as(y)

    def _factors(self, dtype: torch.dtype) -> Factors:
        """(batch, active rank, in) and (batch, active rank, out), the weights folded into the first."""
        if torch.is_grad_enabled():
            self._composed.clear()
            return self._compose(dtype)
        return self._kept(dtype, self._compose)

    def _kept(self, dtype: torch.dtype, compose: Callable[[torch.dtype], Factors]) -> Factors:
        """What `compose` makes, kept until the next composition: a generation composes once, not at every token."""
        version = (self.active.version, self.lora_a._version, self.lora_b._version, dtype)
        if self._composed.get(compose.__name__, (None,))[0] != version:
            self._composed[compose.__name__] = (version, compose(dtype))
        return self._composed[compose.__name__][1]

    def _compose(self, dtype: torch.dtype) -> Factors:
        composition, used = self.active.current, self.active.used
        if used is not None and not torch.is_grad_enabled():  # in the number format first, then laid out
            a, b = (functional.embedding(used.places, factor) for factor in self._kept(dtype, self._rows))
            return a.mul_(composition.weight[..., None]), b
        whole = (self.working_a, self.working_b) if self.active.working else (self.lora_a, self.lora_b)
        a, b = gathered(*whole, composition, self.scaling)
        return a.to(dtype), b.to(dtype)

    def _rows(self, dtype: torch.dtype) -> Factors:
        """(used, in) and (used, out): the ranks that the batch uses, once each."""
        a, b = (functional.embedding(self.active.used.rows, factor) for factor in (self.lora_a, self.lora_b))
        return a.mul_(self.scaling).to(dtype), b.to(dtype)

    def work_on(self, capacity: int) -> None:
        """Train `capacity` working rows in place of the whole factors, which keep their values."""
        for working, factor in (("working_a", self.lora_a), ("working_b", self.lora_b)):
            factor.requires_grad_(False)
            setattr(self, working, nn.Parameter(factor.new_zeros(capacity, factor.shape[1])))

    def working_factors(self) -> tuple[tuple[nn.Parameter, Tensor], ...]:
        """Both working factors, each with its whole."""
        return (self.working_a, self.lora_a), (self.working_b, self.lora_b)

    def low_rank(self, index: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The composed update of one example as factors (active rank, in) and (active rank, out), the weights and the
        scaling folded into the first; `index` and `weight` are its rows (active rank,).
        """
        return gathered(self.lora_a, self.lora_b, Composition(index, weight), self.scaling)

    def shift(self, index: Tensor, weight: Tensor) -> Tensor | None:
        """What one composition adds to every output (out,) beside the low-rank update: nothing."""
        return None

    def delta_weight(self, index: Tensor, weight: Tensor) -> Tensor:
        """The composed update (out, in) of one example."""
        a, b = self.low_rank(index, weight)
        return b.T @ a

    @torch.no_grad()
    def merged(self, index: Tensor, weight: Tensor) -> nn.Linear | Conv1D:
        """A plain linear of the base's kind that does what this bank does for that one composition."""
        place = {"device": self.weight.device, "dtype": self.weight.dtype}
        added = [bias for bias in (self.bias, self.shift(index, weight)) if bias is not None]
        delta = self.delta_weight(index, weight)
        if isinstance(self.base, Conv1D):
            linear, delta = Conv1D(self.out_features, self.in_features).to(**place), delta.T
        else:
            linear = nn.utils.skip_init(nn.Linear, self.in_features, self.out_features, bool(added), **place)
        linear.weight.copy_(self.weight + delta)
        if added:
            linear.bias.copy_(sum(added))
        return linear.requires_grad_(False)


def gathered(lora_a: Tensor, lora_b: Tensor, composition: Composition, scaling: float = 1.0) -> tuple[Tensor, Tensor]:
    """Factors (..., active rank, in) and (..., active rank, out), weights and scaling folded into the first.

    Args:
        lora_a, lora_b: (ranks, in), (ranks, out).
        composition: its tensors are (..., active rank).
    """
    a, b = (functional.embedding(composition.index, factor) for factor in (lora_a, lora_b))
    return a * (composition.weight * scaling)[..., None], b
