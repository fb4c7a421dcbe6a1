"""What a benchmark is to the rest of the project: tasks, cells, and the examples of a cell."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Sized
from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

from flix_lightning.benchmarks.axes import Axes
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
    left_out: Sized  # the malformed rows that were met and left out
    words: Mapping[str, str]  # code -> language in words, as prompts have it
    axes: Axes  # where the values on further axes come from

    def splits(self, cell: Cell) -> Sequence[str]:
        """The splits that a cell has rows of, in the order of `SPLITS`."""

    def examples(self, cell: Cell, split: str) -> Sequence[Example]:
        """All examples of a cell's split, in a fixed order.

        Raises:
            FlixError: unknown cell, or a split it has no rows of.
        """

    def stream(self, cell: Cell, split: str) -> Iterable[Example]:
        """The same examples one by one; what was read need not be kept."""

    def fingerprint(self, cell: Cell, split: str) -> str | None:
        """Changes whenever the examples of a cell's split do; found without reading them.

        None where that cannot be told: their tokens are then made anew in every run.
        """


@cache
def code_of(folder: Path) -> str:
    """A digest of the Python files in a folder: of the code that makes examples."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
