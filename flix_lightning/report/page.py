"""results/README.md: the paper's tables, figures and claims, as far as the records go."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from flix_lightning.common.files import write_whole
from flix_lightning.report.bars import grouped_bars
from flix_lightning.report.claim import claims_table
from flix_lightning.report.comparison import Record
from flix_lightning.report.curves import learning_curves
from flix_lightning.report.evidence import Evidence
from flix_lightning.report.feature_rows import feature_rows
from flix_lightning.report.heatmap import difference_heatmap, mean_cells
from flix_lightning.report.paper import CLAIMS, COMPUTE, FIGURE_2, MAIN_TABLES, STUDIES, TABLE_1_TASKS_KNOWN
from flix_lightning.report.real_model import real_model
from flix_lightning.report.redo import redo
from flix_lightning.report.study import Study
from flix_lightning.report.when import PAGE

INTRODUCTION = f"""# Results

Generated from the records in this folder by `flix report`. The tables hold scores of the embedded benchmark `cldr`:
test, mean ± standard deviation over seeds, of the checkpoint that is best in validation. The line above a table says
which embedded model its runs adapt; no table mixes models or number formats. The rows in italics are the paper's, from
XTREME-UP with PaLM-2: other data, another model, a longer training; the shape of the tables is what can be compared. A
mean without a number in the paper is that of its row. What was searched, tried and thought about the differences:
[LOG.md](../LOG.md). In short: [When FLix helps]({PAGE}).
"""
CLAIMS_NOTE = """\
A claim **holds** when the 95 % interval of its difference, in points, lies above the bound of the column *above*, it
**fails** when it lies below, else it is **undecided**. Evidence by *rows* pairs predictions by seed, cell and row;
*seeds only* is Student's interval over seeds, for runs whose predictions were not kept, and wide with three of them. An
interval of *one seed* is about two runs, not two settings.
"""


def main_table(records: Sequence[Record]) -> Study:
    """Table 1 of the first regime that has runs."""
    return next((table for table in MAIN_TABLES if table.every_run(records)), MAIN_TABLES[-1])


def write_page(evidence: Evidence, results: Path) -> None:
    """Write README.md and its pictures to `results`; what has not been run is marked."""
    records = evidence.records
    parts = [INTRODUCTION, "## Which claims of the paper hold here", CLAIMS_NOTE]
    for regime, claims in CLAIMS:
        parts += [regime.line, claims_table(claims, evidence)]
    for study in STUDIES:
        parts += [f"## {study.name}: {study.title}", study.regime.line, study.table(records)]
        if study in MAIN_TABLES and (rows := feature_rows(study, records)):
            parts += ["Rows that a feature trained on, medians over features and seeds:", rows]
    parts += [found] if (found := real_model(evidence)) else []
    parts += _pictures(records, results)
    parts += [again] if (again := redo(records)) else []
    folders = sorted(path.name for path in results.iterdir() if path.is_dir())
    parts += ["## Every run", "\n".join(f"- [{name}]({name}.md)" for name in folders) + "\n"]
    write_whole(results / "README.md", "\n\n".join(part.rstrip("\n") for part in parts) + "\n")


def _pictures(records: Sequence[Record], results: Path) -> list[str]:
    """Draw what there are runs for, and what the page says of it."""
    parts = []
    gains = {label: FIGURE_2.scores(records, label) for label in (row.label for row in TABLE_1_TASKS_KNOWN.rows)}
    if any(found for method in gains.values() for found in method.values()):
        values = {label: {head: list(s.values()) for head, s in found.items()} for label, found in gains.items()}
        grouped_bars(values, "joint minus alone", "points", results / "figure2.png")
        line = FIGURE_2.joint.regime.line
        parts += [f"## {FIGURE_2.name}: {FIGURE_2.title}", line, "![Figure 2](figure2.png)"]
    table = main_table(records)
    joint = {row.label: list(table.runs(records, row, table.columns[0]).values()) for row in table.rows}
    curves = {label: [run for run in runs if "validation_scores" in run] for label, runs in joint.items()}
    if curves := {label: runs for label, runs in curves.items() if runs}:
        learning_curves(curves, "joint mixture", results / "learning_curves.png")
        parts += ["## Learning curves", table.regime.line, "![Validation score over steps](learning_curves.png)"]
    flix = max((label for label in joint if label.startswith("FLix")), key=lambda label: _validated(joint[label]))
    if mean_cells(joint[flix]).keys() & mean_cells(joint[COMPUTE]).keys():
        title = f"joint mixture: {flix} minus compute-matched LoRA, test score"
        difference_heatmap(joint[flix], joint[COMPUTE], title, results / "joint.png")
        parts += ["## Cell by cell", table.regime.line, "![FLix minus compute-matched LoRA](joint.png)"]
    return parts


def _validated(runs: Sequence[Record]) -> float:
    return fmean(run["best_validation_score"] for run in runs) if runs else 0.0
