"""The embedded model: it knows its tasks in its own languages, on rows it has not seen."""

import argparse
import json

import pytest
import torch
from lightning.fabric import Fabric

from flix_lightning.models.pretrain import TargetLogits, exact_match, group_of_batches, learning_rate, pretrain
from flix_lightning.models.shipping import card
from flix_lightning.models.tiny import WEIGHTS, load_tiny

FACTS = json.loads((WEIGHTS.parent / "facts.json").read_text())


@pytest.fixture(scope="module")
def tiny():
    return load_tiny()


def test_greedy_generation_agrees_with_the_exact_match_of_teacher_forcing(tiny):
    from random import Random

    from flix_lightning.data.tokens.encoding import generation_batch, training_batch
    from flix_lightning.models.pretrain import draw

    rng = Random("generation")
    rows = [row for task, row in (draw(rng, "test") for _ in range(60)) if task != "ner"][:24]
    with torch.inference_mode():
        logits, labels, number = TargetLogits(tiny.model)(training_batch(rows, 0, False))
        wrong = set(number[logits.argmax(-1) != labels].tolist())
        batch = generation_batch(rows, 0, False)
        tokens = tiny.model.generate(**batch, max_new_tokens=100, do_sample=False)[:, batch["input_ids"].shape[1] :]
    for i, row in enumerate(rows):
        assert (tokens[i, : len(row.target)].tolist() == row.target) == (i not in wrong)
    assert len(wrong) < len(rows) / 4


@pytest.mark.slow
def test_it_is_good_at_its_tasks_on_held_out_rows(tiny):
    scores = exact_match(TargetLogits(tiny.model), FACTS["rows"], FACTS["seed"])
    assert scores["semantic_parsing"] >= 90
    assert scores["ner"] >= 90
    for task, score in FACTS["scores"].items():
        assert scores[task] == pytest.approx(score, abs=0.5), "the model card tells another score"


def test_the_model_card_is_made_from_its_facts(tiny):
    told = card(FACTS, sum(p.numel() for p in tiny.model.parameters()))
    assert (WEIGHTS.parent / "README.md").read_text(encoding="utf8") == told


def test_the_learning_rate_rises_holds_and_falls():
    rates = [learning_rate(step, 1000, 1.0) for step in (0, 49, 99, 500, 700, 850, 999)]
    assert rates == pytest.approx([0.01, 0.5, 1.0, 1.0, 1.0, 0.5, 1 / 300])


def test_pretraining_cut_off_and_continued_equals_pretraining_in_one_go(tmp_path, monkeypatch):
    monkeypatch.setattr("flix_lightning.models.pretrain.GROUP", 2)
    monkeypatch.setattr("flix_lightning.models.pretrain.FINAL_ROWS", 4)
    shipped = {}
    monkeypatch.setattr(
        "flix_lightning.models.pretrain.ship", lambda model, facts: shipped.update(model=model, facts=facts)
    )
    group_of_batches.cache_clear()
    fabric = Fabric(accelerator="cpu", devices=1)

    def run(steps: int, work: str):
        (tmp_path / work).mkdir(exist_ok=True)
        settings = {"steps": 4, "batch_size": 2, "learning_rate": 1e-3, "seed": 0, "save_every": 1, "score_every": 99}
        monkeypatch.setattr("flix_lightning.models.pretrain.save", saver(steps))
        pretrain(fabric, argparse.Namespace(**settings, work=tmp_path / work))

    def saver(last: int):
        def save(path, state):
            torch.save(state, path)
            if state["step"] == last < 4:
                raise KeyboardInterrupt

        return save

    run(4, "whole")
    whole = {name: tensor.clone() for name, tensor in shipped["model"].state_dict().items()}
    with pytest.raises(KeyboardInterrupt):
        run(2, "cut")
    run(4, "cut")
    assert all(torch.equal(tensor, whole[name]) for name, tensor in shipped["model"].state_dict().items())
    group_of_batches.cache_clear()
