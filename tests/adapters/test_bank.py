"""The bank file: what is written comes back, features are matched by name, and what does not fit is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.bank_file import FORMAT
from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.features import Feature, FeatureSpace
from flix_lightning.adapters.injection import adapter_state, inject
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.data.tasks import Task
from tests.toy import CELLS, FLIX, RANKS, TOYS, toy_batch, toy_flix

TASKS = {
    name: Task(name, f"{name} {{language}}: {{input}}", "f1", 5, scored=("sw", "yo")) for name in ("ner", "parse", "qa")
}


def toy_bank(family: str = "llama", **options) -> Bank:
    backbone, _, composer = toy_flix(family, **options)
    return Bank.of(backbone, composer, TASKS, CELLS[:5])


def other_composer(*names: str, language: int = 2) -> Composer:
    """Of these features, with the toys' ranks but for those of languages."""
    allocation = RankAllocation({"task": 3, "language": language}, {name: 4 for name in names if name == "language=yo"})
    return Composer(FLIX, FeatureSpace(map(Feature.parse, names)), allocation)


def fresh(family: str, composer: Composer, scaling: float = 1.0, target_modules="all-linear"):
    backbone = TOYS[family]()
    active = ActiveComposition(composer.total_rank)
    inject(backbone, composer.total_rank, active, target_modules, scaling)
    return backbone, active


@pytest.mark.parametrize("family", TOYS)
def test_a_bank_comes_back_from_its_file(family, tmp_path):
    bank = toy_bank(family, scaling=0.5)
    bank.write(tmp_path / "bank.safetensors")
    again = Bank.read(tmp_path / "bank.safetensors")
    assert again == replace(bank, factors=again.factors)
    assert again.factors.keys() == bank.factors.keys()
    assert all(torch.equal(again.factors[name], factor) for name, factor in bank.factors.items())
    assert [path.name for path in tmp_path.iterdir()] == ["bank.safetensors"]


def test_attributes_of_cells_come_back(tmp_path):
    cells = (Cell("ner", "sw", (("family", "Bantu"), ("script", "Latn"))), Cell("qa", "yo"))
    replace(toy_bank(), cells=cells).write(tmp_path / "bank.safetensors")
    assert Bank.read(tmp_path / "bank.safetensors").cells == cells


def test_the_schema_can_be_read_without_this_package(tmp_path):
    toy_bank("t5").write(tmp_path / "bank.safetensors")
    with safe_open(tmp_path / "bank.safetensors", "pt") as file:
        metadata, names = file.metadata(), set(file.keys())
    assert json.loads(metadata["ranks"]) == RANKS
    assert list(json.loads(metadata["ranks"])) == list(RANKS), "the order says whose rows are whose"
    assert json.loads(metadata["axes"]) == ["task", "language"]
    assert json.loads(metadata["target_modules"]) == ["k", "o", "q", "v", "wi_0", "wi_1", "wo"]
    assert json.loads(metadata["tasks"])["ner"]["prompt"] == "ner {language}: {input}"
    assert "encoder.block.0.layer.0.SelfAttention.q.lora_a" in names


def test_its_composer_places_every_feature_where_the_file_has_it():
    bank, (_, _, composer) = toy_bank(), toy_flix("llama")
    again = bank.composer()
    assert list(again.space) == list(composer.space)
    for feature, rows in bank.rows().items():
        assert again.ranks_of(feature) == composer.ranks_of(feature) == rows


@pytest.mark.parametrize("family", TOYS)
def test_a_run_with_other_features_gets_the_shared_ones_by_name(family):
    """A cell of shared features answers alike in both, though the rows stand elsewhere."""
    ours, active, composer = toy_flix(family)
    other = other_composer("task=abc", "task=qa", "language=aa", "language=sw", "language=yo")
    theirs, their_active = fresh(family, other)
    before = {name: factor.clone() for name, factor in adapter_state(theirs).items()}
    shared = toy_bank(family).load_into(theirs, other)
    assert list(map(str, shared)) == ["task=qa", "language=sw", "language=yo"]
    cells = [Cell("qa", "yo"), Cell("qa", "sw")]
    active.set(composer.compose(cells))
    their_active.set(other.compose(cells))
    batch = toy_batch(ours, 2)
    with torch.no_grad():
        wanted, got = ours(**batch).logits, theirs(**batch).logits
        active.set(None)
        assert (ours(**batch).logits - wanted).abs().max() > 0.1
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
    for feature in ("task=abc", "language=aa"):
        for row in other.ranks_of(Feature.parse(feature)):
            assert all(torch.equal(factor[row], before[name][row]) for name, factor in adapter_state(theirs).items())


MISFITS = {
    "rank": (
        ["language=sw"],
        {"language": 3},
        {},
        ["language=sw", "2", "3"],
    ),
    "no feature in common": (["language=xx"], {}, {}, ["none of its features", "language=xx"]),
    "scaling": (["language=sw"], {}, {"scaling": 2.0}, ["scaling=1.0", "2.0"]),
    "modules": (["language=sw"], {}, {"target_modules": ["q_proj"]}, ["other modules", "this model lacks"]),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_refused_and_nothing_is_copied(case):
    names, rank, options, told = MISFITS[case]
    composer = other_composer(*names, **rank)
    backbone, _ = fresh("llama", composer, **options)
    before = {name: factor.clone() for name, factor in adapter_state(backbone).items()}
    with pytest.raises(FlixError) as error:
        toy_bank().load_into(backbone, composer)
    for part in told:
        assert part in str(error.value)
    assert all(torch.equal(factor, before[name]) for name, factor in adapter_state(backbone).items())


def test_another_backbones_bank_is_refused():
    backbone, _ = fresh("t5", other_composer("language=sw"))
    with pytest.raises(FlixError, match="other modules"):
        toy_bank("llama").load_into(backbone, other_composer("language=sw"))


def damage(path: Path, case: str) -> Path:
    """A file that is no bank."""
    bank = toy_bank()
    factors = {name: factor.contiguous() for name, factor in bank.factors.items()}
    schema = {"format": FORMAT, "axes": '["task"]', "ranks": '{"task=ner": 3}', "backbone": '""', "scaling": "1.0"}
    if case == "cut off":
        bank.write(path)
        path.write_bytes(path.read_bytes()[:100])
    elif case == "no schema":
        save_file(factors, path)
    elif case == "ranks do not sum":
        save_file(factors, path, {**schema, "cells": "[]", "tasks": "{}"})
    elif case == "a key is missing":
        save_file(factors, path, {**schema, "ranks": json.dumps(RANKS)})
    elif case == "no JSON":
        save_file(factors, path, {**schema, "cells": "[]", "tasks": "{"})
    return path


@pytest.mark.parametrize("case", ["absent", "cut off", "no schema", "ranks do not sum", "a key is missing", "no JSON"])
def test_a_file_that_is_no_bank_is_one_clear_error(case, tmp_path):
    with pytest.raises(FlixError, match="bank.*odd.safetensors"):
        Bank.read(damage(tmp_path / "odd.safetensors", case))
