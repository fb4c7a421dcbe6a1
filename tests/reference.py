"""The slow, obvious twin of the adapted layer: every example, feature and rank in a loop of its own."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def rank_rows(ranks: Mapping[str, int]) -> dict[str, range]:
    """Feature -> its rows of the stacked factors, feature after feature in the order given."""
    rows, start = {}, 0
    for feature, rank in ranks.items():
        rows[feature] = range(start, start + rank)
        start += rank
    return rows


def flix_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    lora_a: Tensor,
    lora_b: Tensor,
    rows: Mapping[str, range],
    active: Sequence[Mapping[str, float]],
    scaling: float = 1.0,
) -> Tensor:
    """y = x W^T + b + scaling * sum_i w_i (x a_i) b_i^T, example by example.

    Args:
        x: (batch, ..., in).
        weight, bias: (out, in), (out,) of the frozen linear.
        lora_a, lora_b: (ranks, in), (ranks, out).
        rows: feature -> its rows of the factors.
        active: for every example, active feature -> its weight.
    """
    outputs = []
    for example, features in zip(x, active, strict=True):
        y = example @ weight.T
        if bias is not None:
            y = y + bias
        for feature, gate in features.items():
            for i in rows[feature]:
                y = y + scaling * gate * (example @ lora_a[i])[..., None] * lora_b[i]
        outputs.append(y)
    return torch.stack(outputs)
