"""The model card of `tiny`, from its measurements alone."""

from collections.abc import Mapping
from string import Template
from typing import Any

from flix_lightning.data.benchmarks.cldr.languages import language_name
from flix_lightning.models.pretraining.languages import ASKED, SPOKEN
from flix_lightning.models.pretraining.measuring import GROUPS

CARD = Template("""\
# tiny

The embedded model of FLix Lightning: a decoder (transformers' Qwen3 shape) of $parameters parameters over a vocabulary
of $vocabulary byte-level BPE tokens. It stands for a large multilingual model in studies that a laptop does in minutes:
it knows the languages of the benchmark `cldr` and what is said in them, and has written many forms of output, but never
those of the benchmark's semantic parsing and entities, and it has answered questions in other languages only. It is of
no use for anything else.

- **Languages**: $spoken. Of questions: $asked.
- **Data**: rows drawn afresh at every step from Unicode CLDR as shipped in babel, of contents of the train split:
  translation from and to English, ISO codes, writing out, kinds, splitting of lists, invented forms that have a name,
  invented forms that an example shows, questions over facts, copying. No prompt of the benchmark.
- **Training**: $steps steps of $batch_size rows in float32, Muon for the blocks' matrices and AdamW for the rest, peak
  learning rate $learning_rate, loss on target tokens only, at the end $loss.
- **Rebuild**: `$command`, exact in its seed, on one thread; resumable; about $hours hours of one CPU core.
- **Format**: weights in bfloat16 ($megabytes MB with the vocabulary); every token of it occurs in pretraining.
- **Licence**: the weights Apache-2.0; CLDR data under the Unicode License v3.

## What it can do

Exact match in % on contents it was not trained on, $rows rows a task, with the weights as shipped; by the languages
that have a cell in the benchmark's tasks, and those that have none. Names that stand alone are known by heart, so they
are among what it was trained on.

$abilities

## What it cannot do

Exact match in % on the benchmark's own test rows, without any training:

$untrained

## What a LoRA learns, and from how many rows

One LoRA on all languages of one task, of the rank that FLix has; mean score of the task's cells on test rows, by the
rows seen in training: `$curve_command`

$curve
""")
COMMAND = "flix pretrain"
CURVE_COMMAND = "flix train -m experiment=tiny_curve"


def card(measured: Mapping[str, Any]) -> str:
    """The text of the card.

    Args:
        measured: `parameters`, `vocabulary`, `bytes`, `settings` (of the loop), `loss`, `cpu_seconds`, `rows`,
            `abilities`, `untrained`, `curve`, as `measuring` makes them.
    """
    return CARD.substitute(
        measured["settings"],
        parameters=f"{measured['parameters']:,}",
        vocabulary=f"{measured['vocabulary']:,}",
        spoken=", ".join(map(language_name, SPOKEN)),
        asked=", ".join(map(language_name, ASKED)),
        loss=measured["loss"],
        hours=round(measured["cpu_seconds"] / 3600, 1),
        megabytes=round(measured["bytes"] / 1e6, 1),
        rows=measured["rows"],
        command=COMMAND,
        curve_command=CURVE_COMMAND,
        abilities=_table("", ["all", *GROUPS], measured["abilities"]),
        untrained=_table("", ["exact match"], {t: {"exact match": s} for t, s in measured["untrained"].items()}),
        curve=_curve(measured["curve"]),
    )


def _curve(points: list[Mapping[str, Any]]) -> str:
    if not points:
        return "Not measured yet."
    tasks = dict.fromkeys((point["task"], point["metric"]) for point in points)
    rows = {
        f"{task} ({metric})": {f"{p['rows']:,}": p["score"] for p in points if p["task"] == task}
        for task, metric in tasks
    }
    return _table("rows", [f"{n:,}" for n in sorted({point["rows"] for point in points})], rows)


def _table(corner: str, columns: list[str], rows: Mapping[str, Mapping[str, float]]) -> str:
    lines = [f"| {' | '.join([corner, *columns])} |", "|---" * (len(columns) + 1) + "|"]
    for name, cells in rows.items():
        texts = [f"{cells[column]:.1f}" if column in cells else "" for column in columns]
        lines.append(f"| {' | '.join([name, *texts])} |")
    return "\n".join(lines)
