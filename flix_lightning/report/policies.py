"""Policies for unseen languages side by side: one row for each language, one column for each policy."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from flix_lightning.common.errors import FlixError
from flix_lightning.common.markdown import markdown_table
from flix_lightning.data.languages import family, script
from flix_lightning.evaluation.unseen.policy import STAND_INS
from flix_lightning.report.comparison import Record, check_one_format, spread
from flix_lightning.training.results import place_of

FOLDER = "unseen_languages"  # of results/: what `flix evaluate` wrote, by policy


def collect_policies(runs: Sequence[Path], results: Path) -> None:
    """Copy the test scores of every policy that runs were evaluated with.

    Raises:
        FlixError: there are none.
    """
    for run in runs:
        found = sorted(run.rglob("scores-*-test*.json"))
        if not found:
            raise FlixError(f"policies: no run in {str(run)!r} was evaluated on its test cells.")
        (results / FOLDER).mkdir(parents=True, exist_ok=True)
        for path in found:
            shutil.copyfile(path, results / FOLDER / f"{path.parent.parent.name}-{path.parent.name}-{path.name}")


def policies_table(scores: Sequence[Record]) -> str:
    """A Markdown table of the scores of unseen languages, mean ± standard deviation over seeds.

    Raises:
        FlixError: they were computed in several number formats.
    """
    check_one_format("--policies", scores)
    policies = [p for p in STAND_INS if any(record["unseen_language"]["stand_in"] == p for record in scores)]
    by_cell: dict[tuple[str, str], dict[str, list[float]]] = {}
    means: dict[str, list[float]] = {policy: [] for policy in policies}
    for record in scores:
        policy = record["unseen_language"]["stand_in"]
        cells = [row for row in record["cells"] if row["group"] == "unseen language"]
        means[policy].append(fmean(row["score"] for row in cells))
        for row in cells:
            by_cell.setdefault((row["task"], place_of(row)), {}).setdefault(policy, []).append(row["score"])
    rows = []
    for (task, place), found in sorted(by_cell.items()):
        language = place.partition("/")[0]
        rows.append([task, place, (family(language) or ("",))[-1], script(language) or "", *_row(found, policies)])
    rows.append(["mean", "", "", "", *_row(means, policies)])
    rows.append(["seeds", "", "", "", *(len(means[policy]) for policy in policies)])
    return markdown_table(["task", "language", "family", "script", *policies], rows)


def _row(found: dict[str, list[float]], policies: Sequence[str]) -> list[str]:
    best = max(round(fmean(values), 1) for values in found.values())
    marked = [(spread(found[p]), round(fmean(found[p]), 1) == best) if p in found else ("", False) for p in policies]
    return [f"**{text}**" if bold else text for text, bold in marked]
