"""Gradients are clipped by the norm of the rows that train, whatever is held, shared out or corrected."""

import json
from itertools import chain
from pathlib import Path

import pytest
import torch

from flix_lightning.training.module import FlixModule
from flix_lightning.training.optimizer import ActiveRowsAdamW
from flix_lightning.training.run import train
from tests.configs import SMALL, composed, small_benchmark, untrained_backbone
from tests.processes import run_on
from tests.training import test_calibrated_module as calibrated

CLIP = 1e-4  # below any step's norm: every step is clipped to it
STEPS = ("trainer.max_steps=3", "trainer.precision=32-true", f"trainer.gradient_clip={CLIP}")
BASE = ("mixture.languages=[sw, yo]", "mixture.train={}")
EXTEND = ("warm_start=extend", "feature_dropout.p=0", "mixture.languages=[bn]", "mixture.train={}")


@pytest.fixture
def norms(monkeypatch):
    """The norm over the rows that each step moves, as the optimizer finds the gradients."""
    found, step = [], ActiveRowsAdamW.step

    def watched(self, closure=None):
        def measured():
            loss = closure()
            rows = self.active_rows if self.gradient_rows is None else self.gradient_rows
            gradients = [p.grad[rows].flatten() for p in chain(*(g["params"] for g in self.param_groups))]
            found.append(torch.cat(gradients).norm().item())
            return loss

        return step(self, measured)

    monkeypatch.setattr(ActiveRowsAdamW, "step", watched)
    return found


def run(folder: str, *overrides: str) -> None:
    train(composed(*SMALL, *STEPS, *overrides), Path(folder), small_benchmark(), untrained_backbone(), None)


@pytest.mark.parametrize("batch", ["data.batch_size=8", "data.batch_size=1", "data.micro_batch_size=2"])
def test_held_features_do_not_count(batch, norms, monkeypatch):
    run("base", *BASE, "optimizer.lr=0.05")
    norms.clear()
    working = []
    start = FlixModule.on_train_start
    monkeypatch.setattr(FlixModule, "on_train_start", lambda self: (working.append(self.working), start(self)))
    run("more", *EXTEND, "warm_start.bank=base", batch)
    assert (working[0] is not None) == (batch == "data.batch_size=1"), "a working set where it is smaller than the bank"
    assert norms == pytest.approx([CLIP] * 3, rel=1e-3)


def test_corrections_are_clipped_by_their_own_norm(norms, tmp_path):
    experts = tmp_path / "experts"
    calibrated.run(experts, "mixture=single_tasks", "adapter=flix", "adapter.axes=[task]", "adapter.dropout_axes=[]")
    norms.clear()
    calibrated.run("run", *calibrated.calibration(experts, "adapter=calibration_pp"), *STEPS)
    assert norms == pytest.approx([CLIP] * 3, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_held_features_do_not_count_over_several_processes(strategy, tmp_path, monkeypatch):
    run("base", *BASE, "optimizer.lr=0.05")
    step = ActiveRowsAdamW.step

    def noting(self, closure=None):
        loss = step(self, closure)
        rows = self.active_rows if self.gradient_rows is None else self.gradient_rows
        gradients = [p.grad[rows].flatten() for p in chain(*(g["params"] for g in self.param_groups))]
        Path("norm.json").write_text(json.dumps(torch.cat(gradients).norm().item()))
        return loss

    monkeypatch.setattr(ActiveRowsAdamW, "step", noting)
    run_on(2, "more", *STEPS, *EXTEND, "warm_start.bank=base", strategy=strategy)
    assert json.loads(Path("norm.json").read_text()) == pytest.approx(CLIP, rel=1e-3)
