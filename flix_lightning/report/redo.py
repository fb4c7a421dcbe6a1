"""How anybody redoes a column of table 1, what it takes, and what should come out."""

from collections.abc import Sequence

from flix_lightning.common.markdown import markdown_table
from flix_lightning.report.comparison import Record
from flix_lightning.report.paper import COMPUTE, HELD_OUT, LESS, PARAM, TABLE_1

SEED = 0
EXPERIMENTS = "table1_held_out table1_lora"  # their runs are of these methods
METHODS = (COMPUTE, PARAM, LESS)


def redo(records: Sequence[Record]) -> str | None:
    """Markdown: the command, its time and its scores, those of the records; None until every method has its run."""
    column = next(column for column in TABLE_1.columns if column.label == HELD_OUT)
    runs = {method: TABLE_1.runs(records, TABLE_1.row(method), column).get(SEED) for method in METHODS}
    made = {method: run for method, run in runs.items() if run is not None}
    if len(made) < len(METHODS):
        return None
    minutes = sum(run["seconds"] for run in made.values()) / 60
    return f"""## Redo a column

*{HELD_OUT}* of Table 1 for {len(METHODS)} methods and one seed, in a clone after the README's set-up:

    flix studies {EXPERIMENTS} mixture={column.mixture} seed={SEED} processes=2 results=mine

The table is then in mine/README.md. The runs behind the numbers below took {minutes:.0f} minutes of training and
scoring on one thread each, beside other work.

{markdown_table([f"seed {SEED}", HELD_OUT], [[method, f"{column.score(run):.1f}"] for method, run in made.items()])}"""
