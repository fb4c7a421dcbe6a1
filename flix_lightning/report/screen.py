"""The table of scores that a command ends with."""

import json
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from flix_lightning.data.mixture import in_order
from flix_lightning.training.results import columns


def screen() -> Console:
    """Standard output that shows texts from data verbatim: no mark-up, no emoji codes."""
    return Console(soft_wrap=True, markup=False, emoji=False)


def printable(text: str) -> str:
    """A text from data on one line, without control characters of terminals."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def score_table(record: Mapping[str, Any]) -> Table:
    """Task by (seen, unseen combination, unseen language): the mean over cells, with their number.

    Below the tasks, the values of any further axes; beside them, the mean over the languages that an official average
    is taken over, where the benchmark names them.
    """
    rows = record["cells"]
    means = columns(rows)
    groups = in_order(row["group"] for row in rows)
    official = [row for row in rows if row.get("scored")]
    table = Table(title=f"{record['name']}: {record['split']} scores", title_justify="left")
    table.add_column("task")
    for group in groups:
        table.add_column(printable(group), justify="right")
    if official:
        table.add_column("scored languages", justify="right")
    lines = [(task, [row for row in rows if row["task"] == task]) for task in sorted({row["task"] for row in rows})]
    further = sorted({pair for row in rows for pair in row.get("attributes", {}).items()})
    lines += [
        (f"{axis}={value}", [row for row in rows if row.get("attributes", {}).get(axis) == value])
        for axis, value in further
    ]
    for i, (name, own) in enumerate(lines):
        parts = [[row for row in own if row["group"] == group] for group in groups]
        parts += [[row for row in own if row.get("scored")]] if official else []
        table.add_row(printable(name), *map(mean_and_count, parts), end_section=i + 1 == len(lines) - len(further))
    table.add_section()
    table.add_row("mean of columns", f"{sum(means.values()) / len(means):.1f}", *[""] * (len(groups) - 1))
    return table


def mean_and_count(rows: Sequence[Mapping[str, Any]]) -> str:
    return f"{fmean(row['score'] for row in rows):.1f} ({len(rows)})" if rows else ""


def print_report(record: Mapping[str, Any], run: object) -> None:
    """The table, the number of trainable parameters, and where the run lies."""
    console = screen()
    console.print(score_table(record))
    parameters = record["parameters"]
    by_axis = ", ".join(f"{axis} {count:,}" for axis, count in parameters.items())
    console.print(f"trainable parameters {sum(parameters.values()):,} ({by_axis})", highlight=False)
    steps = f"{record['steps']} steps" + (", stopped early" if record.get("stopped_early") else "")
    console.print(f"{steps}, best at {record['best_step']}, {record['seconds']:.0f} s", highlight=False)
    if record.get("strengths"):
        console.print(f"strengths {printable(json.dumps(record['strengths'], ensure_ascii=False))}", highlight=False)
    if record["truncated_examples"]:
        console.print(f"{record['truncated_examples']} examples were longer than the limits and cut", style="yellow")
    if left_out := record.get("left_out_rows"):
        console.print(f"{left_out} malformed rows were left out, as benchmark.tolerance allows", style="yellow")
    if unscored := record.get("unscored_cells"):
        message = f"{len(unscored)} cells have no {record['split']} rows and no score: {', '.join(unscored)}"
        console.print(message, style="yellow", highlight=False)
    console.print(f"run {run}", highlight=False)
