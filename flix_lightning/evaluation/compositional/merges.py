"""Merges of trained features into one adapter a composite task, with nothing trained.

A merge takes the factors of the features involved, `lora_a` (rank, in) and `lora_b` (rank, out) each, and gives those
of one adapter. "concat" is the exact weighted sum of the updates; all others work on the two factors separately, as
PEFT's `add_weighted_adapter` does, and so have cross terms. PEFT's own arithmetic is used where PEFT has it.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from peft.utils.merge_utils import dare_linear, task_arithmetic, ties
from torch import Tensor

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.features import Feature, Featurizer
from flix_lightning.data.cells import DATASET, Cell

Factors = Sequence[Tensor]  # one tensor a feature, all of one shape, for one side of a linear
Merge = Callable[[Factors, Factors, Sequence[float]], tuple[Tensor, Tensor]]
DENSITY = 0.5  # the share of values that TIES and DARE keep


def concat(a: Factors, b: Factors, weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """sum_i w_i B_i A_i, by stacking ranks."""
    return torch.cat([weight * factor for weight, factor in zip(weights, a)]), torch.cat(list(b))


def linear(a: Factors, b: Factors, weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """(sum_i sqrt(w_i) B_i) (sum_i sqrt(w_i) A_i)."""
    roots = _roots(weights)
    return task_arithmetic(list(a), roots), task_arithmetic(list(b), roots)


def ties_merge(a: Factors, b: Factors, weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Trim the small values, elect a sign for each, average those that agree (Yadav et al., 2023)."""
    roots = _roots(weights)
    return ties(list(a), roots, DENSITY), ties(list(b), roots, DENSITY)


def dare_merge(a: Factors, b: Factors, weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Drop values at random, rescale the rest, add (Yu et al., 2024); the same draws in every run."""
    roots = _roots(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dare_linear(list(a), roots, DENSITY), dare_linear(list(b), roots, DENSITY)


def slerp_merge(a: Factors, b: Factors, weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Half-way along the arc between the factors of two features (Shoemake, 1985), whatever the weights."""
    return slerp(*a), slerp(*b)


def slerp(first: Tensor, second: Tensor, t: float = 0.5) -> Tensor:
    """sin((1 - t) w) / sin(w) * first + sin(t w) / sin(w) * second, w the angle between the two as vectors.

    The straight line where they are (nearly) parallel, which also holds for a zero tensor.
    """
    norms = first.norm() * second.norm()
    cosine = ((first * second).sum() / norms).clamp(-1, 1) if norms > 0 else first.new_tensor(1.0)
    angle = torch.acos(cosine)
    if torch.sin(angle) < 1e-6:
        return (1 - t) * first + t * second
    return (torch.sin((1 - t) * angle) * first + torch.sin(t * angle) * second) / torch.sin(angle)


def hub_merge(a: Factors, b: Factors, weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """(sum_i w_i B_i) (sum_i w_i A_i), LoraHub's composition (Huang et al., 2024); weights may be negative."""
    signed = torch.tensor(weights)
    return task_arithmetic(list(a), signed), task_arithmetic(list(b), signed)


MERGES: dict[str, Merge] = {
    "concat": concat, "linear": linear, "TIES": ties_merge, "DARE": dare_merge, "Slerp": slerp_merge
}  # fmt: skip


def _roots(weights: Sequence[float]) -> Tensor:
    return torch.tensor(weights).sqrt()


def merged_bank(experts: Bank, cells: Iterable[Cell], merge: Merge, weights: dict[Cell, Sequence[float]]) -> Bank:
    """A bank with one adapter for each of `cells`, made of the features that the cell has in `experts`.

    Args:
        experts: a bank whose features have one rank.
        weights: cell -> the weight of each of its features, in the cell's order; one that is 0 is left out.
    """
    cells, rows, featurizer = tuple(cells), experts.rows(), Featurizer(experts.axes)
    adapters: dict[Feature, dict[str, Tensor]] = {}
    for cell in sorted(cells, key=str):
        chosen = [(rows[f], w) for f, w in zip(featurizer(cell), weights[cell], strict=True) if w != 0]
        adapters[Feature(DATASET, str(cell))] = found = {}
        for module in experts.modules:
            a, b = ([experts.factors[f"{module}.{side}"][list(r)] for r, _ in chosen] for side in ("lora_a", "lora_b"))
            found[f"{module}.lora_a"], found[f"{module}.lora_b"] = merge(a, b, [w for _, w in chosen])
    first = experts.modules[0]
    return Bank(
        factors={name: torch.cat([adapter[name] for adapter in adapters.values()]) for name in experts.factors},
        ranks={feature: len(adapter[f"{first}.lora_a"]) for feature, adapter in adapters.items()},
        backbone=experts.backbone,
        axes=(DATASET,),
        scaling=experts.scaling,
        cells=cells,
        tasks=experts.tasks,
        prompting=experts.prompting,
        model=experts.model,
    )
