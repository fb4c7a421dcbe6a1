"""A pretrained model in a pair never trained: what the methods score there, and whether their errors are of form."""

import re
from collections.abc import Iterable
from dataclasses import replace

from flix_lightning.common.markdown import markdown_table
from flix_lightning.data.predictions import Prediction
from flix_lightning.report.evidence import Evidence
from flix_lightning.report.paper import HELD_OUT, TABLE_1
from flix_lightning.report.side_by_side import answer
from flix_lightning.report.study import Study

EXPERIMENT = "real_model"
HELD_OUT_PARSING = next(column for column in TABLE_1.columns if column.label == HELD_OUT)
REAL_MODEL = Study(
    "A real model",
    "pairs of a task and a language that never met",
    [
        *(replace(column, mixture=HELD_OUT_PARSING.mixture) for column in TABLE_1.columns if column.group == "seen"),
        HELD_OUT_PARSING,
    ],
    [replace(row, published=()) for row in TABLE_1.rows],
    means=TABLE_1.means,
    experiment=EXPERIMENT,
)
SLOT = re.compile(r"\[SL:\w+ [^\[\]]+ \]")
FRAME = re.compile(r"\[IN:\w+(?: \0)+ \]")  # what was found within stands as \0


def is_parse(text: str) -> bool:
    """Whether a text is a parse in brackets, whatever it says: an intent with slots, or with further parses."""
    if SLOT.fullmatch(text) or "\0" in text:
        return False
    before, now = "", SLOT.sub("\0", text)
    while now != before:
        before, now = now, FRAME.sub("\0", now)
    return now == "\0"


def wrong(rows: Iterable[Prediction]) -> tuple[int, int]:
    """How many answers are no parse at all, and how many are another one than was asked for."""
    missed = [one.prediction for one in rows if not answer(one).is_right]
    content = sum(map(is_parse, missed))
    return len(missed) - content, content


def real_model(evidence: Evidence) -> str | None:
    """Markdown: what the runs of the experiment score and get wrong; None until there are some.

    Raises:
        FlixError: see `Study.table`.
    """
    runs = REAL_MODEL.every_run(evidence.records)
    if not runs:
        return None
    config, steps = runs[0]["config"], runs[0]["steps"]
    languages = len({row["language"] for row in runs[0]["cells"]})
    return f"""## {REAL_MODEL.name}: {REAL_MODEL.title}

`{config["model"]["name"]}` in {languages} languages, {steps} steps of {config["data"]["batch_size"]} rows, as in
`experiment={EXPERIMENT}`. All columns: [{EXPERIMENT}.md]({EXPERIMENT}.md).

{REAL_MODEL.table(evidence.records)}
Wrong answers in *{HELD_OUT}*; one that is no parse in brackets at all is wrong in form.

{_errors(evidence)}"""


def _errors(evidence: Evidence) -> str:
    table = []
    for row in REAL_MODEL.rows:
        for seed, record in REAL_MODEL.runs(evidence.records, row, HELD_OUT_PARSING).items():
            if evidence.has_rows(record):
                asked = [one for cell in HELD_OUT_PARSING.scored(record) for one in evidence.rows_of(record)[cell]]
                table.append([row.label, seed, len(asked), *wrong(asked)])
    return markdown_table(["", "seed", "rows", "wrong in form", "wrong in content"], table)
