"""Methods side by side: mean and spread over seeds of every column, as a Markdown table."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.common.markdown import markdown_table
from flix_lightning.training.results import columns
from flix_lightning.training.run_directory import INCIDENTAL

Record = Mapping[str, Any]
FOLLOWS_FROM_METHOD = ("adapter.axes", "adapter.budget", "adapter.matched_axes", "adapter.dropout_axes")
NOT_COMPARED = {"name", "seed", *INCIDENTAL}
SHORT = {"unseen combination": "unseen comb.", "unseen language": "unseen lang."}


def flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"rank": {"task": 4}}` -> `{"rank.task": 4}`."""
    found: dict[str, Any] = {}
    for key, value in section.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def settings(record: Record) -> dict[str, Any]:
    """The settings that identify a run, by dotted key, without its seed."""
    compared = {
        "adapter.method" if key == "adapter.name" else key: value for key, value in flat(record["config"]).items()
    }
    if "precision" in record:
        compared["trainer.precision"] = record["precision"]  # what `auto` became
    compared = {key: value for key, value in compared.items() if not NOT_COMPARED & {key, key.partition(".")[0]}}
    return {
        key: ", ".join(map(str, value)) or "none" if isinstance(value, list) else value
        for key, value in compared.items()
    }


def is_run_of(record: Record, config: Mapping[str, Any]) -> bool:
    """Whether a record is that of a run with this config; a setting newer than the record is not a difference."""
    own = record["config"]
    if any(own.get(key) != config.get(key) for key in ("name", "seed")):
        return False
    known, asked = settings({"config": own}), settings({"config": config})
    return all(_same(key, known[key], asked[key]) for key in known.keys() & asked.keys())


def _same(key: str, one: Any, other: Any) -> bool:
    """Whether two values are one setting; a class may have moved to another module."""
    if key.endswith("._target_"):
        return str(one).rpartition(".")[2] == str(other).rpartition(".")[2]
    return one == other


def check_one_format(place: str, records: Iterable[Record]) -> None:
    """
    Raises:
        FlixError: the records were computed in several number formats, which no table averages over.
    """
    formats = sorted({record["precision"] for record in records if "precision" in record})
    if len(formats) > 1:
        raise FlixError(f"{place}: records in the number formats {' and '.join(formats)} make no one table.")


def by_setting(records: Iterable[Record]) -> tuple[list[str], dict[tuple, list[Record]]]:
    """The settings that differ between the records, and the records of each choice of them, one a seed.

    A setting newer than a record is not a difference from it.
    """
    records = sorted(records, key=lambda record: record["config"]["seed"])
    compared = [settings(record) for record in records]
    keys = ["adapter.method", *varying(compared)]
    groups: dict[tuple, list[Record]] = {}
    for record, values in zip(records, compared, strict=True):
        groups.setdefault(tuple(values.get(key) for key in keys), []).append(record)
    return keys, groups


def varying(compared: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys, but for the method, in which settings differ; one that some lack is no difference."""
    return sorted(key for key in set().union(*compared) - {"adapter.method"} if _varies(key, compared))


def _varies(key: str, compared: Sequence[Mapping[str, Any]]) -> bool:
    """Whether runs differ in it; in what follows from a method's name, runs of that method."""
    found: dict[str | None, set[str]] = {}
    for values in compared:
        if key in values:
            method = values.get("adapter.method") if key in FOLLOWS_FROM_METHOD else None
            found.setdefault(method, set()).add(repr(values[key]))
    return any(len(different) > 1 for different in found.values())


def average(record: Record) -> float:
    """The mean over the table's columns, each column the mean over its cells."""
    return fmean(columns(record["cells"]).values())


def spread(values: Sequence[float]) -> str:
    """`mean ± sample standard deviation`; the mean alone for one value."""
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def comparison(records: Iterable[Record]) -> str:
    """A Markdown table: one row for each setting, one column for each (task, group), the best mean in bold."""
    keys, groups = by_setting(records)
    places = list(columns(next(iter(groups.values()))[0]["cells"]))
    heads = [f"{task} {SHORT.get(group, '')}".strip() for task, group in places]
    scores = {
        values: [
            [record["best_validation_score"] for record in seeds],
            *([columns(record["cells"])[place] for record in seeds] for place in places),
            [average(record) for record in seeds],
        ]
        for values, seeds in groups.items()
    }
    best = [max(round(fmean(rows[i]), 1) for rows in scores.values()) for i in range(len(places) + 2)]
    titles = [*(key.rpartition(".")[2] for key in keys), "seeds", "trainable", "active rank", "validation"]
    rows = []
    for values in sorted(scores, key=lambda values: -fmean(scores[values][-1])):
        record = groups[values][0]
        cells = [*values, str(len(groups[values])), f"{sum(record['parameters'].values()):,}"]
        cells.append(str(record["active_rank"]))
        for column, top in zip(scores[values], best, strict=True):
            cells.append(f"**{spread(column)}**" if round(fmean(column), 1) == top else spread(column))
        rows.append(cells)
    return markdown_table([*titles, *heads, "mean"], rows)
