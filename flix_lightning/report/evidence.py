"""What records say about the difference of two rows of a study: by rows where predictions are kept, else by seeds."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.data.predictions import predictions_file, read_predictions
from flix_lightning.report.comparison import Record
from flix_lightning.report.diversity import Diversity
from flix_lightning.report.paired import Column as Pairs
from flix_lightning.report.paired import Difference, Measured, measured, over_seeds, together
from flix_lightning.report.side_by_side import Rows, by_cell
from flix_lightning.report.study import AVERAGE, BySeed, Column, Study


class Evidence:
    """Records, and the predictions beside them, which are read when asked for, once.

    Args:
        files: path -> the record in it.
    """

    def __init__(self, files: Mapping[Path, Record]) -> None:
        self.records = list(files.values())
        self._paths = {id(record): path for path, record in files.items()}
        self._rows: dict[Path, Rows] = {}
        self._scores: dict[tuple[str, str], dict[str, BySeed]] = {}
        self._measured: dict[tuple, Measured] = {}

    def scores(self, study: Study | Diversity, label: str) -> dict[str, BySeed]:
        """Head -> seed -> score of a row."""
        if (study.name, label) not in self._scores:
            self._scores[study.name, label] = study.scores(self.records, label)
        return self._scores[study.name, label]

    def difference(
        self, study: Study | Diversity, better: str, worse: str | None, head: str = AVERAGE
    ) -> Difference | None:
        """The row `better` minus the row `worse` (None stands for 0) under `head`; None where no seed is in both.

        Raises:
            FlixError: the runs were scored on other rows.
        """
        ours = self.scores(study, better)[head]
        theirs = dict.fromkeys(ours, 0.0) if worse is None else self.scores(study, worse)[head]
        by_seed = {seed: ours[seed] - theirs[seed] for seed in ours if seed in theirs}
        if not by_seed:
            return None
        parts = study.parts(head) if isinstance(study, Study) and worse is not None else []
        columns = [self._column(study, better, worse, part, tuple(by_seed)) for part in parts]
        if not columns or None in columns:
            return over_seeds(by_seed)
        return together(list(by_seed), columns)

    def _column(self, study: Study, better: str, worse: str, column: Column, seeds: tuple[int, ...]) -> Measured | None:
        """The two rows' difference in a column; None where not all runs have kept what it is computed from."""
        runs = [study.runs(self.records, study.row(label), column) for label in (better, worse)]
        sides = [{seed: side[seed] for seed in seeds} for side in runs]
        every = [record for side in sides for record in side.values()]
        cells = plain_mean(column, every[0])
        if not cells or not all(map(self.has_rows, every)):
            return None
        key = (column.label, tuple(map(id, every)))
        if key not in self._measured:
            pairs = [{seed: self.rows_of(record) for seed, record in side.items()} for side in sides]
            try:
                self._measured[key] = measured(Pairs(*pairs, cells), seeds)
            except FlixError as error:
                raise FlixError(f"{study.name}, {column.label}, {better} and {worse}: {error}") from error
        return self._measured[key]

    def has_rows(self, record: Record) -> bool:
        """Whether its predictions were kept."""
        return predictions_file(self._paths[id(record)]).is_file()

    def rows_of(self, record: Record) -> Rows:
        """Its predictions."""
        path = self._paths[id(record)]
        if path not in self._rows:
            self._rows[path] = by_cell(read_predictions(path))
        return self._rows[path]


def plain_mean(column: Column, record: Record) -> list[Cell]:
    """The cells that the column is the plain mean of; none where it is a score in validation, or the mean over tasks of
    unlike numbers of cells.
    """
    cells = column.scored(record)
    sizes = Counter(cell.task for cell in cells).values()
    return cells if column.split == "test" and len(set(sizes)) == 1 else []
