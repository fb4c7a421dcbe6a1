"""A pretrained model in a pair never trained: what the methods score there, and whether their errors are of form."""

import re
from collections.abc import Iterable

from flix_lightning.common.markdown import markdown_table
from flix_lightning.data.predictions import Prediction
from flix_lightning.report.comparison import Record, setting
from flix_lightning.report.evidence import Evidence
from flix_lightning.report.paper import HELD_OUT, TABLE_1
from flix_lightning.report.side_by_side import answer
from flix_lightning.report.study import Column

EXPERIMENT = "real_model"
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
    """Markdown: the runs of the experiment, one seed; None until there are some."""
    held_out = next(column for column in TABLE_1.columns if column.label == HELD_OUT)
    seen = Column("seen avg", held_out.mixture)
    runs = [r for r in evidence.records if r["config"].get("name") == EXPERIMENT and evidence.has_rows(r)]
    table = []
    for row in TABLE_1.rows:
        for record in runs:
            if all(setting(record["config"], key) == value for key, value in row.where.items()):
                asked = [one for cell in held_out.scored(record) for one in evidence.rows_of(record)[cell]]
                scores = [f"{column.score(record):.1f}" for column in (seen, held_out)]
                table.append([row.label, *scores, len(asked), *wrong(asked)])
    if not table:
        return None
    heads = ["", seen.label, HELD_OUT, "rows there", "wrong in form", "wrong in content"]
    return f"""## A real model

{_about(runs[0])} An answer is wrong in form if it is no parse in brackets at all.
All columns: [{EXPERIMENT}.md]({EXPERIMENT}.md).

{markdown_table(heads, table)}"""


def _about(record: Record) -> str:
    config = record["config"]
    languages = len({row["language"] for row in record["cells"]})
    return (
        f"`{config['model']['name']}` in {languages} languages, {record['steps']} steps of "
        f"{config['data']['batch_size']} rows, one seed, as in `experiment={EXPERIMENT}`."
    )
