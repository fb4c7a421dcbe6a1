"""A run that was stopped, anywhere, and started again ends where it would have ended without the stop."""

import os
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from flix_lightning.adapters.bank_file import ADAPTER
from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.cldr.benchmark import Cldr
from flix_lightning.data.predictions import predictions_file
from flix_lightning.data.scores import CellScores
from flix_lightning.training import checkpoints, early_warning, preemption
from flix_lightning.training import run as training
from flix_lightning.training.checkpoints import WholeFiles, newest_sound, path_of
from flix_lightning.training.early_warning import note_warnings
from flix_lightning.training.module import FlixModule
from flix_lightning.training.run import train
from flix_lightning.training.tracking.metrics_file import MetricsFile
from tests.configs import SMALL, composed, untrained_backbone

TINY = (
    *SMALL,
    "mixture.tasks=[semantic_parsing]",
    "mixture.languages=[sw, bn]",
    "mixture.train={}",
    "data.batch_size=4",
)
SLOW = pytest.mark.slow
TIMES = ("seconds", "peak_memory_mib", "peak_device_memory_mib")  # measured, never twice the same


def benchmark_of_short_targets() -> Cldr:
    benchmark = Cldr(rows={"train": 20, "validation": 1, "test": 1})
    benchmark.tasks = {name: replace(task, max_target_tokens=6) for name, task in benchmark.tasks.items()}
    return benchmark


def run_small(folder: str, *overrides: str, backbone=None) -> dict:
    run = Path(folder)
    backbone = backbone or untrained_backbone()
    return train(composed(*TINY, *overrides), run, benchmark_of_short_targets(), backbone, MetricsFile(run))


def result(folder: str, record: dict) -> tuple:
    """All that a run leaves behind, bit for bit."""
    kept = {key: value for key, value in record.items() if key not in TIMES}
    predictions = predictions_file(Path(folder, "record.json")).read_bytes()
    return kept, Path(folder, ADAPTER).read_bytes(), Path(folder, "metrics.csv").read_text(), predictions


class PowerCut(Exception):
    pass


# where -> what is called there; `record` is cut between the adapters' file and the record
PLACES = {
    "step": (FlixModule, "training_step"),
    "validation": (FlixModule, "validation_step"),
    "checkpoint": (checkpoints, "write_whole"),
    "test": (FlixModule, "test_step"),
    "record": (training, "write_record"),
}


def cut_at(patch: pytest.MonkeyPatch, place: str, call: int) -> None:
    """The `call`-th time something is called there, the power fails."""
    owner, name = PLACES[place]
    whole, calls = getattr(owner, name), []

    def cut(*arguments, **named):
        calls.append(None)
        if len(calls) == call:
            raise PowerCut
        return whole(*arguments, **named)

    patch.setattr(owner, name, cut)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("whole"))
    return result(folder, run_small(folder))


@pytest.mark.parametrize(
    ("place", "call"),
    [
        ("validation", 2),
        ("record", 1),
        *(pytest.param(*cut, marks=SLOW) for cut in (("step", 6), ("validation", 1), ("checkpoint", 3), ("test", 1))),
    ],
)
def test_a_run_cut_off_anywhere_ends_the_same(place, call, whole, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, place, call)
        run_small("cut")
    assert not Path("cut/record.json").exists()
    assert result("cut", run_small("cut")) == whole


@pytest.mark.parametrize("changed", ["data.micro_batch_size=2", pytest.param("trainer.checkpoint_every=4", marks=SLOW)])
def test_micro_batches_and_schedule_of_saving_may_change_on_resume(changed, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, "step", 5)
        run_small("cut")
    record = run_small("cut", changed)
    assert record["best_step"] in (3, 6)
    rows = Path("cut/metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "2", "5", "6"], "validations after steps 3 and 6, the test"


def test_a_backbones_own_dropout_is_the_same_after_a_restart(monkeypatch):
    def run(folder):
        backbone = untrained_backbone("t5")
        for module in backbone.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.3
        return result(folder, run_small(folder, backbone=backbone))

    once = run("once")
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, "step", 4)
        run("cut")
    assert run("cut") == once


