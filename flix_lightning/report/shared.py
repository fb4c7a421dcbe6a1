"""Columns of runs that need not have scored the same cells: what they share is compared, and the rest is said."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from flix_lightning.data.mixture import in_order
from flix_lightning.training.results import place_of

Record = Mapping[str, Any]
Place = tuple[str, str]  # a column: task and group


def scored(record: Record) -> dict[Place, dict[str, float]]:
    """(task, group) -> language and values on further axes -> score."""
    found: dict[Place, dict[str, float]] = {}
    for row in record["cells"]:
        found.setdefault((row["task"], row["group"]), {})[place_of(row)] = row["score"]
    return found


class Columns:
    """The columns of several runs.

    A run's score in a column is the mean over the cells that all runs with this column have in it; its mean is that of
    the columns that all runs have. So no two numbers of a table are means over different cells.

    Args:
        records: of all runs of the table.
        name: of a column, for the notes.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        found = list(map(scored, records))
        every = set().union(*found)
        order = in_order(group for _, group in every)
        self.places = sorted(every, key=lambda place: (order.index(place[1]), place[0]))
        own = {place: [set(cells[place]) for cells in found if place in cells] for place in self.places}
        self.cells = {place: set.intersection(*sets) for place, sets in own.items()}
        self.dropped = {place: set.union(*sets) - self.cells[place] for place, sets in own.items()}
        self.of_all = [p for p in self.places if len(own[p]) == len(found) and self.cells[p]]

    def score(self, record: Record, place: Place) -> float | None:
        """None where the run has no such column, or shares no cell of it with the others."""
        cells = scored(record).get(place, {})
        shared = [score for cell, score in cells.items() if cell in self.cells[place]]
        return fmean(shared) if shared else None

    def mean(self, record: Record) -> float | None:
        """Over the columns that all runs have; None where there is none."""
        scores = [self.score(record, place) for place in self.of_all]
        return fmean(scores) if scores else None

    def notes(self, heads: Mapping[Place, str]) -> list[str]:
        """What was left out of which column, `heads` being their names."""
        told = []
        for place, dropped in self.dropped.items():
            if dropped:
                shared, every = len(self.cells[place]), len(self.cells[place]) + len(dropped)
                told.append(f"{heads[place]}: over the {shared} of {every} cells that all runs with this column scored")
        if self.of_all != self.places:
            names = ", ".join(heads[place] for place in self.of_all)
            told.append(
                f"mean: over the columns of all runs, {names}" if names else "mean: no column is one of all runs"
            )
        return told
