"""What travels from the data to the model: one training or one evaluation batch."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from flix_lightning.data.cells import Cell


@dataclass
class TrainBatch:
    """One process's share of a global batch.

    Attributes:
        inputs: `input_ids`, `attention_mask`, `labels`, (rows, length) each.
        step: of the global batch that this is a part of.
        global_cells: the cells of the whole global batch, in order.
        positions: (rows,), indices of this share's rows in the global batch.
        global_targets: target tokens in the whole global batch.
        places: (2, places), see `target_places`.
    """

    inputs: dict[str, Tensor]
    step: int
    global_cells: list[Cell]
    positions: list[int]
    global_targets: int
    places: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        inputs = {k: v.to(device, non_blocking=non_blocking) for k, v in self.inputs.items()}
        return replace(self, inputs=inputs, places=self.places.to(device, non_blocking=non_blocking))


@dataclass
class EvalBatch:
    """Prompts to generate from, and what is needed to score them.

    Attributes:
        inputs: `input_ids`, `attention_mask`, (rows, length) each.
        cells, ids, targets: one for each example.
        rows: the example's number in its cell's split.
        limits: the most tokens that each answer may have.
        counted: False for a batch that another process scores; it is processed only to stay in step.
    """

    inputs: dict[str, Tensor]
    cells: list[Cell]
    ids: list[str]
    targets: list[str]
    rows: list[int]
    limits: list[int]
    counted: bool = True

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        return replace(self, inputs={k: v.to(device, non_blocking=non_blocking) for k, v in self.inputs.items()})
