"""The budget of a feature: how many rows each trained on, in all, alone and together with others."""

from collections.abc import Sequence
from statistics import median

from flix_lightning.common.markdown import markdown_table
from flix_lightning.report.comparison import Record
from flix_lightning.report.study import Column, Study

USE, ALONE = "feature_use", "feature_use_alone"
HEADS = ["", "mixture", "axis", "features", "rows a feature", "alone", "with others"]


def feature_rows(study: Study, records: Sequence[Record]) -> str | None:
    """Markdown: medians over the features of an axis and over seeds, for each row and mixture; None without runs."""
    first: dict[str, Column] = {}
    for column in study.columns:
        first.setdefault(column.mixture, column)
    lines = [
        [row.label, mixture, *line]
        for row in study.rows
        for mixture, column in first.items()
        for line in _lines(list(study.runs(records, row, column).values()))
    ]
    return markdown_table(HEADS, lines) if lines else None


def _lines(runs: Sequence[Record]) -> list[list[str]]:
    """One for each axis, where any of the runs has counted."""
    counting = [run for run in runs if USE in run]
    if runs and not counting:
        return [["", "", "not recorded", "not recorded", "not recorded"]]
    axes = dict.fromkeys(feature.partition("=")[0] for run in counting for feature in run[USE])
    return [_line(axis, counting) for axis in axes]


def _line(axis: str, runs: Sequence[Record]) -> list[str]:
    used = [(run, feature) for run in runs for feature in run[USE] if feature.startswith(f"{axis}=")]
    alone = [(run[ALONE][feature], run[USE][feature]) for run, feature in used if ALONE in run]
    return [
        axis,
        str(len({feature for _, feature in used})),
        _median([run[USE][feature] for run, feature in used]),
        _median([single for single, _ in alone]),
        _median([every - single for single, every in alone]),
    ]


def _median(counts: Sequence[int]) -> str:
    return f"{median(counts):,.0f}" if counts else "not recorded"
