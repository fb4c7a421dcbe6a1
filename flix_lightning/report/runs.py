"""The list of runs: state, scores, and the settings in which they differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from flix_lightning.report.comparison import average, settings, varying
from flix_lightning.training.runs import Found


def rows(found: Sequence[Found]) -> list[dict[str, Any]]:
    """One row for each run: folder, state, detail, scores if finished, and the settings that differ between the runs.

    `validation` is the best validation score, `test` the mean over columns of test scores.
    """
    known = [{} if run.config is None else _settings(run.config) for run in found]
    keys = ["adapter.method", *varying(known)]
    listed = []
    for run, config in zip(found, known, strict=True):
        row: dict[str, Any] = {"run": str(run.folder), "state": run.state, "detail": run.detail}
        if run.record is not None:
            row |= {"validation": run.record.get("best_validation_score"), "test": _mean(run.record)}
        listed.append({**row, "settings": {key: config[key] for key in keys if key in config}})
    return listed


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**settings({"config": config}), **{key: config[key] for key in ("seed",) if key in config}}


def _mean(record: Mapping[str, Any]) -> float | None:
    return round(average(record), 4) if record.get("cells") else None


def print_runs(listed: Sequence[Mapping[str, Any]]) -> None:
    """Print one line for each run."""
    keys = list(dict.fromkeys(key for row in listed for key in row["settings"]))
    table = Table()
    for name in ("run", "state", "validation", "test", *keys):
        table.add_column(name, justify="right" if name in ("validation", "test") else "left", overflow="fold")
    for row in listed:
        scores = ["" if row.get(name) is None else f"{row[name]:.1f}" for name in ("validation", "test")]
        settings = [str(row["settings"].get(key, "")) for key in keys]
        table.add_row(row["run"], f"{row['state']} {row['detail']}", *scores, *settings)
    Console(soft_wrap=True, markup=False).print(table)
