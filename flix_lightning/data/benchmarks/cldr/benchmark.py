"""The embedded benchmark: real multilingual text from Unicode CLDR, with nothing to download and nothing stored."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from flix_lightning.common.errors import unknown
from flix_lightning.common.settings import Count, Seed, checked
from flix_lightning.data.benchmarks.benchmark import Split
from flix_lightning.data.benchmarks.cldr.drawn import Drawn
from flix_lightning.data.benchmarks.cldr.languages import CELLS
from flix_lightning.data.benchmarks.cldr.rows import Row, draw_rows
from flix_lightning.data.benchmarks.cldr.tasks import TASKS
from flix_lightning.data.cells import Cell


@checked("benchmark")
class Cldr(Drawn):
    """Five tasks, 51 languages, 92 cells.

    Args:
        rows, seed: see `Drawn`.
        scarce: language -> training rows a cell, where they are not `rows["train"]`: low-resource languages.
        parsed: the most contents that a row of semantic parsing lists; with more than one it is harder.
    """

    name = "cldr"
    tasks = TASKS
    cells = tuple(Cell(task, language) for task, languages in CELLS.items() for language in languages)

    def __init__(
        self,
        rows: Mapping[Split, Count],
        seed: Seed = 0,
        scarce: Mapping[str, Count] | None = None,
        parsed: Count = 1,
    ) -> None:
        super().__init__(rows, seed)
        self.parsed = parsed
        parsing = TASKS["semantic_parsing"]
        self.tasks = {**TASKS, parsing.name: replace(parsing, max_target_tokens=parsing.max_target_tokens * parsed)}
        self.scarce = dict(scarce or {})
        for language in self.scarce:
            if language not in {cell.language for cell in self.cells}:
                raise unknown("benchmark.scarce", language, {cell.language for cell in self.cells})

    def count(self, cell: Cell, split: str) -> int:
        return self.scarce.get(cell.language, self.rows[split]) if split == "train" else self.rows[split]

    def draw(self, cell: Cell, split: str) -> Iterable[Row]:
        return draw_rows(cell.task, cell.language, split, self.seed, self.parsed)

    def fingerprint(self, cell: Cell, split: str) -> str:
        return super().fingerprint(cell, split) + f"/{self.parsed}"
