"""Learning curves: the validation score over steps, one line a method, its range over seeds shaded."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from flix_lightning.report.colours import colour
from flix_lightning.report.comparison import Record
from flix_lightning.report.picture import save


def learning_curves(groups: Mapping[str, Sequence[Record]], title: str, path: Path) -> None:
    """Draw each group's mean validation score and its lowest and highest seed, at the steps that all seeds have."""
    figure, axes = plt.subplots(figsize=(5.2, 3.1), dpi=130)
    for method, records in groups.items():
        by_seed = [dict(map(tuple, record["validation_scores"])) for record in records]
        steps = sorted(set.intersection(*map(set, by_seed)))
        scores = np.array([[curve[step] for step in steps] for curve in by_seed])
        axes.plot(steps, scores.mean(0), marker="o", markersize=3, label=method, color=colour(method))
        axes.fill_between(steps, scores.min(0), scores.max(0), alpha=0.18, linewidth=0, color=colour(method))
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel("validation score", fontsize=8)
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    save(figure, path)
