"""The loop: exact in its seed, and a run that was cut is the run that was not."""

import json

import pytest
import torch
from transformers import Qwen3ForCausalLM

from flix_lightning.common.errors import FlixError
from flix_lightning.models.pretraining import batches, loop
from flix_lightning.models.pretraining.batches import Batches
from flix_lightning.models.pretraining.loop import Settings, learning_rate, pretrain
from flix_lightning.models.tiny import tiny_config, tiny_tokenizer

FEW = Settings(steps=4, batch_size=2, learning_rate=1e-3, seed=0)


def narrow(seed):
    """Its vocabulary and kind of layers, few of these."""
    config = tiny_config()
    config.update({"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2})
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(config)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(batches, "GROUP", 2)
    monkeypatch.setattr(loop, "SAVE_EVERY", 1)
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    monkeypatch.setattr(loop, "untrained_tiny", narrow)


def weights(work, settings=FEW):
    work.mkdir(exist_ok=True)
    return pretrain(settings, tiny_tokenizer(), work)[0].state_dict()


def same(one, other):
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_twice_the_same_and_cut_off_and_continued_the_same(tmp_path, monkeypatch):
    whole = weights(tmp_path / "whole")
    assert not same(whole, weights(tmp_path / "seed", Settings(**{**vars(FEW), "seed": 1})))
    save = loop.save

    def cut(path, state):
        save(path, state)
        if state["step"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save", cut)
    with pytest.raises(KeyboardInterrupt):
        weights(tmp_path / "cut")
    monkeypatch.setattr(loop, "save", save)
    assert same(whole, weights(tmp_path / "cut"))
    logs = [[json.loads(line)["loss"] for line in (tmp_path / run / "log.jsonl").open()] for run in ("whole", "cut")]
    assert logs[0] == logs[1] and len(logs[0]) == FEW.steps
    assert same(whole, weights(tmp_path / "whole")), "a finished run is not what it was"


def test_a_checkpoint_of_other_settings_is_refused_but_for_the_length_while_the_rate_is_constant(tmp_path):
    saved = {"settings": {**vars(FEW), "steps": 100}, "step": 60}
    loop._check(saved, Settings(**{**vars(FEW), "steps": 90}), tmp_path)
    for other in ({"steps": 80}, {"steps": 90, "seed": 1}, {"steps": 100, "batch_size": 3}):
        with pytest.raises(FlixError, match="of another pretraining"):
            loop._check(saved, Settings(**{**vars(FEW), **other}), tmp_path)


def test_the_learning_rate_rises_holds_and_falls():
    rates = [learning_rate(step, 1000, 1.0) for step in (0, 49, 99, 500, 700, 850, 999)]
    assert rates == pytest.approx([0.01, 0.5, 1.0, 1.0, 1.0, 0.5, 1 / 300])


def test_a_step_has_rows_of_its_own_and_a_group_rows_of_like_lengths():
    drawn = Batches(tiny_tokenizer(), 0, 3)
    lengths = [[len(row.prompt) + len(row.target) for row in drawn[step]] for step in range(8)]
    assert all(len(batch) == 3 for batch in lengths)
    assert len({str(row) for step in range(8) for row in drawn[step]}) > 20
    for group in range(0, 8, 2):
        one, other = sorted(lengths[group : group + 2])
        assert max(one) <= min(other)
    assert drawn[5] == Batches(tiny_tokenizer(), 0, 3)[5] != Batches(tiny_tokenizer(), 1, 3)[5]
