"""The compositional benchmark: questions and entity extraction, answered in another language or in a date style."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from random import Random

from flix_lightning.benchmarks import cldr
from flix_lightning.benchmarks.benchmark import SPLITS, Example, code_of
from flix_lightning.benchmarks.cldr.benchmark import checked_rows
from flix_lightning.benchmarks.cldr.languages import language_name
from flix_lightning.benchmarks.cldr.rows import distinct
from flix_lightning.benchmarks.cldr_compositional.rows import draft
from flix_lightning.benchmarks.cldr_compositional.tasks import COMPOSITE, TASKS
from flix_lightning.errors import FlixError, unknown
from flix_lightning.features import Cell


class CldrCompositional:
    """Nine single and fourteen composite tasks on English text; rows are drawn from `seed`.

    Args:
        rows: split -> rows a cell.
        composite_train_rows: training rows of a composite task, which are meant to be few.
        seed: another seed gives other rows; a content keeps its split whatever the seed.
    """

    name = "cldr_compositional"
    tasks = TASKS
    left_out = ()

    def __init__(self, rows: Mapping[str, int], composite_train_rows: int, seed: int = 0) -> None:
        self.rows, self.seed = checked_rows(rows), seed
        if composite_train_rows < 1:
            raise FlixError(f"benchmark.composite_train_rows: at least 1; got {composite_train_rows!r}.")
        self.composite_train_rows = composite_train_rows
        self.cells = tuple(Cell(task, "en") for task in TASKS)
        self.examples = cache(self._examples)

    def splits(self, cell: Cell) -> tuple[str, ...]:
        return SPLITS

    def stream(self, cell: Cell, split: str) -> tuple[Example, ...]:
        return self.examples(cell, split)

    def fingerprint(self, cell: Cell, split: str) -> str:
        code = [code_of(Path(file).parent) for file in (__file__, cldr.__file__)]
        rows = f"{self.rows[split]}/{self.composite_train_rows}/{self.seed}"
        return f"{cell}/{split}/{rows}/{version('babel')}/{code}"

    def _examples(self, cell: Cell, split: str) -> tuple[Example, ...]:
        if cell not in self.cells:
            raise unknown("cell of benchmark cldr_compositional", cell, self.cells)
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        few = split == "train" and cell.task in COMPOSITE
        rng = Random(f"{self.seed}/{cell}/{split}")
        rows = islice(
            distinct(lambda: draft(cell.task, rng), split, str(cell)),
            self.composite_train_rows if few else self.rows[split],
        )
        task = TASKS[cell.task]
        return tuple(
            Example(f"{cell}/{split}/{i}", task.render(language_name("en"), input=row.input), row.target)
            for i, row in enumerate(rows)
        )
