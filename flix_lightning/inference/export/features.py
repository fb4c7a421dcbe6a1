"""Every feature as a LoRA of its own, for whatever sums adapters: T + L folders serve T x L cells.

manifest.json says which to add for a cell, and how strongly:

    format      flix_lightning.features/1
    backbone    the name of the base model
    features    {"task=ner": {"folder": "task-ner", "rank": 4}, "language=sw": {"folder": "language-sw", ...}, ...}
    cells       {"ner/sw": {"task=ner": 1.0, "language=sw": 1.0}, ...}; any other cell: its task, its language and its
                values on further axes, those that are among the features
    prompts     {"ner": "Tag {language}: {input}", ...}
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from flix_lightning.adapters.features import Feature
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import escaped, whole_folder
from flix_lightning.data.cells import Cell
from flix_lightning.inference.export.card import write_card
from flix_lightning.inference.export.composed import one_composition, write_lora
from flix_lightning.inference.model import FlixModel

FORMAT = "flix_lightning.features/1"
MANIFEST = "manifest.json"


def export_features(
    model: FlixModel,
    record: dict[str, Any] | None,
    cells: Sequence[Cell],
    folder: Path,
    whole: bool,
    rank: int | None,
    base: str | None,
) -> Path:
    """A folder of LoRAs and their manifest.

    Args:
        cells: that the manifest names.
        whole: with the features that serve none of them too.
        rank: of every LoRA, filled up; by default each has its feature's.
        base: see `write_lora`.

    Raises:
        FlixError: nothing serves a cell, two features whose folders have one name, or see `write_lora`.
    """
    composer = model.serving(cells)
    for cell in cells:
        one_composition(composer, cell)  # refuses what nothing serves
    weights = {cell: composer.weights(cell) for cell in cells}
    serving = {feature for served in weights.values() for feature in served}
    features = [feature for feature in composer.space if whole or feature in serving]
    folders = {feature: "-".join(map(escaped, (feature.axis, feature.value))) for feature in features}
    if twice := [feature for feature in features if list(folders.values()).count(folders[feature]) > 1]:
        raise FlixError(f"to: {twice[0]} and {twice[1]} would both lie in {folders[twice[0]]!r}.")
    ranks = {feature: composer.allocation[feature] for feature in features}
    with whole_folder(folder) as partial:
        for feature, name in folders.items():
            index = torch.tensor(composer.ranks_of(feature))
            (partial / name).mkdir()
            write_lora(partial / name, model.backbone, index, torch.ones(len(index)), rank or len(index), base)
        manifest = {
            "format": FORMAT,
            "backbone": base or model.bank.backbone,
            "features": {str(f): {"folder": name, "rank": ranks[f]} for f, name in folders.items()},
            "cells": {str(cell): _named(served) for cell, served in weights.items()},
            "prompts": {name: model.bank.tasks[name].prompt for name in dict.fromkeys(cell.task for cell in cells)},
        }
        text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
        (partial / MANIFEST).write_text(text, encoding="utf8")
        write_card(partial, "features", model, record, cells, ranks)
    return folder


def _named(weights: dict[Feature, float]) -> dict[str, float]:
    return {str(feature): weight for feature, weight in weights.items()}
