"""The progress of a study: states of its missing runs, and the time they need, estimated from finished runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from flix_lightning.common.progress import duration
from flix_lightning.report.comparison import Record, settings
from flix_lightning.training.runs import Found

PACE = (
    "model._target_",
    "model.name",
    "benchmark._target_",
    "mixture.name",
    "data.batch_size",
)  # mostly determine the time of a step


def state(
    missing: Sequence[Mapping[str, Any]], found: Sequence[Found], records: Sequence[Record]
) -> tuple[str, float | None]:
    """What follows `2 of 3 runs done` on a study's line, and the seconds that its missing runs need, one at a time.

    Args:
        missing: the configs of the runs that have no record.
        found: those of them that have been started.
        records: of finished runs, whose seconds a step are measured.

    Returns:
        The text, empty where nothing is missing; the seconds, None where no run of the kind has been measured.
    """
    if not missing:
        return "", 0.0
    counted = Counter(run.state for run in found)
    parts = [f"{number} {name}" for name, number in sorted(counted.items())]
    paces = [step_seconds(config, records) for config in missing]
    if None in paces:
        return "".join(f", {part}" for part in parts) + "; time unknown", None
    seconds = sum(pace * config["trainer"]["max_steps"] for pace, config in zip(paces, missing, strict=True))
    seconds -= sum(run.step * step_seconds(run.config, records) for run in found if run.config is not None)
    return "".join(f", {part}" for part in parts) + f"; about {duration(seconds)} left", seconds


def step_seconds(config: Mapping[str, Any], records: Sequence[Record]) -> float | None:
    """The median seconds of a step, scoring included, of similar finished runs; None without any.

    Most similar first: runs of the same model, benchmark, mixture and batch; else of the same model.
    """
    wanted = settings({"config": config})
    measured = [(settings(record), record["seconds"] / record["steps"]) for record in records if "seconds" in record]
    for keys in (PACE, PACE[:2]):
        alike = [pace for other, pace in measured if all(other.get(key) == wanted.get(key) for key in keys)]
        if alike:
            return median(alike)
    return None
