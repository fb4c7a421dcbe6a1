"""Scores by cell: one metric for each, summed exactly over processes, and their means."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import torch
import torch.distributed as dist
from torch import nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_sum

from flix_lightning.common.targets import COMPOSED
from flix_lightning.data.cells import Cell
from flix_lightning.data.metrics import make_metric
from flix_lightning.data.tasks import Task


def scored(text: str) -> str:
    """What is scored of an answer or a target: white space around it is no part of it, since decoding may lose it."""
    return text.strip()


class CellScores(nn.Module):
    """The metric of its task for each of `cells`.

    Args:
        tasks: of a benchmark; `load_benchmark` has checked that its metrics are trusted.
        device: where processes that share the work meet.
    """

    def __init__(self, cells: Iterable[Cell], tasks: Mapping[str, Task], device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.device = device
        self.cells = list(cells)
        self._number = {cell: i for i, cell in enumerate(self.cells)}
        self.metrics = nn.ModuleList(
            make_metric(f"metric of task {cell.task}", tasks[cell.task].metric, COMPOSED) for cell in self.cells
        )
        self._sums: list[Metric] = []  # these stay on the CPU, where texts are
        for metric in self.metrics:
            if _is_sums(metric):
                metric.distributed_available_fn = _alone
                self._sums.append(metric)
            else:
                metric.to(device)

    def update(self, cells: Sequence[Cell], predictions: Sequence[str], targets: Sequence[str]) -> None:
        """Add answers; both sides as `scored` gives them."""
        for number, prediction, target in zip((self._number[c] for c in cells), predictions, targets, strict=True):
            self.metrics[number].update([scored(prediction)], [scored(target)])

    def compute(self) -> dict[Cell, float]:
        """Cell -> score in 0 to 100. Every process must call this: it sums over them, all cells in one reduction."""
        kept = [(metric, name, state) for metric in self._sums for name, state in metric.metric_state.items()]
        states = [state for _, _, state in kept]
        for (metric, name, _), whole in zip(kept, summed(states, self.device)):
            setattr(metric, name, whole)
        scores = {cell: metric.compute().item() for cell, metric in zip(self.cells, self.metrics)}
        for metric, name, state in kept:
            setattr(metric, name, state)
        return scores

    def reset(self) -> None:
        for metric in self.metrics:
            metric.reset()


def _alone() -> bool:
    """What a metric asks before it meets other processes: its states are summed here instead."""
    return False


def _is_sums(metric: Metric) -> bool:
    """Whether all that a metric keeps is numbers to be summed over processes."""
    states = metric.metric_state.values()
    sums = all(reduction is dim_zero_sum for reduction in metric._reductions.values())
    return sums and all(isinstance(state, torch.Tensor) for state in states)


def summed(states: Sequence[torch.Tensor], device: torch.device | str) -> list[torch.Tensor]:
    """Each of some tensors of the CPU summed over all processes, which meet once; float64 holds whole numbers to 2^53.

    Args:
        device: where the processes' backend computes.
    """
    if not states or not dist.is_available() or not dist.is_initialized():
        return list(states)
    together = torch.cat([state.double().flatten() for state in states]).to(device)
    dist.all_reduce(together)
    parts = together.cpu().split([state.numel() for state in states])
    return [part.view(state.shape).to(state.dtype) for part, state in zip(parts, states)]


def mean_by_task(scores: Mapping[Cell, float]) -> dict[str, float]:
    """Task -> the mean over its cells."""
    tasks = dict.fromkeys(cell.task for cell in scores)
    return {task: fmean(score for cell, score in scores.items() if cell.task == task) for task in tasks}
