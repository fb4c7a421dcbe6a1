"""The number format of a run: resolved once, kept wherever the run continues, the same for all its processes."""

import json
import threading
from pathlib import Path

import pytest
import torch

from flix_lightning.common.errors import FlixError
from flix_lightning.models import precision
from flix_lightning.models.precision import AUTO, FULL, MIXED
from flix_lightning.report.comparison import by_setting, check_one_format
from flix_lightning.training import kept_precision
from flix_lightning.training.kept_precision import KEPT, keep_precision, run_precision
from flix_lightning.training.module import FlixModule
from flix_lightning.training.results import precision_of
from flix_lightning.training.run import train
from flix_lightning.training.run_directory import fingerprint
from tests.configs import SMALL, composed, small_benchmark, untrained_backbone

SHORT = (*SMALL, "mixture.languages=[sw]", "mixture.train={}", "mixture.tasks=[semantic_parsing]")
RUN = Path("run")


@pytest.fixture
def bf16(monkeypatch):
    """Makes this machine's bf16 products fast or slow."""

    def make(fast: bool) -> None:
        monkeypatch.setattr(precision, "_faster_on_this_cpu", lambda: fast)

    return make


@pytest.fixture
def computed(monkeypatch):
    """The number formats that training steps were computed in."""
    step, found = FlixModule.training_step, []

    def watched(self, *arguments):
        found.append(MIXED if torch.is_autocast_enabled("cpu") else FULL)
        return step(self, *arguments)

    monkeypatch.setattr(FlixModule, "training_step", watched)
    return found


def run_small(*overrides: str) -> dict:
    return train(composed(*SHORT, *overrides), RUN, small_benchmark(), untrained_backbone(), None)


@pytest.mark.parametrize("fast, expected", [(True, MIXED), (False, FULL)])
def test_a_run_computes_and_records_what_auto_became(bf16, computed, fast, expected):
    bf16(fast)
    record = run_small()
    assert set(computed) == {expected} and record["precision"] == expected
    assert record["config"]["trainer"]["precision"] == AUTO, "the hash is of what was asked for"
    assert (RUN / KEPT).read_text() == f"{expected}\n"


def test_a_run_that_continues_on_another_machine_keeps_its_format(bf16, computed):
    bf16(True)
    run_small()
    (RUN / "record.json").unlink()
    (RUN / "checkpoints/step-00000006.ckpt").unlink()
    bf16(False)
    assert run_small()["precision"] == MIXED
    assert computed == [MIXED] * 8, "six steps, then the last two again"


def test_what_is_asked_for_is_not_overruled():
    keep_precision_in(RUN, MIXED)
    assert run_precision(RUN, FULL, "cpu") == FULL


def keep_precision_in(run: Path, value: str) -> None:
    run.mkdir()
    keep_precision(run, value)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK"])
def test_later_processes_take_the_word_of_the_first(name, bf16, monkeypatch):
    monkeypatch.setenv(name, "1")
    bf16(False)
    threading.Timer(0.3, keep_precision_in, (RUN, MIXED)).start()
    assert run_precision(RUN, AUTO, "cpu") == MIXED


def test_a_word_that_does_not_come_is_told(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(kept_precision, "PATIENCE", 0.2)
    with pytest.raises(FlixError, match="trainer.precision=auto.*precision.txt"):
        run_precision(RUN, AUTO, "cpu")


def test_the_format_of_older_records_stands_in_their_config():
    old = {"config": {"trainer": {"precision": MIXED}}}
    assert precision_of(old) == MIXED
    assert precision_of({**old, "precision": FULL}) == FULL


def test_tables_keep_number_formats_apart():
    config = json.loads(json.dumps(composed()))
    one = {"config": config, "precision": FULL}
    other = {"config": {**config, "seed": 1}, "precision": MIXED}
    keys, groups = by_setting([one, other])
    assert "trainer.precision" in keys
    assert len(groups) == 2
    older = {"config": {**config, "seed": 2, "trainer": {**config["trainer"], "precision": MIXED}}}
    _, groups = by_setting([one, other, older])
    assert {len(found) for found in groups.values()} == {1, 2}, "auto that became bf16-mixed is bf16-mixed"
    for mixed in (other, older):
        with pytest.raises(FlixError, match="32-true and bf16-mixed"):
            check_one_format("x", [one, mixed])
    check_one_format("x", [other, older])


def test_auto_is_in_the_hash():
    assert fingerprint(composed()) != fingerprint(composed("trainer.precision=32-true"))
