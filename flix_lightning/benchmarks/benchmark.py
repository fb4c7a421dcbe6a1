"""What a benchmark is to the rest of the project: tasks, cells, and the examples of a cell."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from flix_lightning.features import Cell
from flix_lightning.tasks import Task

SPLITS = ("train", "validation", "test")


class Example(NamedTuple):
    """One example, ready for a model. `id` is unique in the benchmark and the same in every run."""

    id: str
    prompt: str
    target: str


class Benchmark(Protocol):
    """A source of cells."""

    name: str
    tasks: Mapping[str, Task]
    cells: Sequence[Cell]

    def splits(self, cell: Cell) -> Sequence[str]:
        """The splits that a cell has rows of, in the order of `SPLITS`."""

    def examples(self, cell: Cell, split: str) -> Sequence[Example]:
        """All examples of a cell's split, in a fixed order.

        Raises:
            FlixError: unknown cell, or a split it has no rows of.
        """
