"""Scores by cell: one metric for each, summed exactly over processes, and their means."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from torch import nn

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
    """

    def __init__(self, cells: Iterable[Cell], tasks: Mapping[str, Task]) -> None:
        super().__init__()
        self.cells = list(cells)
        self._number = {cell: i for i, cell in enumerate(self.cells)}
        self.metrics = nn.ModuleList(
            make_metric(f"metric of task {cell.task}", tasks[cell.task].metric, COMPOSED) for cell in self.cells
        )

    def update(self, cells: Sequence[Cell], predictions: Sequence[str], targets: Sequence[str]) -> None:
        """Add answers; both sides as `scored` gives them."""
        for number, prediction, target in zip((self._number[c] for c in cells), predictions, targets, strict=True):
            self.metrics[number].update([scored(prediction)], [scored(target)])

    def compute(self) -> dict[Cell, float]:
        """Cell -> score in 0 to 100. Every process must call this: it sums over them."""
        return {cell: metric.compute().item() for cell, metric in zip(self.cells, self.metrics)}

    def reset(self) -> None:
        for metric in self.metrics:
            metric.reset()


def mean_by_task(scores: Mapping[Cell, float]) -> dict[str, float]:
    """Task -> the mean over its cells."""
    tasks = dict.fromkeys(cell.task for cell in scores)
    return {task: fmean(score for cell, score in scores.items() if cell.task == task) for task in tasks}
