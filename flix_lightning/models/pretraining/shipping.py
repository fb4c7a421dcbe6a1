"""Puts the pretrained `tiny` into the package: weights, vocabulary, measurements, card."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from flix_lightning.common.files import write_whole
from flix_lightning.models.pretraining.card import card
from flix_lightning.models.pretraining.measuring import TargetLogits, abilities, untrained
from flix_lightning.models.tiny import FOLDER, VOCABULARY, WEIGHTS, tiny_tokenizer

MEASUREMENTS = "measurements.json"
ROWS, CELL_ROWS = 400, 5  # scored: a task of pretraining, a cell of the benchmark


def ship(backbone: PreTrainedModel, facts: dict[str, Any], vocabulary: Tokenizer, folder: Path = FOLDER) -> None:
    """Write the folder; the weights are rounded to bfloat16 in place, and measured so.

    Args:
        backbone, facts: what `pretrain` gives.
        vocabulary: that it was trained with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    round_to_shipped(backbone)
    state = {k: v.bfloat16().contiguous() for k, v in backbone.state_dict().items() if not k.startswith("lm_head")}
    save_file(state, folder / WEIGHTS.name)
    vocabulary.save(str(folder / VOCABULARY.name), pretty=False)
    module, tokenizer = TargetLogits(backbone.eval()), tiny_tokenizer(vocabulary)
    measured = {
        **facts,
        "parameters": sum(tensor.numel() for tensor in state.values()),
        "vocabulary": len(tokenizer),
        "bytes": sum((folder / path.name).stat().st_size for path in (WEIGHTS, VOCABULARY)),
        "rows": ROWS,
        "abilities": abilities(module, tokenizer, ROWS),
        "untrained": untrained(module, tokenizer, CELL_ROWS),
        "curve": [],
    }
    write_card(measured, folder)


def write_card(measured: dict[str, Any], folder: Path = FOLDER) -> None:
    """Of a folder's measurements, which are kept beside it."""
    write_whole(folder / MEASUREMENTS, json.dumps(measured, indent=1) + "\n")
    write_whole(folder / "README.md", card(measured))


@torch.no_grad()
def round_to_shipped(backbone: PreTrainedModel) -> None:
    """Round the weights to what bfloat16 holds, so that scores are those of the shipped file."""
    for parameter in backbone.parameters():
        parameter.copy_(parameter.bfloat16())
