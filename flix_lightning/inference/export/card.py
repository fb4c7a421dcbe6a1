"""The model card of an export: its content, its scores by the run's record, how to load it, its licences."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.features import Feature
from flix_lightning.common.markdown import markdown_table
from flix_lightning.data.cells import Cell
from flix_lightning.data.mixture import Mixture
from flix_lightning.data.tokens.encoding import PROMPT_END
from flix_lightning.inference.model import FlixModel
from flix_lightning.training.results import axes_of

CARD = Template("""\
---
base_model: $backbone
library_name: $library
license: other
language: [$languages]
tags: [flix, multilingual]
---

# $title

$what

$scores
$scored *Seen*: the pair of
task and language was trained. *Unseen combination*: both were trained, but not together. *Unseen language*: the
language was not trained.

## Prompts

$prompts

The model reads the prompt$end. `{language}` is the English name of the language.

## Load

```python
$load
```

## Training

$training Features and ranks: $features.

## Licence

These weights are derived from the backbone `$backbone` and the data of $data; the licences of both apply.
$notes
""")
NAME = "README.md"
SCORED = "Scores are in 0 to 100, those of the run on the {split} split of `{benchmark}`, with greedy decoding."
TRAINED = """\
{steps} steps of {batch_size} examples, mixture `{mixture}`, seed {seed}, FLix Lightning at commit `{commit}`, its best
checkpoint by validation."""
LIBRARY = {"peft": "peft", "features": "peft", "merged": "transformers", "bank": "flix-lightning"}
WHAT = {
    "peft": "A LoRA for `{backbone}`: the sum of the low-rank updates of {features}, trained as {method}.",
    "merged": "`{backbone}` with the low-rank updates of {features} added to its weights, trained as {method}.",
    "features": "LoRAs for `{backbone}`, one for each task, language or other feature, trained as {method}. A cell is "
    "served by the sum of several: `manifest.json` says which.",
    "bank": "Low-rank updates of `{backbone}` for tasks and languages, trained as {method}: any task composes with "
    "any language.",
}
UNSERVED = (
    "vLLM, SGLang and llama.cpp's server do not serve encoder-decoder models of this kind; transformers, PEFT and "
    "FLix Lightning answer with them."
)
METHOD = "[featurized low-rank mixtures](https://arxiv.org/abs/2402.17934)"
CALIBRATED = ", corrected by [Learnable Calibration](https://arxiv.org/abs/2507.16083)"
LOAD = {
    "peft": """\
from peft import PeftModel
from transformers import {auto}

backbone = {auto}.from_pretrained("{backbone}")
model = PeftModel.from_pretrained(backbone, "path/of/this/folder")""",
    "features": """\
import json
from peft import PeftModel
from transformers import {auto}

folder = "path/of/this/folder"
manifest = json.load(open(f"{{folder}}/manifest.json"))
weights = manifest["cells"]["{cell}"]
paths = {{feature: f"{{folder}}/{{manifest['features'][feature]['folder']}}" for feature in weights}}
first, *others = paths
model = {auto}.from_pretrained("{backbone}")
model = PeftModel.from_pretrained(model, paths[first], adapter_name=first)
for feature in others:
    model.load_adapter(paths[feature], feature)
model.add_weighted_adapter(list(weights), list(weights.values()), "cell", combination_type="cat")
model.set_adapter("cell")""",
    "merged": """\
from transformers import {auto}, AutoTokenizer

model = {auto}.from_pretrained("path/of/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/of/this/folder")""",
    "bank": """\
from flix_lightning import FlixModel

