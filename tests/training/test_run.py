"""Whole runs on a toy backbone: what they write, how they resume, what stays frozen."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from flix_lightning.adapters.bank_file import ADAPTER
from flix_lightning.common.settings import without
from flix_lightning.data.tokens.encoding import training_batch
from flix_lightning.data.tokens.places import target_places
from flix_lightning.evaluation.evaluate import evaluate
from flix_lightning.training.assembly import build_experiment
from flix_lightning.training.results import columns, read_record
from flix_lightning.training.run import train
from tests.configs import SMALL, composed, small_benchmark, untrained_backbone


def run_small(folder: str, *overrides: str, kind: str = "llama", backbone=None):
    config = composed(*SMALL, *overrides)
    return train(config, Path(folder), small_benchmark(), backbone or untrained_backbone(kind), None)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_run_writes_its_record_adapters_and_config(kind):
    record = run_small("run", kind=kind)
    assert record == read_record(Path("run"))
    assert json.loads(Path("run/config.json").read_text())["adapter"]["name"] == "flix"
    groups = {(row["task"], row["language"]): row["group"] for row in record["cells"]}
    assert groups["semantic_parsing", "sw"] == "seen"
    assert ("qa_cross_lang", "sw") not in groups, "the benchmark has no such cell"
    assert all(0 <= row["score"] <= 100 for row in record["cells"])
    assert record["steps"] == 6
    assert record["best_step"] in (3, 6)
    assert [step for step, _ in record["validation_scores"]] == [3, 6]
    asked = sum(cell["asked"] for cell in record["mixing"].values())
    drawn = sum(cell["drawn"] for cell in record["mixing"].values())
    assert math.isclose(asked, 1) and math.isclose(drawn, 1)
    factors = load_file(f"run/{ADAPTER}")
    assert sum(t.numel() for t in factors.values()) == sum(record["parameters"].values())
    assert {name.rpartition(".")[2] for name in factors} == {"lora_a", "lora_b"}


def test_checkpoints_hold_adapters_only_and_no_objects():
    run_small("run")
    checkpoint = torch.load("run/checkpoints/step-00000006.ckpt", weights_only=True)
    assert {name.rpartition(".")[2] for name in checkpoint["state_dict"]} == {"lora_a", "lora_b"}


def test_training_changes_adapters_and_leaves_the_backbone_bit_equal():
    backbone = untrained_backbone()
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    run_small("run", backbone=backbone)
    after = {name.replace(".base.", "."): tensor for name, tensor in backbone.model.state_dict().items()}
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert any(tensor.any() for name, tensor in after.items() if name.endswith("lora_b"))


def test_micro_batches_do_not_change_the_step():
    whole, parts = run_small("whole"), run_small("parts", "data.micro_batch_size=2")
    first, second = load_file(f"whole/{ADAPTER}"), load_file(f"parts/{ADAPTER}")
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=2e-5)
    assert whole["mixing"] == parts["mixing"]


def test_the_loss_of_a_step_falls_when_the_step_is_repeated():
    experiment = build_experiment(
        composed(*SMALL, "optimizer.warmup_steps=0", "optimizer.lr=0.1"), small_benchmark(), untrained_backbone()
    )
    data, module = experiment.datamodule, experiment.module
    data.setup("fit")
    optimizer = module.configure_optimizers()["optimizer"]
    losses = []
    for _ in range(20):
        loss = whole_step(data, module)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05, "frozen random weights leave little to gain, but something"


def whole_step(data, module):
    draws = data.global_batches[0]
    cells = [data.mixture.train[c] for c in draws.cells]
    rows = [data.tokenised.encoded(cell, "train")[r] for cell, r in zip(cells, draws.rows)]
    module.active.set(module.composer.compose(cells))
    inputs = training_batch(rows, 0, False)
    return module.target_loss(inputs, target_places(inputs["labels"], False)) / sum(len(row.target) for row in rows)


def test_scores_of_a_run_are_found_again_by_evaluation():
    from lightning import Trainer

    record = run_small("run")
    trainer = Trainer(
        accelerator="cpu",
        precision=record["precision"],
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
    )
    benchmark = small_benchmark()
    chosen = {"tasks": ["semantic_parsing", "qa_cross_lang", "translation"], "languages": ["sw", "yo", "bn"]}
    again, _ = evaluate(Path("run"), benchmark, benchmark, untrained_backbone(), trainer, **chosen)
    found = [without(row, "rows") for row in again["cells"]]
    assert found == sorted_like(record["cells"], found)
    assert len({row["rows"] for row in again["cells"]}) == len(found), "each cell's own"


def sorted_like(rows, order):
    found = {(row["task"], row["language"]): row for row in rows}
    return [found[row["task"], row["language"]] for row in order]


def test_columns_are_means_over_cells():
    rows = [
        {"task": "ner", "language": "sw", "group": "seen", "score": 10.0},
        {"task": "ner", "language": "yo", "group": "seen", "score": 30.0},
        {"task": "ner", "language": "ln", "group": "unseen language", "score": 5.0},
    ]
    assert columns(rows) == {("ner", "seen"): 20.0, ("ner", "unseen language"): 5.0}
