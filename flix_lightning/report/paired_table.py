"""Two settings' difference in every column of a comparison, with interval, smallest detectable difference, verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.common.markdown import markdown_table
from flix_lightning.report.comparison import SHORT
from flix_lightning.report.paired import Column, Difference, Seeds, difference
from flix_lightning.training.results import cell_of, columns


def paired_table(ours: Seeds, theirs: Seeds, cells: Sequence[Mapping[str, Any]], bound: float) -> str:
    """Markdown: a line a column, then their mean, over the cells that all runs were scored on.

    Args:
        ours, theirs: the runs' rows.
        cells: of a record, which says how they stand to training.
        bound: points, for the verdicts.

    Raises:
        FlixError: there is no such cell; and what `difference` raises.
    """
    everywhere = set.intersection(*(set(rows) for side in (ours, theirs) for rows in side.values()))
    shared = [row for row in cells if cell_of(row) in everywhere]
    if not shared:
        raise FlixError("bound: no cell was scored in all of these runs.")
    parts = {
        place: Column(ours, theirs, [cell_of(row) for row in shared if (row["task"], row["group"]) == place])
        for place in columns(shared)
    }
    rows = [
        line(f"{task} {SHORT.get(group, group)}".strip(), difference([part]), bound)
        for (task, group), part in parts.items()
    ]
    rows.append(line("mean", difference(list(parts.values())), bound))
    head = [
        "column",
        "seeds",
        "cells",
        "rows",
        "difference",
        "95 % interval",
        "smallest detectable",
        f"above {bound:g}",
    ]
    return markdown_table(head, rows)


def line(name: str, found: Difference, bound: float) -> list[Any]:
    counted = [len(found.by_seed), found.cells, found.rows]
    return [name, *counted, *found.told(), f"**{found.verdict(bound)}**"]
