"""More steps for a finished run: it ends where one long run ends, and nothing but its length may change."""

from pathlib import Path

import pytest

from flix_lightning.adapters.bank_file import ADAPTER
from flix_lightning.common.errors import FlixError
from flix_lightning.training.callbacks import make_callbacks
from flix_lightning.training.checkpoints import newest_sound
from flix_lightning.training.continuation import continued
from flix_lightning.training.optimizer import ActiveRowsAdamW
from flix_lightning.training.run import train
from flix_lightning.training.run_directory import fingerprint, run_directory
from tests.configs import composed, untrained_backbone
from tests.training.test_resume import TIMES, TINY, PowerCut, benchmark_of_short_targets, cut_at

CONSTANT = ("optimizer.decay=constant",)


def run_small(*overrides: str) -> tuple[Path, dict]:
    typed = [*TINY, *overrides]
    config = composed(*typed)
    if config["continue_from"]:
        config = continued(config, typed)
    run, brought = run_directory(config), make_callbacks(config.get("callbacks", {}))
    return run, train(config, run, benchmark_of_short_targets(), untrained_backbone(), None, typed, brought)


def outcome(run: Path, record: dict) -> tuple:
    kept = {key: value for key, value in record.items() if key not in (*TIMES, "config")}
    return kept, (run / ADAPTER).read_bytes()


@pytest.mark.parametrize("dropout", ["constant", pytest.param("linear", marks=pytest.mark.slow)])
def test_at_a_constant_learning_rate_a_continued_run_equals_an_undisturbed_one(dropout, monkeypatch):
    shape = (*CONSTANT, f"feature_dropout={dropout}", "feature_dropout.schedule_steps=9")
    parent, _ = run_small(*shape)
    more = (*shape, f"continue_from={parent}", "trainer.max_steps=12")
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, "step", 5)
        run_small(*more)
    run, record = run_small(*more)
    assert outcome(run, record) == outcome(*run_small(*shape, "trainer.max_steps=12"))
    assert record["config"]["continue_from"] == str(parent) and run.parent == parent.parent and run != parent


def test_a_decaying_learning_rate_follows_the_longer_schedule_from_the_step_reached(monkeypatch):
    shape = ("optimizer.warmup_steps=2", "optimizer.lr=1")
    parent, _ = run_small(*shape)
    seen, update = [], ActiveRowsAdamW._update

    def noted(self, parameters, group):
        seen.append(group["lr"])
        update(self, parameters, group)

    monkeypatch.setattr(ActiveRowsAdamW, "_update", noted)
    run_small(*shape, f"continue_from={parent}", "trainer.max_steps=12")
    assert seen == pytest.approx([(12 - s) / 10 for s in range(6, 12)])


def test_two_keys_are_enough_whatever_the_run_was():
    parent, _ = run_small("rank.task=3", *CONSTANT, "data.micro_batch_size=2")
    typed = [f"continue_from={parent}", "trainer.max_steps=1000", "logger=none"]
    config = continued(composed(*typed), typed)
    assert config["rank"]["task"] == 3 and config["trainer"]["max_steps"] == 1000
    assert config["data"]["micro_batch_size"] is None, "of this machine, not of that run"
    moved = {**config, "continue_from": str(parent.resolve())}
    assert fingerprint(moved) == fingerprint(config)
    assert fingerprint({**config, "continue_from": None}) != fingerprint(config)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("parent"))
        return run_small()[0].resolve()


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        (["rank.task=3"], ["rank.task", "4", "3", "only trainer.max_steps"]),
        (["+mixture.mixing.cap=7"], ["mixture.mixing.cap", "7"]),
        (["callbacks=early_stopping"], ["callbacks.early_stopping", "EarlyStopping"]),
        (["trainer.max_steps=6"], ["trainer.max_steps", "more than the 6 steps", "got 6"]),
        (["continue_from=nowhere"], ["nowhere", "config.json"]),
        (["continue_from=3"], ["continue_from", "3"]),
    ],
)
def test_nothing_else_may_change(typed, parts, parent):
    typed = [f"continue_from={parent}", "trainer.max_steps=12", *typed]
    with pytest.raises(FlixError) as caught:
        continued(composed(*typed), typed)
    assert all(part in str(caught.value) for part in parts)


def test_an_unfinished_run_and_one_without_its_state_are_refused(parent):
    bare = Path("bare")
    bare.mkdir()
    (bare / "config.json").write_bytes((parent / "config.json").read_bytes())
    typed = ["continue_from=bare", "trainer.max_steps=12"]
    with pytest.raises(FlixError, match="not finished"):
        continued(composed(*typed), typed)
    (bare / "record.json").write_bytes((parent / "record.json").read_bytes())
    config = continued(composed(*typed), typed)
    with pytest.raises(FlixError, match="no checkpoint left"):
        train(config, Path("run"), benchmark_of_short_targets(), untrained_backbone(), None)


def test_a_run_that_stopped_early_goes_on_when_it_is_made_longer():
    shape = ("callbacks=early_stopping", "callbacks.early_stopping.patience=1", "trainer.validate_every=2", *CONSTANT)
    from flix_lightning.training.callbacks import make_callbacks

    def run(*typed):
        config = composed(*TINY, *shape, *typed)
        if config["continue_from"]:
            config = continued(config, [*TINY, *shape, *typed])
        folder = run_directory(config)
        brought = make_callbacks(config["callbacks"])
        return folder, train(
            config, folder, benchmark_of_short_targets(), untrained_backbone(), None, callbacks=brought
        )

    folder, record = run("trainer.max_steps=12")
    assert record["steps"] == 4
    assert newest_sound(folder / "checkpoints").name == "step-00000004.ckpt"
    _, longer = run("trainer.max_steps=20", f"continue_from={folder}")
    assert longer["steps"] == 6, "the next validation is no better and stops it again"
