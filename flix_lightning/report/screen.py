"""What a person reads at the end: the table of scores."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from flix_lightning.mixture import GROUPS
from flix_lightning.results import columns


def score_table(record: Mapping[str, Any]) -> Table:
    """Task by (seen, unseen combination, unseen language): the mean over cells, with their number."""
    rows = record["cells"]
    means = columns(rows)
    groups = [group for group in GROUPS if any(key[1] == group for key in means)]
    table = Table(title=f"{record['name']}: {record['split']} scores", title_justify="left")
    table.add_column("task")
    for group in groups:
        table.add_column(group, justify="right")
    for task in sorted({row["task"] for row in rows}):
        cells = []
        for group in groups:
            count = sum(row["task"] == task and row["group"] == group for row in rows)
            cells.append(f"{means[task, group]:.1f} ({count})" if count else "")
        table.add_row(task, *cells)
    table.add_section()
    table.add_row("mean of columns", f"{sum(means.values()) / len(means):.1f}", *[""] * (len(groups) - 1))
    return table


def print_report(record: Mapping[str, Any], run: object) -> None:
    """The table, the number of trainable parameters, and where the run lies."""
    console = Console(soft_wrap=True)
    console.print(score_table(record))
    parameters = record["parameters"]
    by_axis = ", ".join(f"{axis} {count:,}" for axis, count in parameters.items())
    console.print(f"trainable parameters {sum(parameters.values()):,} ({by_axis})", highlight=False)
    console.print(f"{record['steps']} steps, best at {record['best_step']}, {record['seconds']:.0f} s", highlight=False)
    if record["truncated_examples"]:
        console.print(f"{record['truncated_examples']} examples were longer than the limits and cut", style="yellow")
    if unscored := record.get("unscored_cells"):
        told = f"{len(unscored)} cells have no {record['split']} rows and no score: {', '.join(unscored)}"
        console.print(told, style="yellow", highlight=False)
    console.print(f"run {run}", highlight=False)
