"""Callbacks that a config names: early stopping that survives a cut, states that can be read again, what is refused."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping

from flix_lightning.common.errors import FlixError
from flix_lightning.common.targets import COMPOSED
from flix_lightning.training.callbacks import make_callbacks
from flix_lightning.training.checkpoints import newest_sound
from flix_lightning.training.run import train
from flix_lightning.training.tracking.metrics_file import MetricsFile
from tests.configs import composed, untrained_backbone
from tests.training.test_resume import TINY, PowerCut, benchmark_of_short_targets, cut_at, result

# an untrained model scores 0 throughout: no validation is better than the first, and the second after it ends training
STOPPING = ("callbacks=early_stopping", "callbacks.early_stopping.patience=2", "trainer.max_steps=12")
VALIDATED = ("trainer.validate_every=2", "trainer.checkpoint_every=4")


def run_small(folder: str, *overrides: str) -> dict:
    config, run = composed(*TINY, *VALIDATED, *overrides), Path(folder)
    brought = make_callbacks(config.get("callbacks", {}), COMPOSED)
    return train(config, run, benchmark_of_short_targets(), untrained_backbone(), MetricsFile(run), callbacks=brought)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("whole"))
    return result(folder, run_small(folder, *STOPPING))


def test_a_run_that_stops_early_is_finished_and_says_so(whole):
    record, _, metrics, _ = whole
    assert record["steps"] == 6 and record["stopped_early"], "validations after steps 2, 4, 6"
    assert sum(share["drawn"] for share in record["mixing"].values()) == pytest.approx(1)
    assert metrics.splitlines()[-1].startswith("6,")
    assert not run_small("run", "trainer.max_steps=2")["stopped_early"]


@pytest.mark.parametrize(("place", "call"), [("step", 6), ("test", 1), ("validation", 3)])
def test_early_stopping_ends_the_same_run_after_a_cut(place, call, whole, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, place, call)
        run_small("cut", *STOPPING)
    assert result("cut", run_small("cut", *STOPPING)) == whole


def test_the_last_state_of_a_run_that_stopped_early_is_kept():
    run_small("run", *STOPPING)
    kept = torch.load(newest_sound(Path("run/checkpoints")), weights_only=True)
    assert kept["global_step"] == 6, "no step of checkpoint_every"


class Odd(Callback):
    def state_dict(self):
        return {"where": Path("x")}


def test_a_state_that_could_not_be_read_again_is_refused_when_it_is_saved():
    run = Path("run")
    with pytest.raises(FlixError, match="state_dict of Odd"):
        train(composed(*TINY), run, benchmark_of_short_targets(), untrained_backbone(), None, callbacks=[Odd()])
    assert newest_sound(Path("run/checkpoints")) is None


def test_what_is_not_logged_cannot_be_watched():
    with pytest.raises(FlixError, match="'val/scor'; did you mean 'val/score'.*val/semantic_parsing"):
        run_small("run", "callbacks=early_stopping", "callbacks.early_stopping.monitor=val/scor")
    assert not Path("run").exists()


def test_several_compose():
    section = composed("callbacks=[early_stopping,device_stats]", "callbacks.early_stopping.patience=3")["callbacks"]
    stopping, stats = make_callbacks(section)
    assert isinstance(stopping, EarlyStopping) and stopping.patience == 3
    assert type(stats).__name__ == "DeviceStatsMonitor"


@pytest.mark.parametrize(
    ("section", "parts"),
    [
        ({"_target_": "lightning.pytorch.callbacks.ModelCheckpoint"}, ["ModelCheckpoint", "checkpoint_every"]),
        ({"_target_": "lightning.pytorch.callbacks.Timer"}, ["Timer", "another step"]),
        ({"_target_": "lightning.pytorch.callbacks.EarlyStopping"}, ["callbacks.x.monitor", "missing"]),
        (
            {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitor": "m", "mode": "up"},
            ["callbacks.x", "up"],
        ),
        ({"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": "x"}, ["callbacks.x._target_", "Callback"]),
        ("early_stopping", ["callbacks.x", "_target_"]),
    ],
)
def test_what_cannot_be_a_callback_is_refused_with_the_reason(section, parts):
    with pytest.raises(FlixError) as caught:
        make_callbacks({"x": section})
    assert all(part in str(caught.value) for part in parts)
