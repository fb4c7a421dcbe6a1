"""A sweep that is stopped and started again does the rest only; so does a search."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.configs import FLIX, SMALL

pytestmark = pytest.mark.slow
TINY = [*SMALL, "mixture.languages=[sw, bn]", "trainer.max_steps=20", "trainer.validate_every=20"]


def sweep(*arguments: str) -> subprocess.Popen:
    command = [*FLIX, "train", *TINY, "-m", f"runs_dir={Path.cwd() / 'runs'}", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def records() -> dict[Path, int]:
    """The finished runs and when each was written, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in Path("runs").rglob("record.json")}


def test_a_sweep_stopped_by_ctrl_c_redoes_no_finished_run():
    choices = ["feature_dropout.p=0,0.7", "rank.language=1"]
    first = sweep(*choices)
    while len(list(Path("runs").rglob("config.json"))) < 2 and first.poll() is None:  # the second run has begun
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    message, _ = first.communicate()
    assert first.returncode == 130 and "Traceback" not in message, message
    done = records()
    assert len(done) == 1
    message, _ = (again := sweep(*choices)).communicate()
    assert again.returncode == 0, message
    assert len(records()) == 2 and records().items() > done.items()
    table = subprocess.run([*FLIX, "report", "runs"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert table[0].startswith("| method | p | seeds |")
    assert {line.split(" | ")[1] for line in table[2:]} == {"0", "0.7"}


def test_a_search_that_goes_on_tries_the_same_and_then_more():
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    search = ["experiment=search_learning_rate", *TINY]
    for trials in (1, 2):
        done = records()
        message, _ = (run := sweep(*search, f"hydra.sweeper.n_trials={trials}")).communicate()
        assert run.returncode == 0, message
        assert len(records()) == trials and records().items() >= done.items()
    found = yaml.safe_load(Path("runs/optimization_results.yaml").read_text())
    assert 1e-3 <= found["best_params"]["optimizer.lr"] <= 3e-2
    assert 0 <= found["best_value"] <= 100
