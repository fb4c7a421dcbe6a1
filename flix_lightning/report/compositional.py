"""The study's table: methods by the four groups of composite tasks, mean and spread over seeds."""

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.common.markdown import markdown_table
from flix_lightning.data.cells import JOIN
from flix_lightning.evaluation.compositional.records import METHODS
from flix_lightning.report.comparison import check_one_format, spread

GROUPS = {
    "QA + translation": ("qa", "translation"),
    "QA + style": ("qa", "style"),
    "NER + translation": ("ner", "translation"),
    "NER + style": ("ner", "style"),
}


def group_scores(record: Mapping[str, Any]) -> list[float]:
    """The mean over each group's composite tasks, in the order of `GROUPS`.

    Raises:
        FlixError: a group has no task, or a task no group.
    """
    found = {group: [] for group in GROUPS.values()}
    for row in record["cells"]:
        main, _, auxiliary = row["task"].partition(JOIN)
        found.setdefault((main, auxiliary.partition("_")[0]), []).append(row["score"])
    if found.keys() != set(GROUPS.values()) or not all(found.values()):
        told = ", ".join(row["task"] for row in record["cells"]) or "nothing"
        raise FlixError(
            f"{record['method']}, seed {record['seed']}: the study compares compositions of qa and ner with "
            f"translation and style, some of each; this record has scored {told}."
        )
    return [fmean(scores) for scores in found.values()]


def study_table(records: Iterable[Mapping[str, Any]]) -> str:
    """Markdown; methods in the order of `METHODS`, the best of each group in bold.

    Raises:
        FlixError: their models were trained in several number formats, or they have not scored the same tasks.
    """
    records = list(records)
    check_one_format("the compositional study", records)
    if len({frozenset(row["task"] for row in record["cells"]) for record in records}) > 1:
        raise FlixError("the compositional study: its records have not all scored the same tasks.")
    methods: dict[str, list[Mapping[str, Any]]] = {}
    for record in sorted(records, key=lambda record: (METHODS.index(record["method"]), record["seed"])):
        methods.setdefault(record["method"], []).append(record)
    columns = {
        name: list(zip(*([*group_scores(r), fmean(group_scores(r))] for r in seeds))) for name, seeds in methods.items()
    }
    best = [max(round(fmean(rows[i]), 1) for rows in columns.values()) for i in range(len(GROUPS) + 1)]
    titles = ["method", "seeds", "passes", "added parameters", "stored, KiB", "latency", *GROUPS, "mean"]
    rows = []
    for name, seeds in methods.items():
        latency = fmean(record["latency_ratio"] for record in seeds)
        cells = [name, str(len(seeds)), str(seeds[0]["passes"]), f"{seeds[0]['added_parameters']:,}"]
        cells += [f"{seeds[0]['stored_bytes'] / 1024:,.0f}", f"{latency:.2f}"]
        for column, top in zip(columns[name], best, strict=True):
            cells.append(f"**{spread(column)}**" if round(fmean(column), 1) == top else spread(column))
        rows.append(cells)
    return markdown_table(titles, rows)
