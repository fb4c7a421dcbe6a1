"""The rows of one run, or of two paired by row: which answers are right, and how the two differ."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.data.cells import Cell
from flix_lightning.data.pair_statistics import STATISTICS
from flix_lightning.data.predictions import Prediction

RIGHT = 100 - 1e-6  # the official span F1 of a perfect row is a little under 100
Rows = Mapping[Cell, Sequence[Prediction]]


class Answer(NamedTuple):
    """What a run said, and the score in 0 to 100 of this row alone."""

    text: str
    score: float

    @property
    def is_right(self) -> bool:
        return self.score >= RIGHT


class Row(NamedTuple):
    """A row with the answer of every run."""

    cell: Cell
    number: int
    target: str
    answers: tuple[Answer, ...]


def by_cell(predictions: Sequence[Prediction]) -> dict[Cell, list[Prediction]]:
    """Cell -> its rows, in order."""
    found: dict[Cell, list[Prediction]] = {}
    for one in sorted(predictions, key=lambda one: one.row):
        found.setdefault(one.cell, []).append(one)
    return found


def shared_cells(runs: Sequence[Rows]) -> list[Cell]:
    """The cells that every run has rows of, in the first one's order.

    Raises:
        FlixError: the rows of a cell are not the same in all runs.
    """
    cells = [cell for cell in runs[0] if all(cell in rows for rows in runs)]
    for cell in cells:
        asked = [[(one.row, one.target, one.metric) for one in rows[cell]] for rows in runs]
        if any(other != asked[0] for other in asked):
            raise FlixError(f"{cell}: these runs were scored on other rows or by other metrics; they make no pairs.")
    return cells


def answer(one: Prediction) -> Answer:
    """An answer and its score; by a metric of the user's own, which is not known here, it is right or wrong."""
    if one.prediction == one.target or one.metric not in STATISTICS:
        return Answer(one.prediction, 100.0 * (one.prediction == one.target))
    statistics = STATISTICS[one.metric]
    score = statistics.score(np.array(statistics.of(one.prediction, one.target), dtype=np.float64))
    return Answer(one.prediction, float(score))


def rows_of(runs: Sequence[Rows], chosen: str) -> list[Row]:
    """The rows of a cell, or of all cells of a task, that all `runs` have.

    Args:
        chosen: `task/language`, with values on further axes as tables name them, or a task.

    Raises:
        FlixError: there is no such cell, or its rows are not the same in all runs.
    """
    cells = shared_cells(runs)
    wanted = [cell for cell in cells if chosen in (str(cell), cell.task)]
    if not wanted:
        raise unknown("errors: cell or task", chosen, {*map(str, cells), *(cell.task for cell in cells)})
    return [
        Row(cell, same[0].row, same[0].target, tuple(map(answer, same)))
        for cell in wanted
        for same in zip(*(rows[cell] for rows in runs), strict=True)
    ]


def errors_first(rows: Sequence[Row]) -> list[Row]:
    """Those that some run has wrong: first where scores differ, the most first, then where texts do, in order."""

    def order(row: Row) -> tuple[float, bool]:
        scores, texts = [one.score for one in row.answers], {one.text for one in row.answers}
        return min(scores) - max(scores), len(texts) == 1

    return sorted((row for row in rows if not all(one.is_right for one in row.answers)), key=order)


def counts(rows: Sequence[Row]) -> str:
    """How many answers are right, of one run or of two together."""
    right = [tuple(one.is_right for one in row.answers) for row in rows]
    told = {
        1: {"right": (True,), "wrong": (False,)},
        2: {
            "both right": (True, True),
            "A alone right": (True, False),
            "B alone right": (False, True),
            "both wrong": (False, False),
        },
    }[len(rows[0].answers)]
    return f"{len(rows)} rows: " + ", ".join(f"{right.count(who)} {word}" for word, who in told.items())