model = FlixModel.from_bank("path/of/this/folder")
print(model.generate(["..."], task="...", language="..."))""",
}
NOTES = {
    **{
        name: f"`{name}`: Apache-2.0, shipped in FLix Lightning, which writes it as a folder with `to=backbone`."
        for name in ("tiny", "tiny_bytes")
    },
    **{
        name: f"`{name}`: Unicode CLDR data as shipped in babel, Unicode License v3."
        for name in ("cldr", "cldr_compositional")
    },
}


def write_card(
    folder: Path,
    to: str,
    model: FlixModel,
    record: Mapping[str, Any] | None,
    cells: Sequence[Cell],
    ranks: Mapping[Feature, int],
    weights: Mapping[Feature, float] = {},
) -> None:
    """Write the card of an export into its folder.

    Args:
        to: `peft`, `features`, `merged` or `bank`.
        model: what is exported.
        record: of the run that trained it; None for a bank made of others, of which no score is known.
        cells: that the export is for; one of a LoRA or merged model.
        ranks: of the features that it is made of.
        weights: of those that are not added with weight 1.
    """
    bank, is_encoder_decoder = model.bank, model.backbone.config.is_encoder_decoder
    words = {
        "backbone": bank.backbone,
        "features": " and ".join(_weighted(feature, weights.get(feature, 1.0)) for feature in ranks),
        "cell": cells[0] if cells else "task/language",
        "method": METHOD + (CALIBRATED if record and "bank" in record["config"]["adapter"] else ""),
        "auto": "AutoModelForSeq2SeqLM" if is_encoder_decoder else "AutoModelForCausalLM",
    }
    tasks = dict.fromkeys(cell.task for cell in cells)
    sources = (bank.backbone, record["benchmark"]) if record else (bank.backbone,)
    notes = [NOTES[name] for name in sources if name in NOTES]
    if is_encoder_decoder and to != "bank":
        notes.append(UNSERVED)
    name = record["name"] if record else f"FLix bank of {bank.backbone}"
    card = CARD.substitute(
        backbone=bank.backbone,
        library=LIBRARY[to],
        languages=", ".join(sorted({repr(cell.language) for cell in cells})),
        title=name + (f": {_spoken(cells[0])}" if to in ("peft", "merged") else ""),
        what=WHAT[to].format(**words),
        scores=_scores(cells, bank, record),
        scored=SCORED.format(**record) if record else "No scores of this bank are known.",
        prompts="\n".join(f"- {task}: `{bank.tasks[task].prompt}`" for task in tasks),
        end=", in the tokenizer's chat template where it has one"
        + ("" if is_encoder_decoder else f", else followed by {PROMPT_END!r}"),
        load=LOAD[to].format(**words),
        training=_training(record) if record else "Joined or cut from trained banks by `flix bank`.",
        data=f"`{record['benchmark']}`" if record else "its runs",
        features=", ".join(f"{feature} {rank}" for feature, rank in ranks.items()),
        notes="\n".join(notes),
    )
    (folder / NAME).write_text(card, encoding="utf8")


def _training(record: Mapping[str, Any]) -> str:
    config = record["config"]
    return TRAINED.format(
        steps=record["steps"],
        batch_size=config["data"]["batch_size"],
        mixture=config["mixture"]["name"],
        seed=config["seed"],
        commit=record["environment"]["commit"],
    )


def _weighted(feature: Feature, weight: float) -> str:
    return f"`{feature}`" if weight == 1 else f"{weight:g} times `{feature}`"


def _spoken(cell: Cell) -> str:
    return ", ".join([f"{cell.task} in {cell.language}", *(f"{axis} {value}" for axis, value in cell.attributes)])


def _scores(cells: Sequence[Cell], bank: Bank, record: Mapping[str, Any] | None) -> str:
    """The table of the run's scores of `cells`, one row for each value on axes that a cell leaves open."""
    found = [row for cell in cells for row in _scored(cell, bank, record["cells"] if record else [])]
    axes = axes_of(found)
    rows = []
    for row in found:
        values = [row["task"], row["language"], *(row.get("attributes", {}).get(axis, "") for axis in axes)]
        score = f"{row['score']:.1f}" if "score" in row else ""
        rows.append([*values, row["group"], bank.tasks[row["task"]].metric_name, score])
    return markdown_table(["task", "language", *axes, "standing", "metric", "score"], rows)


def _scored(cell: Cell, bank: Bank, recorded: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The recorded rows of a cell; one without a score where the run did not score it."""
    rows = [
        row
        for row in recorded
        if (row["task"], row["language"]) == (cell.task, cell.language)
        and dict(cell.attributes).items() <= row.get("attributes", {}).items()
    ]
    unscored = {"task": cell.task, "language": cell.language, "attributes": dict(cell.attributes)}
    return rows or [{**unscored, "group": Mixture(train=bank.cells).group(cell)}]
