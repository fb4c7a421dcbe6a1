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

import torch
from torch import Tensor, nn
from torch.nn import functional

from flix_lightning.composition import ActiveComposition


class AdapterBank(nn.Module):
    """A frozen linear with stacked factors; a drop-in for the linear it wraps.

    Args:
        base: the linear to adapt, in -> out; it is frozen here.
        ranks: the number of all features' ranks together.
        active: the holder that says which ranks serve which example.
        scaling: a factor on the whole update; 1 in the paper.

    Attributes:
        lora_a: (ranks, in), drawn uniformly from +-1/sqrt(in), as PEFT does.
        lora_b: (ranks, out), zero at the start, so that a fresh bank changes nothing. It is stored transposed, a
            feature's rows side by side in both factors.
    """

    def __init__(self, base: nn.Linear, ranks: int, active: ActiveComposition, scaling: float = 1.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.active = active
        self.scaling = scaling
        place = {"device": base.weight.device, "dtype": torch.float32}
        self.lora_a = nn.Parameter(torch.empty(ranks, base.in_features, **place))
        self.lora_b = nn.Parameter(torch.zeros(ranks, base.out_features, **place))
        nn.init.uniform_(self.lora_a, -1 / math.sqrt(base.in_features), 1 / math.sqrt(base.in_features))
        self._composed: tuple[tuple[int, ...], Tensor, Tensor] | None = None

    @property
    def weight(self) -> Tensor:
        """The frozen weight (out, in); some backbones read its dtype."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        return self.base.bias

    @property
    def in_features(self) -> int:
        return self.base.in_features

    @property
    def out_features(self) -> int:
        return self.base.out_features

    def forward(self, x: Tensor) -> Tensor:
        """(batch * anything, in) or (batch, ..., in) -> the same with out; `batch` is the composition's.

        Raises:
            ValueError: the rows of `x` are no multiple of the composition's batch.
        """
        y = self.base(x)
        if self.active.current is None:
            return y
        if len(x) % len(self.active.current.index):
            raise ValueError(f"{len(x)} rows cannot be served by a composition of {len(self.active.current.index)}")
        if self.active.wide is not None:
            return y + self._wide(x, self.active.wide).view_as(y).to(y.dtype)
        return y + self._gathered(x, len(self.active.current.index)).view_as(y).to(y.dtype)

    def _gathered(self, x: Tensor, batch: int) -> Tensor:
        """Take each example's own factors: the cost does not depend on the number of features."""
        a, b = self._factors()
        hidden = torch.bmm(x.reshape(batch, -1, self.in_features).to(a.dtype), a.transpose(1, 2))
        return torch.bmm(hidden, b.to(hidden.dtype))

    def _wide(self, x: Tensor, gate: Tensor) -> Tensor:
        """Push every example through all ranks, with the gate (batch, ranks) between: best while ranks are few."""
        hidden = functional.linear(x.reshape(len(gate), -1, self.in_features).to(self.lora_a.dtype), self.lora_a)
        hidden = hidden * (gate * self.scaling)[:, None].to(hidden.dtype)
        return hidden @ self.lora_b.to(hidden.dtype)

    def _factors(self) -> tuple[Tensor, Tensor]:
        """(batch, active rank, in) and (batch, active rank, out), the weights folded into the first.

        Without gradients they are kept until the next composition: a generation composes once, not at every token.
        """
        composition = self.active.current
        version = (self.active.version, self.lora_a._version, self.lora_b._version)
        if not torch.is_grad_enabled() and self._composed is not None and self._composed[0] == version:
            return self._composed[1:]
        a = functional.embedding(composition.index, self.lora_a) * (composition.weight * self.scaling)[..., None]
        b = functional.embedding(composition.index, self.lora_b)
        self._composed = None if torch.is_grad_enabled() else (version, a, b)
        return a, b

    def delta_weight(self, index: Tensor, weight: Tensor) -> Tensor:
        """The composed update (out, in) of one example: `index` and `weight` are its rows (active rank,)."""
        a, b = self.lora_a[index] * (weight * self.scaling)[:, None], self.lora_b[index]
        return b.T @ a

    @torch.no_grad()
    def merged(self, index: Tensor, weight: Tensor) -> nn.Linear:
        """A plain linear that does what this bank does for that one composition."""
        place = {"device": self.weight.device, "dtype": self.weight.dtype}
        linear = nn.utils.skip_init(nn.Linear, self.in_features, self.out_features, self.bias is not None, **place)
        linear.weight.copy_(self.weight + self.delta_weight(index, weight))
        if self.bias is not None:
            linear.bias.copy_(self.bias)
        return linear.requires_grad_(False)
