"""The task x language heat map of a method's scores, its held-out cells outlined."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from flix_lightning.common.errors import FlixError
from flix_lightning.report.comparison import Record, by_setting
from flix_lightning.training.results import place_of


def mean_cells(records: Sequence[Record]) -> dict[tuple[str, str], float]:
    """(task, language and values on further axes) -> the mean score over records."""
    cells: dict[tuple[str, str], list[float]] = {}
    for record in records:
        for row in record["cells"]:
            cells.setdefault((row["task"], place_of(row)), []).append(row["score"])
    return {key: float(np.mean(values)) for key, values in cells.items()}


def difference_heatmap(records: Sequence[Record], baseline: Sequence[Record], title: str, path: Path) -> None:
    """Draw score(records) - score(baseline), a square a cell; unseen combinations dashed, unseen languages solid."""
    ours, theirs = mean_cells(records), mean_cells(baseline)
    groups = {(row["task"], place_of(row)): row["group"] for row in records[0]["cells"]}
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
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def draw_difference(records: Sequence[Record], path: Path) -> None:
    """One setting minus the other, cell by cell; FLix first.

    Raises:
        FlixError: there are not two settings.
    """
    _, settings = by_setting(records)
    if len(settings) != 2:
        raise FlixError(f"picture: shows the difference of two settings; these runs have {len(settings)}.")
    (one, ours), (other, theirs) = sorted(settings.items(), key=lambda item: item[0][0] != "flix")
    names = [", ".join(map(str, setting)) for setting in (one, other)]
    difference_heatmap(ours, theirs, f"{names[0]} minus {names[1]}, test score", path)


def literal(text: str) -> str:
    """A text from data, its dollar signs escaped."""
    return text.replace("$", r"\$")
