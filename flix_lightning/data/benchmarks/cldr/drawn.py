"""What benchmarks drawn from CLDR have in common: so many rows a cell, distinct, from a seed."""

from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from inspect import getfile
from itertools import islice
from pathlib import Path

import babel

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import Count, Seed, checked
from flix_lightning.data.benchmarks.axes import Axes
from flix_lightning.data.benchmarks.benchmark import SPLITS, Benchmark, Example, Split, code_of
from flix_lightning.data.benchmarks.cldr.languages import language_name
from flix_lightning.data.benchmarks.cldr.rows import Row
from flix_lightning.data.cells import Cell


@checked("benchmark")
class Drawn(Benchmark):
    """A benchmark whose rows are drawn from `seed`; a content keeps its split whatever the seed.

    Args:
        rows: split -> rows a cell.
        seed: another seed gives other rows.

    Raises:
        FlixError: an unknown split, or one without rows.
    """

    axes = Axes({})

    def __init__(self, rows: Mapping[Split, Count], seed: Seed) -> None:
        if lacking := [split for split in SPLITS if split not in rows]:
            raise FlixError(f"config key benchmark.rows.{lacking[0]} is missing.")
        self.rows, self.seed = {str(split): rows[split] for split in SPLITS}, seed
        self.words = {cell.language: language_name(cell.language) for cell in self.cells}
        self._drawn = cache(self._examples)

    def count(self, cell: Cell, split: str) -> int:
        """The rows of a cell."""
        return self.rows[split]

    def draw(self, cell: Cell, split: str) -> Iterable[Row]:
        """Rows without end."""
        raise NotImplementedError

    def fingerprint(self, cell: Cell, split: str) -> str:
        """Of all that decides a cell's rows: their number, the seed, CLDR's release and the code that draws them."""
        return f"{cell}/{split}/{self.count(cell, split)}/{self.seed}/{babel.__version__}/{self._code}"

    @cached_property
    def _code(self) -> list[str]:
        kinds = [kind for kind in type(self).__mro__ if issubclass(kind, Drawn)]
        return [code_of(folder) for folder in dict.fromkeys(Path(getfile(kind)).parent for kind in kinds)]

    def splits(self, cell: Cell) -> tuple[str, ...]:
        return SPLITS

    def examples(self, cell: Cell, split: str) -> tuple[Example, ...]:
        return self._drawn(cell, split)

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
