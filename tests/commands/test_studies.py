"""`flix studies` as users run it: what is done, and a study of their own that is cut, continued and shared."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from flix_lightning.commands.grids import Planned
from flix_lightning.commands.pool import DONE, Pool
from flix_lightning.training.run_directory import run_directory
from tests.commands.test_commands import run_command
from tests.configs import FLIX, ROOT
from tests.training.test_resume import run_small

STUDY = """# @package _global_
# flix train -m experiment=mine
defaults: [smoke]
name: mine
benchmark: {rows: {train: 8, validation: 1, test: 1}}
trainer: {max_steps: 20, validate_every: 10, checkpoint_every: 1}
hydra: {sweeper: {params: {adapter: "flix,lora", seed: "0,1"}}}
"""


def test_the_runs_behind_the_first_table_are_in_results(monkeypatch, capfd):
    """Their experiment names the model and the number format that the records were made with."""
    code = run_command("studies", "table1_joint_tasks_known", f"results={ROOT / 'results'}", monkeypatch=monkeypatch)
    assert (code, capfd.readouterr().out) == (0, "table1_joint_tasks_known: 9 of 9 runs done\n0 runs are missing\n")


@pytest.mark.parametrize(
    "words, parts",
    [
        (["tabel1_joint"], ["study", "did you mean 'table1_joint'"]),
        (["smoke"], ["'smoke' lists no runs", "flix train experiment=smoke"]),
        (["processes=-1"], ["processes: expected a whole number of at least 0"]),
        (["table1_joint", "trainer.max_step=3"], ["trainer.max_step"]),
    ],
)
def test_what_cannot_be_is_refused(words, parts, monkeypatch, capfd):
    assert run_command("studies", *words, monkeypatch=monkeypatch) == 1
    error = capfd.readouterr().err
    assert all(part in error for part in parts) and "Traceback" not in error


@pytest.fixture
def study() -> list[str]:
    """The command for a study of four runs, from a folder of the user's."""
    Path("mine/experiment").mkdir(parents=True)
    Path("mine/experiment/mine.yaml").write_text(STUDY)
    return [*FLIX, "studies", "--config-dir", "mine", "mine", "logger=none"]


def started(command: list[str]) -> subprocess.Popen:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_a_study_that_is_cut_is_continued_and_shared(study):
    first = started([*study, "processes=2"])
    while not list(Path("runs/mine").glob("*/checkpoints/step*")) and first.poll() is None:
        time.sleep(0.1)
    first.send_signal(signal.SIGTERM)
    printed, _ = first.communicate()
    assert first.returncode == 128 + signal.SIGTERM, printed
    assert "stopped; time unknown" in subprocess.run(study, capture_output=True, text=True, check=True).stdout

    shared = [started([*study, "processes=1"]) for _ in range(2)]
    for one in shared:
        printed, _ = one.communicate()
        assert one.returncode == 0, printed
    last = subprocess.run([*study, "processes=1"], capture_output=True, text=True, check=True).stdout
    assert last.startswith("mine: 4 of 4 runs done\n")
    records = [json.loads(path.read_text()) for path in Path("results/mine").glob("*.json")]
    assert len(records) == 4 and {record["steps"] for record in records} == {20}
    assert Path("results/mine.md").read_text().startswith("| method | seeds |")
    logs = "".join(path.read_text() for path in Path("runs/studies").glob("*.log"))
    assert logs.count("$ flix train") >= 6 and "Traceback" not in logs

    next(Path("results/mine").glob("*.json")).unlink()
    line = subprocess.run([*study], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    assert line.startswith("mine: 3 of 4 runs done, 1 finished; about ")
    subprocess.run([*study, "processes=1"], check=True)
    assert len(list(Path("results/mine").glob("*.json"))) == 4


def test_a_run_that_is_refused_because_another_pool_finishes_it_is_done(monkeypatch):
    def refused(pool: Pool, words: tuple[str, ...], log: Path) -> int:
        shutil.copytree("trained", folder)  # by the other pool, between this process's refusal and its end
        return 1

    run_small("trained", "trainer.max_steps=1")
    config = json.loads(Path("trained/config.json").read_text())
    folder = run_directory(config)
    monkeypatch.setattr(Pool, "_run", refused)
    ends = []
    Pool(Path("logs"), Path("results")).train([Planned("mine", (), config)], 1, lambda run, end: ends.append(end))
    assert ends == [DONE] and len(list(Path("results").rglob("*.json"))) == 1


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_others_are_kept(study):
    wrong = started([*study, "processes=2", "optimizer.lr=1e30"])
    printed, _ = wrong.communicate()
    assert wrong.returncode == 1 and "Traceback" not in printed
    assert "4 of 4 runs failed" in printed and "says why" in printed and "runs/studies/mine-" in printed
