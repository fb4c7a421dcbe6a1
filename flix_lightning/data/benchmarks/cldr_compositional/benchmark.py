"""The compositional benchmark: questions and entity extraction, answered in another language or in a date style."""

from collections.abc import Iterable, Mapping
from random import Random

from flix_lightning.common.settings import Count, Seed, checked
from flix_lightning.data.benchmarks.benchmark import Split
from flix_lightning.data.benchmarks.cldr.drawn import Drawn
from flix_lightning.data.benchmarks.cldr.rows import Row, distinct
from flix_lightning.data.benchmarks.cldr_compositional.rows import draft
from flix_lightning.data.benchmarks.cldr_compositional.tasks import COMPOSITE, TASKS
from flix_lightning.data.cells import Cell


@checked("benchmark")
class CldrCompositional(Drawn):
    """Nine single and fourteen composite tasks on English text.

    Args:
        rows, seed: see `Drawn`.
        composite_train_rows: training rows of a composite task, which are meant to be few.
    """

    name = "cldr_compositional"
    tasks = TASKS
    cells = tuple(Cell(task, "en") for task in TASKS)

    def __init__(self, rows: Mapping[Split, Count], composite_train_rows: Count, seed: Seed = 0) -> None:
        super().__init__(rows, seed)
        self.composite_train_rows = composite_train_rows

    def count(self, cell: Cell, split: str) -> int:
        return self.composite_train_rows if split == "train" and cell.task in COMPOSITE else self.rows[split]

    def draw(self, cell: Cell, split: str) -> Iterable[Row]:
        rng = Random(f"{self.seed}/{cell}/{split}")
        return distinct(lambda: draft(cell.task, rng), split, str(cell))
