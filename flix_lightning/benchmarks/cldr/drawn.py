"""What benchmarks drawn from CLDR have in common: so many rows a cell, distinct, from a seed."""

from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from importlib.metadata import version
from inspect import getfile
from itertools import islice
from pathlib import Path
from typing import Any

from flix_lightning.benchmarks.axes import Axes
from flix_lightning.benchmarks.benchmark import SPLITS, Example, code_of
from flix_lightning.benchmarks.cldr.languages import language_name
from flix_lightning.benchmarks.cldr.rows import Row
from flix_lightning.errors import FlixError, unknown
from flix_lightning.features import Cell
from flix_lightning.tasks import Task


def check_count(place: str, rows: Any) -> None:
    """
    Raises:
        FlixError: `rows` is no number of rows that a cell can have.
    """
    if not isinstance(rows, int) or not 1 <= rows < 1 << 63:
        raise FlixError(f"{place}: at least 1 row a cell, below 2^63; got {rows!r}.")


class Drawn:
    """A benchmark whose rows are drawn from `seed`; a content keeps its split whatever the seed.

    Args:
        rows: split -> rows a cell.
        seed: another seed gives other rows.

    Raises:
        FlixError: an unknown split, or one without rows.
    """

    name: str
    tasks: Mapping[str, Task]
    cells: tuple[Cell, ...]
    left_out = ()
    axes = Axes({})

    def __init__(self, rows: Mapping[str, int], seed: int) -> None:
        for split in rows:
            if split not in SPLITS:
                raise unknown("benchmark.rows", split, SPLITS)
        for split in SPLITS:
            check_count(f"benchmark.rows.{split}", rows.get(split))
        self.rows, self.seed = dict(rows), seed
        self.words = {cell.language: language_name(cell.language) for cell in self.cells}
        self.examples = cache(self._examples)

    def count(self, cell: Cell, split: str) -> int:
        """The rows of a cell."""
        return self.rows[split]

    def draw(self, cell: Cell, split: str) -> Iterable[Row]:
        """Rows without end."""
        raise NotImplementedError

    def fingerprint(self, cell: Cell, split: str) -> str:
        """Of all that decides a cell's rows: their number, the seed, CLDR's release and the code that draws them."""
        return f"{cell}/{split}/{self.count(cell, split)}/{self.seed}/{version('babel')}/{self._code}"

    @cached_property
    def _code(self) -> list[str]:
        kinds = [kind for kind in type(self).__mro__ if issubclass(kind, Drawn)]
        return [code_of(folder) for folder in dict.fromkeys(Path(getfile(kind)).parent for kind in kinds)]

    def splits(self, cell: Cell) -> tuple[str, ...]:
        return SPLITS

    def stream(self, cell: Cell, split: str) -> tuple[Example, ...]:
        return self.examples(cell, split)

    def _examples(self, cell: Cell, split: str) -> tuple[Example, ...]:
        if cell not in self.cells:
            raise unknown(f"cell of benchmark {self.name}", cell, self.cells)
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        task, language = self.tasks[cell.task], self.words[cell.language]
        return tuple(
            Example(f"{cell}/{split}/{i}", task.render(language, input=row.input), row.target)
            for i, row in enumerate(islice(self.draw(cell, split), self.count(cell, split)))
        )
