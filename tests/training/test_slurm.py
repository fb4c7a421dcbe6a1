"""Sweeps, several nodes and preemption on a real SLURM; skipped where none is installed."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from flix_lightning.adapters.bank_file import ADAPTER
from tests import slurm
from tests.configs import FLIX, ROOT, SMALL

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not slurm.available(), reason="needs root and Debian's slurm-wlm and munge"),
]
WAIT = 400  # seconds; machines may be busy
SETTINGS = [o for o in SMALL if not o.startswith(("runs_dir", "trainer.max_steps"))]
LAUNCHER = [
    "hydra/launcher=slurm",
    "hydra.launcher.partition=main",
    "hydra.launcher.timeout_min=20",
    "hydra.launcher.setup=['export MASTER_ADDR=127.0.0.1 OMP_NUM_THREADS=1']",
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    running = slurm.Cluster(tmp_path_factory.mktemp("slurm"))
    yield running
    running.stop()


def arguments(runs: Path, *overrides: str) -> list[str]:
    return [*FLIX, "train", *SETTINGS, f"runs_dir={runs}", *overrides]


def sweep(runs: Path, *overrides: str) -> subprocess.Popen:
    command = [*arguments(runs, *LAUNCHER, *overrides), "-m"]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finished(sweeping: subprocess.Popen) -> None:
    _, told = sweeping.communicate(timeout=WAIT)
    assert sweeping.returncode == 0, told


def records(runs: Path) -> dict[tuple, dict]:
    found = [json.loads(path.read_text()) for path in runs.glob("*/*/record.json")]
    return {(r["config"]["seed"], r["config"]["feature_dropout"]["p"]): r for r in found}


def test_a_sweep_of_two_by_two_is_four_jobs(cluster, tmp_path):
    finished(sweep(tmp_path, "trainer.max_steps=2", "seed=0,1", "feature_dropout.p=0,0.5"))
    assert records(tmp_path).keys() == {(0, 0), (0, 0.5), (1, 0), (1, 0.5)}
    logs = list(tmp_path.glob("slurm/*/*_log.out"))
    assert len(logs) == 4
    assert all("semantic_parsing" in log.read_text() for log in logs), "each job's table is in its log"


def test_a_job_on_two_nodes_gives_the_scores_of_one_process(cluster, tmp_path):
    common = ("trainer.max_steps=2", "trainer.precision=32-true", "seed=0")
    finished(sweep(tmp_path / "two", *common, "trainer=ddp", "trainer.devices=1", "trainer.num_nodes=2"))
    subprocess.run(arguments(tmp_path / "one", *common), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (two,), (one,) = records(tmp_path / "two").values(), records(tmp_path / "one").values()
    assert two["cells"] == one["cells"]


LONG = ("trainer.max_steps=40", "trainer.checkpoint_every=7", "trainer.validate_every=20", "seed=0")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The long run on this machine: its adapters' bytes and its record."""
    runs = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(arguments(runs, *LONG), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return outcome(runs)


def outcome(runs: Path) -> tuple[bytes, dict]:
    (path,) = runs.glob("*/*/record.json")
    record = json.loads(path.read_text())
    del record["seconds"], record["peak_memory_mib"], record["peak_device_memory_mib"], record["config"]["runs_dir"]
    return path.with_name(ADAPTER).read_bytes(), record


def preempt(job: str, runs: Path, *how: str) -> str:
    """Warn the job once it has trained a while; the name of the checkpoint it came back from."""
    slurm.until(lambda: any(runs.glob("*/*/checkpoints/*.ckpt")), WAIT)
    subprocess.run(["scancel", *how, job], check=True)
    slurm.until(lambda: slurm.state(job) == "PENDING", WAIT)
    names = sorted(path.name for path in runs.glob("*/*/checkpoints/*.ckpt"))
    subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"], check=True)
    slurm.until(lambda: slurm.state(job) in ("RUNNING", ""), WAIT)
    return names[-1]


def test_a_preempted_job_of_a_sweep_ends_where_an_undisturbed_run_does(cluster, undisturbed, tmp_path):
    sweeping = sweep(tmp_path, *LONG)
    slurm.until(lambda: slurm.call("squeue", "-h", "-o", "%i") != "", WAIT)
    job = slurm.call("squeue", "-h", "-o", "%i")
    saved = preempt(job, tmp_path, "--signal=USR2")
    print("requeued from", saved)
    finished(sweeping)
    assert outcome(tmp_path) == undisturbed


def submit(runs: Path, minutes: int, warning: str, *overrides: str) -> str:
    """The number of an sbatch job that trains on two tasks of one node; its log is `job.log` beside the runs."""
    command = shlex.join(arguments(runs, "trainer=ddp", "trainer.devices=2", *overrides))
    script = runs / "job.sh"
    script.write_text(f"#!/bin/bash\nexport MASTER_ADDR=127.0.0.1 OMP_NUM_THREADS=1\nsrun {command}\n")
    options = ["--nodes=1", "--ntasks-per-node=2", f"--time={minutes}", f"--signal={warning}", "--requeue"]
    return subprocess.run(
        ["sbatch", "--parsable", *options, "--open-mode=append", f"--output={runs}/job.log", str(script)],
        cwd=ROOT, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stdout.strip()  # fmt: skip


def test_a_preempted_sbatch_script_on_two_tasks_requeues_itself_and_continues(cluster, tmp_path):
    job = submit(tmp_path, 20, "USR1@120", *LONG)
    preempt(job, tmp_path, "--signal=USR1")
    slurm.until(lambda: slurm.state(job) == "", WAIT)
    told = (tmp_path / "job.log").read_text()
    assert "saved after step" in told, told
    assert list(tmp_path.glob("*/*/record.json")), told


def test_a_job_that_comes_to_its_time_limit_is_put_back_and_goes_on(cluster, tmp_path):
    """It is warned between 20 and 80 seconds before its three minutes are over: on a slow machine it starts in one."""
    lasting = ("trainer.max_steps=100000", "trainer.validate_every=100000", "trainer.checkpoint_every=5")
    job = submit(tmp_path, 3, "USR1@20", *lasting)
    slurm.until(lambda: slurm.state(job) == "RUNNING", WAIT)
    slurm.until(lambda: slurm.state(job) == "PENDING", WAIT)
    told = (tmp_path / "job.log").read_text()
    saved = int(told.rpartition("saved after step ")[2].split(",")[0])
    assert steps(tmp_path)[-1] == saved > 0
    subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"], check=True)
    slurm.until(lambda: steps(tmp_path)[-1] > saved, WAIT)
    subprocess.run(["scancel", job], check=True)
    slurm.until(lambda: slurm.state(job) == "", WAIT)


def steps(runs: Path) -> list[int]:
    """Of the checkpoints."""
    return sorted(int(re.findall(r"\d+", path.stem)[-1]) for path in runs.glob("*/*/checkpoints/*.ckpt"))