@pytest.mark.parametrize(
    ("warning", "requeued"),
    [
        (signal.SIGUSR1, ["scontrol", "requeue", "7_2"]),
        pytest.param(signal.SIGUSR2, "submitit", marks=SLOW),
        pytest.param(signal.SIGTERM, None, marks=SLOW),
    ],
)
def test_slurms_warning_saves_the_step_and_requeues(warning, requeued, whole, monkeypatch):
    calls = []
    step = FlixModule.training_step

    def warned(self, batch, index):
        if batch.step == 2:  # the third: with a validation after it, and no checkpoint due
            os.kill(os.getpid(), warning)
        return step(self, batch, index)

    before = signal.signal(signal.SIGUSR2, lambda *_: calls.append("submitit") or sys.exit(255))
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setenv("SLURM_JOB_ID", "9")
        patch.setenv("SLURM_ARRAY_JOB_ID", "7")
        patch.setenv("SLURM_ARRAY_TASK_ID", "2")
        patch.setattr(preemption, "subprocess", SimpleNamespace(run=lambda command, **_: calls.append(command)))
        patch.setattr(FlixModule, "training_step", warned)
        run_small("cut")
    signal.signal(signal.SIGUSR2, before)
    for left in (signal.SIGUSR1, signal.SIGTERM):
        signal.signal(left, signal.SIG_DFL)
    assert calls == ([requeued] if requeued else [])
    assert newest_sound(Path("cut/checkpoints")) == path_of(Path("cut/checkpoints"), 3)
    assert result("cut", run_small("cut")) == whole


@pytest.mark.parametrize(("moment", "reached"), [("at the start", 1), pytest.param("before the test", 6, marks=SLOW)])
def test_slurms_warning_outside_training_requeues_too(moment, reached, whole, monkeypatch):
    """After a step at least, so that a job that is warned at every start comes to its end."""
    calls = []
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setenv("SLURM_JOB_ID", "9")
        patch.setattr(preemption, "subprocess", SimpleNamespace(run=lambda command, **_: calls.append(command)))
        patch.setattr(early_warning, "_noted", [])
        note_warnings()
        if moment == "at the start":
            os.kill(os.getpid(), signal.SIGUSR1)
        else:
            patch.setattr(FlixModule, "on_train_end", lambda _: os.kill(os.getpid(), signal.SIGUSR1))
        run_small("cut")
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    assert calls == [["scontrol", "requeue", "9"]]
    assert newest_sound(Path("cut/checkpoints")) == path_of(Path("cut/checkpoints"), reached)
    assert result("cut", run_small("cut")) == whole


def stopped(folder: str, monkeypatch) -> list[Path]:
    """The checkpoints of a run that was stopped in its last validation: of steps 2 and 4."""
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, "validation", 2)
        run_small(folder)
    return sorted(Path(folder, "checkpoints").iterdir())


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize("damage", [flip_a_bit, pytest.param(cut_short, marks=SLOW)])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(damage, whole, monkeypatch):
    files = stopped("cut", monkeypatch)
    assert [path.name for path in files] == ["step-00000002.ckpt", "step-00000004.ckpt"]
    damage(files[-1])
    with pytest.warns(UserWarning, match="step-00000004.ckpt' is damaged"):
        record = run_small("cut")
    assert result("cut", record) == whole


def test_only_damaged_checkpoints_are_an_error_not_a_new_start(tmp_path):
    path_of(tmp_path, 2).write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(FlixError, match="every file in .* is damaged"):
        newest_sound(tmp_path)


def test_a_malicious_checkpoint_is_refused_and_runs_nothing(monkeypatch):
    class Malice:
        def __reduce__(self):
            return Path.touch, (Path("was-here").resolve(),)

    files = stopped("cut", monkeypatch)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    for content in ({"state_dict": Malice()}, Malice()):
        torch.save(content, files[-1])
        with pytest.raises(FlixError, match="step-00000004.ckpt.*nothing in it was run"):
            run_small("cut")
    assert not Path("was-here").exists()
    torch.load(files[-1], weights_only=False)
    assert Path("was-here").exists(), "it would have"


