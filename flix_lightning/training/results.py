"""The record of a run: one JSON file, the source of all tables and plots."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from flix_lightning.adapters.features import Feature
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole
from flix_lightning.data.cells import Cell
from flix_lightning.data.mixture import Mixture, in_order
from flix_lightning.data.tasks import Task
from flix_lightning.training.record_form import read_record_file

if TYPE_CHECKING:  # reports read records, and need no torch
    from flix_lightning.adapters.composition import Composer
    from flix_lightning.adapters.injection import FeaturizedLinear

RECORD = "record.json"  # of a finished run, in its folder


def parameters_by_axis(
    composer: "Composer", banks: "list[FeaturizedLinear]", held: Sequence[Feature] = ()
) -> dict[str, int]:
    """Axis -> trainable parameters of its features, all banks together; those of `held` features do not train."""
    per_rank = sum(bank.in_features + bank.out_features for bank in banks)
    ranks = dict.fromkeys(composer.space.axes(), 0)
    for feature in set(composer.space) - set(held):
        ranks[feature.axis] += composer.allocation[feature]
    return {axis: rank * per_rank for axis, rank in ranks.items()}


def mixing_shares(mixture: Mixture, probabilities: np.ndarray, drawn: np.ndarray) -> dict[str, dict[str, float]]:
    """Cell -> the share asked for and the share drawn."""
    realised = drawn / drawn.sum()
    return {
        str(cell): {"asked": float(p), "drawn": float(share)}
        for cell, p, share in zip(mixture.train, probabilities, realised, strict=True)
    }


def cell_rows(scores: Mapping[Cell, float], mixture: Mixture, tasks: Mapping[str, Task]) -> list[dict[str, Any]]:
    """One row for each cell: task, language, attributes if any, group, score.

    If a task names the languages of an official average, `scored` says whether the cell's is one of them.
    """
    rows = []
    for cell, score in scores.items():
        row: dict[str, Any] = {"task": cell.task, "language": cell.language}
        if cell.attributes:
            row["attributes"] = dict(cell.attributes)
        if (official := tasks[cell.task].scored) is not None:
            row["scored"] = cell.language in official
        rows.append({**row, "group": mixture.group(cell), "score": round(score, 4)})
    return rows


def cell_of(row: Mapping[str, Any]) -> Cell:
    """The cell that a row of `cell_rows` is about."""
    return Cell(row["task"], row["language"], tuple(row.get("attributes", {}).items()))


def place_of(row: Mapping[str, Any]) -> str:
    """The language of a row of `cell_rows` with its values on further axes: its place among its task's cells."""
    return str(cell_of(row)).removeprefix(f"{row['task']}/")


def axes_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The axes beyond task and language that any of the rows has a value on, which a table needs a column for."""
    return list(dict.fromkeys(axis for row in rows for axis in row.get("attributes", {})))


def columns(cells: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """(task, group) -> the mean score of its cells, groups `in_order`."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in cells:
        found.setdefault((row["task"], row["group"]), []).append(row["score"])
    keys = [(task, g) for g in in_order(g for _, g in found) for task in sorted(t for t, own in found if own == g)]
    return {key: fmean(found[key]) for key in keys}


def write_record(run: Path, record: Mapping[str, Any]) -> None:
    write_whole(run / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def is_finished(run: Path) -> bool:
    """Whether a run has its record."""
    return (run / RECORD).is_file()


def read_record(run: Path) -> dict[str, Any]:
    """The record of a finished run.

    Raises:
        FlixError: the run is absent or unfinished, or the file is damaged or somebody else's.
    """
    path = run / RECORD
    if not is_finished(run):
        raise FlixError(f"run: {str(run)!r} holds no {RECORD}; it is not a finished run.")
    return read_record_file(path)


def precision_of(record: Mapping[str, Any]) -> str:
    """The number format of a finished run, empty where nothing says it; older records have it in their config only."""
    return record.get("precision") or record.get("config", {}).get("trainer", {}).get("precision", "")
