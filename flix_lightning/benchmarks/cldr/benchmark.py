"""The embedded benchmark: real multilingual text from Unicode CLDR, with nothing to download and nothing stored."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path

from flix_lightning.benchmarks.benchmark import SPLITS, Example, code_of
from flix_lightning.benchmarks.cldr.languages import CELLS, language_name
from flix_lightning.benchmarks.cldr.rows import draw_rows
from flix_lightning.benchmarks.cldr.tasks import TASKS
from flix_lightning.errors import FlixError, unknown
from flix_lightning.features import Cell


def checked_rows(rows: Mapping[str, int]) -> dict[str, int]:
    """Rows a cell of every split.

    Raises:
        FlixError: an unknown split, or one without rows.
    """
    for split in rows:
        if split not in SPLITS:
            raise unknown("benchmark.rows", split, SPLITS)
    for split in SPLITS:
        if not isinstance(rows.get(split), int) or rows[split] < 1:
            raise FlixError(f"benchmark.rows.{split}: at least 1 row a cell; got {rows.get(split)!r}.")
    return dict(rows)


class Cldr:
    """Five tasks, 51 languages, 92 cells; rows are drawn from `seed`.

    Args:
        rows: split -> rows a cell.
        scarce: language -> training rows a cell, where they are not `rows["train"]`: low-resource languages.
        seed: another seed gives other rows; a content keeps its split whatever the seed.
    """

    name = "cldr"
    tasks = TASKS
    left_out = ()

    def __init__(self, rows: Mapping[str, int], seed: int = 0, scarce: Mapping[str, int] | None = None) -> None:
        self.rows, self.seed, self.scarce = checked_rows(rows), seed, dict(scarce or {})
        self.cells = tuple(Cell(task, language) for task, languages in CELLS.items() for language in languages)
        for language, count in self.scarce.items():
            if language not in {cell.language for cell in self.cells}:
                raise unknown("benchmark.scarce", language, {cell.language for cell in self.cells})
            if not isinstance(count, int) or count < 1:
                raise FlixError(f"benchmark.scarce.{language}: at least 1 row a cell; got {count!r}.")
        self.examples = cache(self._examples)

    def splits(self, cell: Cell) -> tuple[str, ...]:
        return SPLITS

    def stream(self, cell: Cell, split: str) -> tuple[Example, ...]:
        return self.examples(cell, split)

    def fingerprint(self, cell: Cell, split: str) -> str:
        return f"{cell}/{split}/{self.rows[split]}/{self.seed}/{version('babel')}/{code_of(Path(__file__).parent)}"

    def _examples(self, cell: Cell, split: str) -> tuple[Example, ...]:
        if cell not in self.cells:
            raise unknown("cell of benchmark cldr", cell, self.cells)
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        task, language = TASKS[cell.task], language_name(cell.language)
        count = self.scarce.get(cell.language, self.rows[split]) if split == "train" else self.rows[split]
        rows = islice(draw_rows(cell.task, cell.language, split, self.seed), count)
        return tuple(
            Example(f"{cell}/{split}/{i}", task.render(language, input=row.input), row.target)
            for i, row in enumerate(rows)
        )