def test_a_file_of_something_else_is_no_checkpoint(tmp_path):
    torch.save({"weights": torch.ones(2)}, tmp_path / "x.ckpt")
    with pytest.raises(FlixError, match="not one of a training run"):
        WholeFiles().load_checkpoint(tmp_path / "x.ckpt")


def test_a_full_disk_is_told_and_what_was_saved_stays(whole, monkeypatch):
    files = stopped("cut", monkeypatch)
    before = files[-1].read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))  # the kernel refuses to write on
    try:
        with pytest.raises(FlixError, match="cannot write .*step-00000006.ckpt.*File too large"):
            run_small("cut")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in files] == sorted(path.name for path in Path("cut/checkpoints").iterdir())
    assert files[-1].read_bytes() == before
    assert result("cut", run_small("cut")) == whole


def test_a_folder_that_cannot_be_made_is_told():
    Path("runs").write_text("a file")
    with pytest.raises(FlixError, match="cannot make the directory 'runs/x'"):
        run_small("runs/x")


@pytest.mark.parametrize("value", [float("nan"), pytest.param(float("inf"), marks=SLOW)])
def test_a_loss_that_is_not_finite_stops_the_run_and_spoils_no_checkpoint(value, monkeypatch):
    step = FlixModule.training_step

    def broken(self, batch, index):
        return step(self, batch, index) * (value if batch.step == 4 else 1)

    with (
        monkeypatch.context() as patch,
        pytest.raises(FlixError, match="not finite.*after step 4 is kept"),
    ):
        patch.setattr(FlixModule, "training_step", broken)
        run_small("run")
    kept = torch.load(newest_sound(Path("run/checkpoints")), weights_only=True)
    assert kept["global_step"] == 4
    assert all(tensor.isfinite().all() for tensor in kept["state_dict"].values())


def test_the_loss_itself_is_watched(monkeypatch):
    step = FlixModule.training_step
    monkeypatch.setattr(FlixModule, "training_step", lambda self, *a: step(self, *a) * float("nan"))
    with pytest.raises(FlixError, match="the loss is nan at step 10. Nothing has been saved yet"):
        run_small("run", "trainer.max_steps=12", "trainer.checkpoint_every=12", "trainer.validate_every=12")


ODD = ("trainer.max_steps=5", "trainer.validate_every=3")


def odd_end(folder: str) -> tuple:
    return result(folder, run_small(folder, *ODD))


@pytest.mark.parametrize(
    ("place", "call"),
    [("validation", 2), *(pytest.param(*cut, marks=SLOW) for cut in (("checkpoint", 3), ("test", 1)))],
)
def test_the_last_step_is_validated_also_after_a_restart(place, call, monkeypatch):
    once = odd_end("once")
    assert [step for step, _ in once[0]["validation_scores"]] == [3, 5]
    rows = once[2].splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "2", "4", "5"], "validations after steps 3 and 5, the test"
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, place, call)
        odd_end("cut")
    assert odd_end("cut") == once


def test_the_last_step_can_be_the_best(monkeypatch):
    scores = iter([10.0, 20.0])
    monkeypatch.setattr(CellScores, "compute", lambda self: dict.fromkeys(self.cells, next(scores, 0.0)))
    assert run_small("run", *ODD)["best_step"] == 5


def test_the_last_files_are_kept_and_no_others():
    run_small("run", "trainer.checkpoint_every=1", "trainer.keep_checkpoints=3")
    assert sorted(path.name for path in Path("run/checkpoints").iterdir()) == [
        f"step-0000000{step}.ckpt" for step in (4, 5, 6)
    ]


def test_seconds_add_up_over_processes(monkeypatch):
    clock = iter(range(0, 100_000, 10))
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: float(next(clock)))
    stopped("cut", monkeypatch)
    kept = torch.load(newest_sound(Path("cut/checkpoints")), weights_only=True)
    before = kept["callbacks"]["Checkpoints"]["seconds"]
    assert before > 0
    assert run_small("cut")["seconds"] > before + 10
