"""Weights of a merge, chosen without gradients from a few composite examples; LoraHub is one such choice."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from flix_lightning.adapters.bank import Bank
from flix_lightning.data.benchmarks.benchmark import Example
from flix_lightning.data.cells import Cell
from flix_lightning.data.tokens.encoding import IGNORE
from flix_lightning.evaluation.compositional.merges import Merge, merged_bank
from flix_lightning.inference.model import FlixModel
from flix_lightning.models.backbone import Backbone

Weights = tuple[float, ...]
Shots = Mapping[Cell, Sequence[Example]]  # composite cell -> a few of its training examples
EQUAL = ((0.5, 0.5), (1.0, 1.0))  # the mean of two features, and their sum
PENALTY = 0.05  # LoraHub's


def sobol(count: int, seed: int, bound: float = 1.5) -> tuple[Weights, ...]:
    """Pairs spread evenly over the square of LoraHub's bounds."""
    points = torch.quasirandom.SobolEngine(2, scramble=True, seed=seed).draw(count)
    return tuple((x, y) for x, y in ((2 * points - 1) * bound).tolist())


@torch.inference_mode()
def losses(model: FlixModel, cells: Sequence[Cell], examples: Sequence[Example]) -> Tensor:
    """(rows,), the mean cross-entropy of each row's target tokens."""
    backbone = Backbone(model.backbone, model.tokenizer)
    inputs = backbone.training_batch([e.prompt for e in examples], [e.target for e in examples])
    model.active.set(model.composer.compose(cells).to(model.backbone.device))
    logits, labels = model.backbone(**inputs, use_cache=False).logits, inputs["labels"]
    if not model.backbone.config.is_encoder_decoder:  # a token is told by the one before it
        logits, labels = logits[:, :-1], labels[:, 1:]
    tokens = functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none", ignore_index=IGNORE)
    return tokens.sum(1) / (labels != IGNORE).sum(1)


def chosen_weights(
    experts: Bank,
    fresh: Callable[[], Backbone],
    merge: Merge,
    candidates: Sequence[Weights],
    shots: Shots,
    penalty: float = 0.0,
) -> dict[Cell, Weights]:
    """Cell -> the candidate with the smallest loss on the cell's shots.

    Args:
        fresh: gives the bare backbone, once for each candidate.
        penalty: times the mean absolute weight, is added to the loss.
    """
    cells = [cell for cell, examples in shots.items() for _ in examples]
    examples = [example for several in shots.values() for example in several]
    table = []
    for candidate in candidates:
        bank = merged_bank(experts, shots, merge, dict.fromkeys(shots, candidate))
        found = losses(FlixModel(fresh(), bank), cells, examples)
        size = penalty * sum(map(abs, candidate)) / len(candidate)
        table.append([found[[c == cell for c in cells]].mean().item() + size for cell in shots])
    best = torch.tensor(table).argmin(dim=0).tolist()
    return {cell: tuple(candidates[i]) for cell, i in zip(shots, best)}
