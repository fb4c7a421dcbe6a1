"""Features as LoRAs of their own: PEFT's concatenation of those that the manifest names is our composition."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from flix_lightning.inference.export.features import MANIFEST
from flix_lightning.inference.model import FlixModel
from flix_lightning.models.tiny import load_tiny
from tests.commands.test_commands import run_command

IDS = torch.arange(100, 140)[None]


def exported(run: Path, *words: str, monkeypatch) -> dict:
    """The manifest of an export to `features`."""
    command = ("export", f"run={run}", "to=features", "out=features", *words)
    assert run_command(*command, monkeypatch=monkeypatch) == 0
    return json.loads(Path("features", MANIFEST).read_text(encoding="utf8"))


def concatenated(manifest: dict, cell: str) -> PeftModel:
    """The cell as PEFT makes it of single features, as the card says."""
    weights = manifest["cells"][cell]
    paths = {feature: f"features/{manifest['features'][feature]['folder']}" for feature in weights}
    first, *others = paths
    model = PeftModel.from_pretrained(load_tiny().model, paths[first], adapter_name=first)
    for feature in others:
        model.load_adapter(paths[feature], feature)
    model.add_weighted_adapter(list(weights), list(weights.values()), "cell", combination_type="cat")
    model.set_adapter("cell")
    return model.eval()


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.mark.parametrize(
    "words, cell, strengths",
    [
        ([], "semantic_parsing/yo", {}),
        (["cells=[semantic_parsing/sw]"], "semantic_parsing/sw", {}),  # not trained together
        (
            ["cells=[translation/sw]", "strengths={language: 0.5, task: -2}"],
            "translation/sw",
            {"language": 0.5, "task": -2},
        ),
        (["cells=[translation/gu]", "unseen_language=family"], "translation/gu", {"language": {"gu": {"bn": 1}}}),
    ],
)
def test_pefts_concatenation_is_our_composition(run, words, cell, strengths, monkeypatch):
    manifest = exported(run, *words, monkeypatch=monkeypatch)
    theirs = concatenated(manifest, cell)
    ours = FlixModel.from_run(run, "cpu")
    one = ours.cell(*cell.split("/"))
    ours.active.set(ours.serving([one], strengths).compose([one]))
    torch.testing.assert_close(logits(theirs), logits(ours.backbone))
    ours.active.set(None)
    assert (logits(theirs) - logits(ours.backbone)).abs().max() > 0.01


def test_a_folder_for_each_feature_and_all_cells_in_the_manifest(run, monkeypatch, capsys):
    manifest = exported(run, "base_model_name_or_path=the/backbone", monkeypatch=monkeypatch)
    assert capsys.readouterr().out == "features\n"
    bank = FlixModel.from_run(run, "cpu").bank
    assert {name: of["rank"] for name, of in manifest["features"].items()} == {str(f): r for f, r in bank.ranks.items()}
    folders = {of["folder"] for of in manifest["features"].values()}
    assert {path.name for path in Path("features").iterdir()} == {*folders, MANIFEST, "README.md"}
    for name in folders:
        config = json.loads(Path("features", name, "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == manifest["backbone"] == "the/backbone"
    assert {str(cell) for cell in bank.cells} <= manifest["cells"].keys()
    assert manifest["prompts"]["semantic_parsing"] == bank.tasks["semantic_parsing"].prompt
    card = Path("features/README.md").read_text()
    assert 'combination_type="cat"' in card and "not serve encoder-decoder" not in card


def test_of_chosen_cells_only_their_features(run, monkeypatch):
    manifest = exported(run, "cells=[translation/sw,translation/xx]", "lora_rank=8", monkeypatch=monkeypatch)
    assert list(manifest["features"]) == ["task=translation", "language=sw"]
    assert manifest["cells"]["translation/xx"] == {"task=translation": 1.0}
    config = json.loads(Path("features/task-translation/adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 8
