"""results/README.md: the paper's tables, figures and claims, as far as the records go."""

from collections.abc import Sequence
from pathlib import Path

from flix_lightning.common.files import write_whole
from flix_lightning.report.bars import grouped_bars
from flix_lightning.report.claim import claims_table
from flix_lightning.report.comparison import Record
from flix_lightning.report.curves import learning_curves
from flix_lightning.report.heatmap import difference_heatmap, mean_cells
from flix_lightning.report.paper import CLAIMS, COMPUTE, FIGURE_2, FLIX, STUDIES, TABLE_1

INTRODUCTION = """# Results

Generated from the records in this folder by `flix report`. The tables hold scores of the embedded benchmark `cldr` with
the embedded model `tiny_bytes`, which knows the tasks but none of the languages (the default model, `tiny`, knows the
languages and not the forms of the tasks): test, mean ± standard deviation over seeds, of the checkpoint that is best in
validation. The rows in italics are the paper's, from XTREME-UP with PaLM-2: other data, another model, a longer
training; the shape of the tables is what can be compared. An average without a number in the paper is the mean of its
row. What was searched, tried and thought about the differences: [LOG.md](../LOG.md).
"""


def write_page(records: Sequence[Record], results: Path) -> None:
    """Write README.md and its pictures to `results`; what has not been run is marked."""
    parts = [INTRODUCTION, "## Which claims of the paper hold here", claims_table(CLAIMS, records)]
    for study in STUDIES:
        parts += [f"## {study.name}: {study.title}", study.table(records)]
    gains = {label: FIGURE_2.scores(records, label) for label in (row.label for row in TABLE_1.rows)}
    if any(found for method in gains.values() for found in method.values()):
        values = {label: {head: list(s.values()) for head, s in found.items()} for label, found in gains.items()}
        grouped_bars(values, "joint minus alone", "points", results / "figure2.png")
        parts += [f"## {FIGURE_2.name}: {FIGURE_2.title}", "![Figure 2](figure2.png)"]
    joint = {row.label: list(TABLE_1.runs(records, row, TABLE_1.columns[0]).values()) for row in TABLE_1.rows}
    curves = {label: [run for run in runs if "validation_scores" in run] for label, runs in joint.items()}
    if curves := {label: runs for label, runs in curves.items() if runs}:
        learning_curves(curves, "joint mixture", results / "learning_curves.png")
        parts += ["## Learning curves", "![Validation score over steps](learning_curves.png)"]
    if mean_cells(joint[FLIX]).keys() & mean_cells(joint[COMPUTE]).keys():
        title = "joint mixture: FLix minus compute-matched LoRA, test score"
        difference_heatmap(joint[FLIX], joint[COMPUTE], title, results / "joint.png")
        parts += ["## Cell by cell", "![FLix minus compute-matched LoRA](joint.png)"]
    folders = sorted(path.name for path in results.iterdir() if path.is_dir())
    parts += ["## Every run", "\n".join(f"- [{name}]({name}.md)" for name in folders) + "\n"]
    write_whole(results / "README.md", "\n\n".join(part.rstrip("\n") for part in parts) + "\n")
