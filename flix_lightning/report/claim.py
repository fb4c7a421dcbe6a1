"""A claim: a difference between two rows of a study, and whether it holds in the records."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev

from flix_lightning.common.markdown import markdown_table
from flix_lightning.report.diversity import Diversity
from flix_lightning.report.evidence import Evidence
from flix_lightning.report.paired import Difference, signed
from flix_lightning.report.study import AVERAGE, NOT_RUN, Study

HEADS = ["claim", "where", "above", "paper", "here", "95 % interval", "smallest detectable", "seeds", "evidence", ""]


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

    def found(self, evidence: Evidence) -> Difference | None:
        """The difference in the records; None where no seed is in both rows."""
        return evidence.difference(self.study, self.better, self.worse, self.head)

    def published(self) -> float | None:
        """The same difference in print."""
        better = self.study.published(self.better, self.head)
        worse = 0.0 if self.worse is None else self.study.published(self.worse, self.head)
        return None if better is None or worse is None else better - worse

    def verdict(self, found: Difference | None) -> str:
        """`holds`, `fails` or `undecided` against the claim's bound; `not run`."""
        return NOT_RUN if found is None else found.verdict(self.bound)


def claims_table(claims: Sequence[Claim], evidence: Evidence) -> str:
    """Markdown: one line for each claim, with its difference in points here and in the paper; none without any run."""
    found = [claim.found(evidence) for claim in claims]
    if not any(found):
        return f"{len(claims)} claims: {NOT_RUN}.\n"
    rows = []
    for claim, here in zip(claims, found, strict=True):
        there = claim.published()
        rows.append([
            claim.text,
            f"{claim.study.name}, {claim.head}",
            f"{claim.bound:g}",
            "" if there is None else signed(there),
            *(["", "", "", "0", ""] if here is None else counted(here)),
            f"**{claim.verdict(here)}**",
        ])  # fmt: skip
    return markdown_table(HEADS, rows)


def counted(found: Difference) -> list[str]:
    """A difference with its spread over seeds, its interval, what could have been told, and from what."""
    points, interval, smallest = found.told()
    seeds = list(found.by_seed.values())
    return [
        points + (f" ± {stdev(seeds):.1f}" if len(seeds) > 1 else ""),
        interval,
        smallest,
        str(len(seeds)),
        found.evidence,
    ]
