"""The effect of a more diverse mixture on a task: its score in the joint mixture minus that when trained alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from flix_lightning.report.comparison import Record
from flix_lightning.report.study import AVERAGE, BySeed, Row, Study
from flix_lightning.training.results import place_of


@dataclass(frozen=True)
class Diversity:
    """A study whose scores are differences, over the cells that train in both mixtures.

    Args:
        name, title: as of a `Study`.
        joint, alone: studies with the same rows; columns of the same label are set against each other.
        labels: of the columns, one for each task.
        comparable: of these, the ones whose published numbers are over the same cells in both.
    """

    name: str
    title: str
    joint: Study
    alone: Study
    labels: Sequence[str]
    comparable: Sequence[str]

    @property
    def heads(self) -> list[str]:
        return [*self.labels, AVERAGE]

    def published(self, label: str, head: str) -> float | None:
        if head not in self.comparable:
            return None
        joint, alone = self.joint.published(label, head), self.alone.published(label, head)
        return None if joint is None or alone is None else joint - alone

    def scores(self, records: Sequence[Record], method: str) -> dict[str, BySeed]:
        """Head -> seed -> points gained by the joint mixture."""
        row = self.joint.row(method)
        found = {label: self._gains(records, row, label) for label in self.labels}
        shared = set.intersection(*(set(by_seed) for by_seed in found.values()))
        return found | {AVERAGE: {seed: fmean(by_seed[seed] for by_seed in found.values()) for seed in sorted(shared)}}

    def _gains(self, records: Sequence[Record], row: Row, label: str) -> BySeed:
        joint, alone = (
            study.runs(records, row, next(column for column in study.columns if column.label == label))
            for study in (self.joint, self.alone)
        )
        task = next(column.task for column in self.joint.columns if column.label == label)
        gains = {seed: gain(joint[seed], alone[seed], task) for seed in joint if seed in alone}
        return {seed: points for seed, points in gains.items() if points is not None}


def gain(joint: Record, alone: Record, task: str) -> float | None:
    """score(joint) - score(alone) in points, over the cells of `task` that both have trained; None without any."""
    here, there = (
        {place_of(row): row["score"] for row in run["cells"] if row["task"] == task and row["group"] == "seen"}
        for run in (joint, alone)
    )
    gains = [here[language] - there[language] for language in here if language in there]
    return fmean(gains) if gains else None
