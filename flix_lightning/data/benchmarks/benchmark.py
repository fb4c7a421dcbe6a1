"""What a benchmark is to the rest of the project: tasks, cells, and the examples of a cell."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence, Sized
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from flix_lightning.common.errors import FlixError
from flix_lightning.common.targets import Trust, check_target, construct
from flix_lightning.data.benchmarks.axes import Axes
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
    """A source of cells.

    A subclass sets `tasks` and `cells` and implements `examples`; the rest has defaults.

    Attributes:
        tasks: name -> task.
        cells: all that there are.
        name: for messages and results; by default that of the class.
        left_out: malformed rows that were read and left out.
        words: code -> language in words, as prompts have it; by default CLDR's English names.
        axes: sources of the values on further axes.
    """

    tasks: Mapping[str, Task]
    cells: Sequence[Cell]
    name: str
    left_out: Sized = ()
    words: Mapping[str, str] = MappingProxyType({})
    axes: Axes = Axes({})

    def __init_subclass__(cls) -> None:
        if not hasattr(cls, "name"):
            cls.name = cls.__name__

    @abstractmethod
    def examples(self, cell: Cell, split: str) -> Sequence[Example]:
        """All examples of a cell's split, in a fixed order; none where it has no rows of that split.

        Raises:
            FlixError: unknown cell.
        """

    def splits(self, cell: Cell) -> Sequence[str]:
        """The splits that a cell has rows of, in the order of `SPLITS`. By default found from the examples."""
        return tuple(split for split in SPLITS if self.examples(cell, split))

    def stream(self, cell: Cell, split: str) -> Iterable[Example]:
        """The same examples one by one, without keeping those that were read."""
        return self.examples(cell, split)

    def fingerprint(self, cell: Cell, split: str) -> str | None:
        """Changes whenever the examples of a cell's split do; found without reading them.

        None, the default, if that is impossible: the examples are then tokenised in every run.
        """
        return None


def load_benchmark(section: Mapping[str, Any], trust: Trust = ()) -> Benchmark:
    """The benchmark of a config's `benchmark` section.

    Args:
        trust: see `construct`; it holds for the tasks' metrics too.

    Raises:
        FlixError: the section names no benchmark, or its data does not match the section.
    """
    benchmark = construct("benchmark", section, Benchmark, trust)
    for name in ("tasks", "cells"):
        if not getattr(benchmark, name, None):
            raise FlixError(f"benchmark: {type(benchmark).__name__} has no {name}.")
    for cell in benchmark.cells:
        if cell.task not in benchmark.tasks:
            raise FlixError(f"benchmark: cell {cell} has an unknown task; its tasks: {', '.join(benchmark.tasks)}.")
    for name, task in benchmark.tasks.items():
        if isinstance(task.metric, Mapping):
            check_target(f"benchmark.tasks.{name}.metric", task.metric, trust)
    return benchmark


@cache
def code_of(folder: Path) -> str:
    """A digest of the Python files in a folder: of the code that makes examples."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
