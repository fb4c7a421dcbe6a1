"""A study: a table whose rows and columns choose among records, beside the numbers somebody published for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.common.markdown import markdown_table
from flix_lightning.data.cells import Cell
from flix_lightning.report.comparison import Record, check_alike, check_one_model, setting, spread
from flix_lightning.report.regime import Regime
from flix_lightning.training.results import cell_of, columns

AVERAGE, NOT_RUN = "avg", "not run"
BySeed = Mapping[int, float]


@dataclass(frozen=True)
class Column:
    """One score of a run.

    Args:
        label: its head in the table.
        mixture: the name of the mixture whose runs it reads.
        task: the task scored; the mean over all of the mixture's tasks when None.
        group: of the cells: seen, unseen combination, ...
        split: `test`, or `validation` for the score that chose the checkpoint.
        where: settings by dotted key that its runs have, if the mixture does not determine them.
    """

    label: str
    mixture: str
    task: str | None = None
    group: str = "seen"
    split: str = "test"
    where: Mapping[str, Any] = field(default_factory=dict)

    def cells(self, record: Record) -> list[float]:
        """Of a test column: the score of each task, the mean over its cells; empty where the run has none of them."""
        found = columns(record["cells"]).items()
        return [score for (task, group), score in found if group == self.group and self.task in (None, task)]

    def scored(self, record: Record) -> list[Cell]:
        """The cells that its score is made of."""
        rows = (row for row in record["cells"] if row["group"] == self.group and self.task in (None, row["task"]))
        return [cell_of(row) for row in rows]

    def score(self, record: Record) -> float:
        """Its score in [0, 100]; the mean over cells within a task, then over tasks."""
        return record["best_validation_score"] if self.split == "validation" else fmean(self.cells(record))


@dataclass(frozen=True)
class Row:
    """One method or setting: its runs have the settings `where`; `published` has a number or None for each column."""

    label: str
    where: Mapping[str, Any]
    published: Sequence[float | None] = ()


@dataclass(frozen=True)
class Study:
    """A table to be filled from records.

    Args:
        name: of the study and of its place in documents.
        title: one line on what is compared.
        columns, rows: of the table.
        average: whether a further column holds the mean over columns.
        means: head of a further column -> labels of the columns that it is the mean of.
        regime: of all its runs.
        where: settings by dotted key that all its runs have.
        experiment: the name that its runs gave themselves; None for runs that are named by their mixture and method.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    average: bool = True
    means: Mapping[str, Sequence[str]] = field(default_factory=dict)
    regime: Regime | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    experiment: str | None = None

    @property
    def heads(self) -> list[str]:
        return [*(column.label for column in self.columns), *[AVERAGE] * self.average, *self.means]

    def parts(self, head: str) -> list[Column]:
        """The columns whose mean stands under `head`."""
        labels = self.means.get(head, [head])
        return [column for column in self.columns if head == AVERAGE or column.label in labels]

    def row(self, label: str) -> Row:
        return next(row for row in self.rows if row.label == label)

    def published(self, label: str, head: str) -> float | None:
        """The published number; a mean over columns is computed from the row if it has none."""
        numbers = dict(zip(self.heads, self.row(label).published, strict=False))
        if head in numbers or not numbers:
            return numbers.get(head)
        parts = [numbers[column.label] for column in self.parts(head)]
        return None if None in parts else fmean(parts)

    def scores(self, records: Sequence[Record], label: str) -> dict[str, BySeed]:
        """Head -> seed -> score, over the seeds that have been run.

        Raises:
            FlixError: two records of different settings fit one place.
        """
        row = self.row(label)
        found = {
            column.label: {seed: column.score(run) for seed, run in self.runs(records, row, column).items()}
            for column in self.columns
        }
        means = {head: [found[c.label] for c in self.parts(head)] for head in self.heads if head not in found}
        for head, parts in means.items():
            shared = set.intersection(*(set(by_seed) for by_seed in parts))
            found[head] = {seed: fmean(by_seed[seed] for by_seed in parts) for seed in sorted(shared)}
        return found

    def runs(self, records: Sequence[Record], row: Row, column: Column) -> dict[int, Record]:
        """Seed -> the run at one place of the table. Another experiment that gave itself a name is not among them.

        Raises:
            FlixError: two runs fit the place and differ in more than the seed.
        """
        where = {**(self.regime.where if self.regime else {}), **self.where, **row.where, **column.where}
        found: dict[int, Record] = {}
        for record in sorted(records, key=lambda record: record["config"]["seed"]):
            config = record["config"]
            if config.get("name") != (self.experiment or f"{column.mixture}-{config['adapter']['name']}"):
                continue
            if all(setting(config, key) == value for key, value in where.items()) and column.cells(record):
                check_alike(f"{row.label}, {column.label}", [*found.values(), record])
                found[config["seed"]] = record
        return found

    def _check_cells(self, records: Sequence[Record], column: Column) -> None:
        found = {
            f"{row.label}, seed {seed}": set(column.scored(record))
            for row in self.rows
            for seed, record in self.runs(records, row, column).items()
        }
        first = next(iter(found), None)
        for run, cells in found.items():
            if differ := sorted(map(str, cells ^ found[first])):
                raise FlixError(
                    f"{self.name}, {column.label}: {first} and {run} have not scored the same cells, but one of them "
                    f"{differ[0]}" + f" and {len(differ) - 1} more" * (len(differ) > 1) + "."
                )

    def every_run(self, records: Sequence[Record]) -> list[Record]:
        """The runs of all places; one that fills several is there several times."""
        return [r for row in self.rows for column in self.columns for r in self.runs(records, row, column).values()]

    def table(self, records: Sequence[Record]) -> str:
        """Markdown: mean ± spread over seeds, the best of each column in bold, the published rows below in italics.

        Raises:
            FlixError: runs in one column have scored other cells, or the runs are of several models or number formats.
        """
        check_one_model(self.name, self.every_run(records))
        for column in self.columns:
            self._check_cells(records, column)
        scores = {row.label: self.scores(records, row.label) for row in self.rows}
        means = {(r, h): round(fmean(s.values()), 1) for r, found in scores.items() for h, s in found.items() if s}
        best = {head: max((m for (_, h), m in means.items() if h == head), default=None) for head in self.heads}
        rows = []
        for label, found in scores.items():
            cells = [spread(list(by_seed.values())) if by_seed else NOT_RUN for by_seed in found.values()]
            top = [best[head] is not None and means.get((label, head)) == best[head] for head in found]
            cells = [f"**{cell}**" if bold else cell for cell, bold in zip(cells, top, strict=True)]
            rows.append([label, str(max(len(by_seed) for by_seed in found.values())), *cells])
        for row in filter(lambda row: row.published, self.rows):
            numbers = (self.published(row.label, head) for head in self.heads)
            rows.append([f"*{row.label}, in the paper*", "", *("" if n is None else f"*{n:.1f}*" for n in numbers)])
        return markdown_table(["", "seeds", *self.heads], rows)
