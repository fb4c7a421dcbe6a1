"""Grouped bars: one for each (method, column), with the spread over seeds as a whisker."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

import matplotlib.pyplot as plt
import numpy as np

from flix_lightning.report.colours import colour
from flix_lightning.report.picture import save


def grouped_bars(values: Mapping[str, Mapping[str, Sequence[float]]], title: str, ylabel: str, path: Path) -> None:
    """Draw `values`, method -> column -> one value for each seed; a column without values stays empty."""
    heads = list(next(iter(values.values())))
    width = 0.8 / len(values)
    figure, axes = plt.subplots(figsize=(1.25 * len(heads) + 1.8, 2.9), dpi=130)
    for number, (method, found) in enumerate(values.items()):
        places = np.arange(len(heads)) + (number - (len(values) - 1) / 2) * width
        means = [fmean(found[head]) if found[head] else np.nan for head in heads]
        spreads = [stdev(found[head]) if len(found[head]) > 1 else 0 for head in heads]
        axes.bar(
            places, means, width * 0.92, yerr=spreads, label=method, color=colour(method), ecolor="0.35", capsize=2
        )
    axes.axhline(0, color="0.2", linewidth=0.8)
    axes.set_xticks(range(len(heads)), heads)
    axes.set_ylabel(ylabel, fontsize=8)
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=8, length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    save(figure, path)
