"""Put the pretrained `tiny` into the package: its weights, its scores, its model card."""

import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel

from flix_lightning.common.markdown import markdown_table
from flix_lightning.data.benchmarks.cldr.languages import PRETRAINING, language_name
from flix_lightning.models.tiny import WEIGHTS

CARD = Template("""\
# tiny

The embedded model of FLix Lightning: a byte-level decoder (transformers' Qwen3 shape) of $parameters parameters,
pretrained on the five tasks of the `cldr` benchmark in $count languages that stand in none of its cells. It knows the
tasks, not the languages. It is made for trying methods out in minutes and is of no use for anything else.

- **Data**: rows drawn afresh at every step from Unicode CLDR as shipped in babel; only contents of the train split.
- **Languages**: $languages; English as the target side of translation and cross-lingual question answering.
- **Training**: $steps steps of $batch_size rows, Muon for the blocks' matrices and AdamW for the rest, peak
  learning rate $learning_rate, loss on target tokens only, final loss $loss.
- **Rebuild**: `$command` (resumable; about an hour on two CPU cores).
$history- **Format**: bfloat16 safetensors; the tokenizer is ByT5's byte vocabulary and needs no file.
- **Licence**: the weights Apache-2.0; CLDR data under the Unicode License v3.

Exact match in % on $rows held-out rows of the pretraining languages, scored with the weights as shipped:

$scores""")


def ship(backbone: PreTrainedModel, facts: Mapping[str, Any], folder: Path = WEIGHTS.parent) -> None:
    """Write weights, facts and card to `folder`.

    Args:
        backbone: the trained model; its weights are rounded to bfloat16 here, in place.
        facts: `steps`, `batch_size`, `learning_rate`, `loss`, `command`, `rows`, `scores` (task -> exact match in %);
            `history`, where the weights were not made by the command alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.bfloat16().contiguous() for k, v in backbone.state_dict().items() if not k.startswith("lm_head")}
    save_file(state, folder / WEIGHTS.name)
    (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf8")
    (folder / "README.md").write_text(card(facts, sum(v.numel() for v in state.values())), encoding="utf8")


def card(facts: Mapping[str, Any], parameters: int) -> str:
    """The model card of `facts`."""
    scores = markdown_table(["task", "exact match"], [(task, f"{s:.1f}") for task, s in facts["scores"].items()])
    history = f"- **History**: {facts['history']}\n" if "history" in facts else ""
    languages = ", ".join(map(language_name, PRETRAINING))
    return CARD.substitute(
        facts, history=history, scores=scores, languages=languages, count=len(PRETRAINING), parameters=f"{parameters:,}"
    )


@torch.no_grad()
def round_to_shipped(backbone: PreTrainedModel) -> None:
    """Round the weights to what bfloat16 holds, so that scores are those of the shipped file."""
    for parameter in backbone.parameters():
        parameter.copy_(parameter.bfloat16())
