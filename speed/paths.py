"""Where the bank's ways to compute the same cross over, by the number of ranks over the active rank."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.composition import Composition
from flix_lightning.adapters.injection import target_names
from flix_lightning.adapters.layer import FeaturizedLinear
from speed.contestants import RANK
from speed.device import computed, device
from speed.shapes import Shape
from speed.timing import interleaved

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
BANKS = 16  # one after the other: in a model, the factors of the last one have left the cache, too
GENERATED = 64  # examples that get a token each
Way = Callable[[], None]


def paths(shape: Shape, rounds: int, quick: bool) -> dict[str, Any]:
    """Training: one product over all ranks, generation: over the batch's own; each against gathered factors."""
    backbone = shape.backbone()
    name = target_names(backbone, "all-linear")[0]
    linear = nn.Linear(*backbone.get_submodule(name).weight.T.shape, bias=False, device=device())
    multiples = MULTIPLES[:2] if quick else MULTIPLES
    training, generation = {}, {}
    for multiple in multiples:
        training[f"gathered {multiple}"] = _training(linear, shape, multiple, wide_up_to=0)
        training[f"other {multiple}"] = _training(linear, shape, multiple, wide_up_to=multiple)
        generation[f"gathered {multiple}"] = _generation(linear, multiple, used_up_to=0)
        generation[f"other {multiple}"] = _generation(linear, multiple, used_up_to=multiple)
    seconds = {"training": interleaved(training, rounds), "generation": interleaved(generation, 4 * rounds)}
    return {"seconds": seconds, "multiples": multiples}


def _banks(linear: nn.Linear, rows: int, multiple: int, wide_up_to: int, used_up_to: int) -> list[FeaturizedLinear]:
    """Banks with `multiple` times the active rank, every example's own drawn at random."""
    ranks = multiple * RANK
    active = ActiveComposition(ranks)
    active.WIDE_UP_TO, active.USED_UP_TO = wide_up_to, used_up_to
    draw = torch.Generator().manual_seed(0)
    index = torch.stack([torch.randperm(ranks, generator=draw)[:RANK] for _ in range(rows)])
    active.set(Composition(index, torch.ones(rows, RANK)).to(device()))
    return [FeaturizedLinear(linear, ranks, active) for _ in range(BANKS)]


def _training(linear: nn.Linear, shape: Shape, multiple: int, wide_up_to: int) -> Way:
    banks = _banks(linear, shape.rows, multiple, wide_up_to, 0)
    x = torch.randn(shape.rows, shape.length, linear.in_features, device=device(), requires_grad=True)

    def step() -> None:
        for bank in banks:
            with computed():
                y = bank(x)
            y.backward(torch.ones_like(y))
            bank.zero_grad()

    return step


def _generation(linear: nn.Linear, multiple: int, used_up_to: int) -> Way:
    banks = _banks(linear, GENERATED, multiple, 0, used_up_to)
    x = torch.randn(GENERATED, 1, linear.in_features, device=device())

    @torch.no_grad()
    def tokens() -> None:
        with computed():
            for _ in range(4):
                for bank in banks:
                    bank(x)

    return tokens
