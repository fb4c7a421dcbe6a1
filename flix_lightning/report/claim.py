"""A claim: a difference between two rows of a study, and whether it holds in the records."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from flix_lightning.common.markdown import markdown_table
from flix_lightning.report.comparison import Record, spread
from flix_lightning.report.diversity import Diversity
from flix_lightning.report.study import AVERAGE, Study


@dataclass(frozen=True)
class Claim:
    """`better` minus `worse` lies above `bound` in the column `head` of a study.

    Args:
        text: the claim in words.
        study: of the two rows.
        better, worse: labels of rows; None stands for 0.
        head: of the column.
        bound: points that the difference has to pass; negative where little may be lost.
    """

    text: str
    study: Study | Diversity
    better: str
    worse: str | None
    head: str = AVERAGE
    bound: float = 0.0

    def differences(self, records: Sequence[Record]) -> list[float]:
        """One for each seed that both rows have."""
        better = self.study.scores(records, self.better)[self.head]
        worse = dict.fromkeys(better, 0.0) if self.worse is None else self.study.scores(records, self.worse)[self.head]
        return [better[seed] - worse[seed] for seed in better if seed in worse]

    def published(self) -> float | None:
        """The same difference in print."""
        better = self.study.published(self.better, self.head)
        worse = 0.0 if self.worse is None else self.study.published(self.worse, self.head)
        return None if better is None or worse is None else better - worse

    def verdict(self, records: Sequence[Record]) -> str:
        """`holds` when mean and every seed lie above the bound, `holds on average`, `does not hold`, `not run`."""
        found = self.differences(records)
        if not found:
            return "not run"
        above = sum(difference > self.bound for difference in found)
        word = "holds" if above == len(found) else "holds on average" if fmean(found) > self.bound else "does not hold"
        return f"{word}, {above} of {len(found)} seed{'s' * (len(found) > 1)}"


def claims_table(claims: Sequence[Claim], records: Sequence[Record]) -> str:
    """Markdown: one line for each claim, with its difference in points here and in the paper."""
    rows = []
    for claim in claims:
        there, here = claim.published(), claim.differences(records)
        rows.append([
            claim.text,
            f"{claim.study.name}, {claim.head}",
            "" if there is None else f"{there:+.1f}",
            spread(here) if here else "",
            f"**{claim.verdict(records)}**",
        ])  # fmt: skip
    return markdown_table(["claim", "where", "paper", "here", ""], rows)
