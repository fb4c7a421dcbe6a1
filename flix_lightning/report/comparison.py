"""Methods side by side: mean and spread over seeds of every column, as a Markdown table."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from flix_lightning.results import columns

Record = Mapping[str, Any]
SHORT = {"unseen combination": "unseen comb.", "unseen language": "unseen lang."}


def method(record: Record) -> str:
    return record["config"]["adapter"]["name"]


def by_method(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Method -> its records, one a seed."""
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: (method(r), r["config"]["seed"])):
        groups.setdefault(method(record), []).append(record)
    return groups


def average(record: Record) -> float:
    """The mean over the table's columns, each column the mean over its cells."""
    return fmean(columns(record["cells"]).values())


def spread(values: Sequence[float]) -> str:
    """`mean ± sample standard deviation`; the mean alone for one value."""
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def comparison(records: Iterable[Record]) -> str:
    """A Markdown table: a row a method, a column a (task, group), the best mean of each column in bold."""
    groups = by_method(records)
    keys = list(columns(next(iter(groups.values()))[0]["cells"]))
    scores = {
        name: [[columns(record["cells"])[key] for record in seeds] for key in keys] + [[average(r) for r in seeds]]
        for name, seeds in groups.items()
    }
    heads = [f"{task} {SHORT.get(group, '')}".strip() for task, group in keys]
    lines = [
        "| method | seeds | trainable | active rank | " + " | ".join([*heads, "mean"]) + " |",
        "|---|---|---|---|" + "---|" * (len(keys) + 1),
    ]
    best = [max(round(fmean(rows[i]), 1) for rows in scores.values()) for i in range(len(keys) + 1)]
    for name in sorted(scores, key=lambda name: -fmean(scores[name][-1])):
        cells = [
            f"**{spread(v)}**" if round(fmean(v), 1) == top else spread(v)
            for v, top in zip(scores[name], best, strict=True)
        ]
        record = groups[name][0]
        parameters = sum(record["parameters"].values())
        lines.append(
            f"| {name} | {len(groups[name])} | {parameters:,} | {record['active_rank']} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines) + "\n"
