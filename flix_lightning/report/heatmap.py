"""The task x language heat map of a method's scores, its held-out cells outlined."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from flix_lightning.common.errors import FlixError
from flix_lightning.report.comparison import Record, two_settings
from flix_lightning.report.picture import save
from flix_lightning.training.results import place_of


def mean_cells(records: Sequence[Record]) -> dict[tuple[str, str], float]:
    """(task, language and values on further axes) -> the mean score over records."""
    cells: dict[tuple[str, str], list[float]] = {}
    for record in records:
        for row in record["cells"]:
            cells.setdefault((row["task"], place_of(row)), []).append(row["score"])
    return {key: float(np.mean(values)) for key, values in cells.items()}


def difference_heatmap(records: Sequence[Record], baseline: Sequence[Record], title: str, path: Path) -> None:
    """Draw score(records) - score(baseline), a square a cell that both have scored; unseen combinations dashed, unseen
    languages solid.

    Raises:
        FlixError: they share no cell, or the picture cannot be written.
    """
    theirs = mean_cells(baseline)
    ours = {cell: score for cell, score in mean_cells(records).items() if cell in theirs}
    if not ours:
        raise FlixError(f"{path.name}: the two settings have scored no cell in common.")
    rows = ((row["task"], place_of(row), row["group"]) for record in reversed(records) for row in record["cells"])
    groups = {(task, place): group for task, place, group in rows if (task, place) in ours}
    tasks = sorted({task for task, _ in ours})
    seen = {language for (_, language), group in groups.items() if group != "unseen language"}
    languages = sorted({language for _, language in ours}, key=lambda code: (code not in seen, code))
    grid = np.full((len(tasks), len(languages)), np.nan)
    for (task, language), score in ours.items():
        grid[tasks.index(task), languages.index(language)] = score - theirs[task, language]
    limit = max(1.0, float(np.nanpercentile(np.abs(grid), 97)))  # a single outlier does not wash out the rest
    figure, axes = plt.subplots(figsize=(0.27 * len(languages) + 2.6, 0.42 * len(tasks) + 1.3), dpi=130)
    image = axes.imshow(grid, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    for (task, language), group in groups.items():
        if group != "seen":
            corner = languages.index(language) - 0.5, tasks.index(task) - 0.5
            style = "--" if group == "unseen combination" else "-"
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=1.1, linestyle=style))
    axes.set_xticks(range(len(languages)), list(map(literal, languages)), rotation=90, fontsize=7)
    axes.set_yticks(range(len(tasks)), [literal(task.replace("_", " ")) for task in tasks], fontsize=8)
    axes.set_facecolor("0.93")
    axes.set_title(literal(title), fontsize=9, loc="left")
    axes.tick_params(length=0)
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.03, extend="both").ax.tick_params(labelsize=7)
    figure.tight_layout()
    save(figure, path)


def draw_difference(records: Sequence[Record], path: Path) -> None:
    """One setting minus the other, cell by cell.

    Raises:
        FlixError: there are not two settings.
    """
    (one, ours), (other, theirs) = two_settings("picture", records).items()
    difference_heatmap(ours, theirs, f"{one} minus {other}, test score", path)


def literal(text: str) -> str:
    """A text from data, its dollar signs escaped."""
    return text.replace("$", r"\$")
