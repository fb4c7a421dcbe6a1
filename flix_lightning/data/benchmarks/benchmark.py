"""What a benchmark is to the rest of the project: tasks, cells, and the examples of a cell."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence, Sized
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from flix_lightning.common.targets import construct
from flix_lightning.data.cells import Cell
from flix_lightning.data.tasks import Task

Split = Literal["train", "validation", "test"]
SPLITS = get_args(Split)


class Example(NamedTuple):
    """One example, ready for a model. `id` is unique in the benchmark and the same in every run."""

    id: str
    prompt: str
    target: str


class Benchmark(ABC):
    """A source of cells."""

    name: str
    tasks: Mapping[str, Task]
    cells: Sequence[Cell]
    left_out: Sized  # the malformed rows that were met and left out

    @abstractmethod
    def splits(self, cell: Cell) -> Sequence[str]:
        """The splits that a cell has rows of, in the order of `SPLITS`."""

    @abstractmethod
    def examples(self, cell: Cell, split: str) -> Sequence[Example]:
        """All examples of a cell's split, in a fixed order.

        Raises:
            FlixError: unknown cell, or a split it has no rows of.
        """

    @abstractmethod
    def stream(self, cell: Cell, split: str) -> Iterable[Example]:
        """The same examples one by one; what was read need not be kept."""

    @abstractmethod
    def fingerprint(self, cell: Cell, split: str) -> str | None:
        """Changes whenever the examples of a cell's split do; found without reading them.

        None where that cannot be told: their tokens are then made anew in every run.
        """


def load_benchmark(section: Mapping[str, Any]) -> Benchmark:
    """The benchmark of a config's `benchmark` section.

    Raises:
        FlixError: the section names no benchmark, or its data is not as it says.
    """
    return construct("benchmark", section, ("flix_lightning.data.benchmarks.",), Benchmark)


@cache
def code_of(folder: Path) -> str:
    """A digest of the Python files in a folder: of the code that makes examples."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
