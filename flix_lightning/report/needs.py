"""What serves a need best, FLix or LoRA: quality in points, costs as ratios, each from the records of one regime."""

from collections.abc import Callable, Mapping
from math import exp, inf, log
from statistics import fmean
from typing import NamedTuple

from flix_lightning.report.comparison import Record
from flix_lightning.report.evidence import Evidence
from flix_lightning.report.paired import Difference, over_seeds
from flix_lightning.report.study import NOT_RUN, BySeed, Study


class Answer(NamedTuple):
    """The best that was measured for a need, against the best of the other kind.

    Attributes:
        need: in words.
        measure: what was measured.
        best, rival: the two, with their values.
        difference, interval, smallest, evidence: in words, of the best against the rival.
        verdict: whether the best is ahead: `holds` or `undecided`; `not run`.
        is_flix: whether the best is FLix.
    """

    need: str
    measure: str
    best: str = NOT_RUN
    rival: str = ""
    difference: str = ""
    interval: str = ""
    smallest: str = ""
    evidence: str = ""
    verdict: str = NOT_RUN
    is_flix: bool = False


def quality(evidence: Evidence, table: Study, need: str, head: str) -> Answer:
    """By test scores, in points."""
    found = {row.label: evidence.scores(table, row.label)[head] for row in table.rows}
    measure = f"test score, {table.name.partition(',')[0]}, {head}"
    return _points(need, measure, found, lambda one, other: evidence.difference(table, one, other, head))


def halfway(evidence: Evidence, table: Study, need: str) -> Answer:
    """By the validation score at half of a run's steps, in points."""

    def score(run: Record) -> float | None:
        early = [score for step, score in run.get("validation_scores", []) if 2 * step <= run.get("steps", 0)]
        return early[-1] if early else None

    def difference(one: str, other: str) -> Difference | None:
        gaps = {seed: found[one][seed] - found[other][seed] for seed in found[one] if seed in found[other]}
        return over_seeds(gaps) if gaps else None

    found = of_runs(evidence, table, score)
    return _points(need, "validation score at half of the steps", found, difference)


def _points(
    need: str,
    measure: str,
    found: Mapping[str, BySeed],
    difference: Callable[[str, str], Difference | None],
) -> Answer:
    pair = _best_of_each_kind({label: fmean(values.values()) for label, values in found.items() if values})
    gap = difference(*pair) if pair else None
    if not pair or gap is None:
        return Answer(need, measure)
    means = [f"{label} ({fmean(found[label].values()):.1f})" for label in pair]
    return Answer(need, measure, *means, *gap.told(), gap.evidence, gap.verdict(), _is_flix(pair[0]))


def of_runs(evidence: Evidence, table: Study, value: Callable[[Record], float | None]) -> dict[str, BySeed]:
    """Row -> seed -> a value of the run of the first column's mixture, where it has one."""
    found = {
        row.label: {
            seed: known
            for seed, run in table.runs(evidence.records, row, table.columns[0]).items()
            if (known := value(run)) is not None
        }
        for row in table.rows
    }
    return {label: values for label, values in found.items() if values}


def cost(need: str, measure: str, found: Mapping[str, BySeed], times: str, unit: str = "") -> Answer:
    """By a cost, as a ratio: how many times as much the rival takes as the best.

    Args:
        found: method -> round or seed -> its cost, above 0.
        times: what the costs are one of each for, as `seeds` or `rounds`; empty where the costs are exact.
        unit: of the values shown.
    """
    pair = _best_of_each_kind({label: -fmean(values.values()) for label, values in found.items() if values})
    shared = sorted(found[pair[0]].keys() & found[pair[1]].keys()) if pair else []
    if not pair or not shared:
        return Answer(need, measure)
    logs = {one: log(found[pair[1]][one] / found[pair[0]][one]) for one in shared}
    ratio = over_seeds(logs) if times else Difference(fmean(logs.values()), logs, 0, 0, 0.0, inf)
    values = [f"{label} ({_number(fmean(found[label].values()))}{unit})" for label in pair]
    told = [f"{exp(ratio.mean):.2f} times", "", ""]
    if times and ratio.error < inf:
        told[1:] = ["{:.2f} to {:.2f}".format(*map(exp, ratio.interval)), f"{exp(ratio.smallest):.2f} times"]
    evidence = f"{len(shared)} {times}" if times else "exact"
    return Answer(need, measure, *values, *told, evidence, ratio.verdict(), _is_flix(pair[0]))


def _number(value: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _is_flix(label: str) -> bool:
    return label.startswith("FLix")


def _best_of_each_kind(values: Mapping[str, float]) -> tuple[str, str] | None:
    """The FLix and the LoRA of the highest value, the higher first; None where one of them was not measured."""
    kinds = [[label for label in values if _is_flix(label) is flix] for flix in (True, False)]
    if not all(kinds):
        return None
    best = sorted((max(kind, key=values.__getitem__) for kind in kinds), key=values.__getitem__, reverse=True)
    return best[0], best[1]
