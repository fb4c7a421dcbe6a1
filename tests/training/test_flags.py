"""Flags of Lightning's Trainer that pass, and those that do not; compiled training; a profile."""

from inspect import signature
from pathlib import Path

import pytest
import torch
from lightning import Trainer

from flix_lightning.adapters.bank import Bank
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import fill
from flix_lightning.training.flags import REFUSED, check_flags
from flix_lightning.training.run_directory import fingerprint
from flix_lightning.training.trainer import TrainerSettings
from tests.configs import composed, untrained_backbone
from tests.training.test_resume import run_small

PASSED = {
    "gradient_clip_algorithm": "value", "deterministic": True, "benchmark": False, "inference_mode": False,
    "detect_anomaly": False, "sync_batchnorm": False, "enable_autolog_hparams": False,
}  # fmt: skip


def test_every_flag_of_lightning_passes_or_is_refused_with_a_reason():
    assert {*REFUSED, *PASSED} == set(signature(Trainer).parameters)
    check_flags(PASSED)
    for flag in REFUSED:
        with pytest.raises(FlixError, match=rf"trainer.lightning.{flag}: cannot be set here: .{{9,}}\.$"):
            check_flags([flag])


def test_what_passes_reaches_lightning():
    section = composed("trainer.accelerator=cpu", "+trainer.lightning.gradient_clip_algorithm=value")["trainer"]
    trainer = fill("trainer", TrainerSettings, section).build(Path("run"), "32-true", None, [])
    assert trainer.gradient_clip_algorithm == "value"
    section["lightning"] = {"gradient_clip_algorithm": "median"}
    with pytest.raises(FlixError, match="trainer: .*median"):
        fill("trainer", TrainerSettings, section).build(Path("run"), "32-true", None, [])


def test_what_changes_results_enters_the_hash_and_what_does_not_stays_out():
    base = fingerprint(composed())
    for override in (
        "logger=[csv,tensorboard]",
        "callbacks=device_stats",
        "trainer.log_every_n_steps=1",
        "trainer.profiler=simple",
        "+trainer.lightning.detect_anomaly=true",
        "trust=[mine]",
    ):
        assert fingerprint(composed(override)) == base, override
    for override in (
        "callbacks=early_stopping",
        "callbacks=[device_stats,early_stopping]",
        "+callbacks.own._target_=mine.Callback",
        "trainer.compile=true",
        "+trainer.lightning.deterministic=true",
        "continue_from=runs/a/0123456789",
    ):
        assert fingerprint(composed(override)) != base, override
    assert fingerprint(composed("trainer.lightning=3")) != base


def test_curves_get_their_points_where_they_are_asked_for():
    run_small("run", "trainer.log_every_n_steps=2")
    rows = [row.split(",") for row in Path("run/metrics.csv").read_text().splitlines()]
    column = rows[0].index("train/loss")
    assert [int(row[0]) for row in rows[1:] if row[column]] == [1, 3, 5], "steps counted from 0"


@pytest.mark.parametrize("profiler", ["simple", pytest.param("advanced", marks=pytest.mark.slow)])
def test_a_profile_is_a_file_of_the_run(profiler):
    run_small("run", f"trainer.profiler={profiler}")
    assert "run_training_epoch" in Path("run/fit-profile.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_compiled_training_ends_where_plain_training_does(kind):
    shape = ("trainer.precision=32-true", "trainer.max_steps=3", "optimizer.lr=1e-3")
    plain = run_small("plain", *shape, backbone=untrained_backbone(kind))
    compiled = run_small("compiled", *shape, "trainer.compile=true", backbone=untrained_backbone(kind))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert compiled["cells"] == plain["cells"]
    for name, factor in Bank.read(Path("plain")).factors.items():
        torch.testing.assert_close(Bank.read(Path("compiled")).factors[name], factor, atol=1e-4, rtol=1e-3)
