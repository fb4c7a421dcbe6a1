"""Environments that are not a developer's: a run goes through them, or is told at its start what is wrong."""

import importlib.metadata
import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import flix_lightning
from flix_lightning.adapters.bank import Bank
from flix_lightning.common.errors import FlixError
from flix_lightning.data.tokens.store import Caching
from flix_lightning.training import run as running
from flix_lightning.training.cluster import cluster_environments
from flix_lightning.training.environment import PACKAGE, environment, own_commit
from flix_lightning.training.module import FlixModule
from flix_lightning.training.run import train
from flix_lightning.training.tracking.loggers import has_wandb_key, wandb_logger
from tests.commands.test_commands import run_command
from tests.configs import ROOT, SMALL, composed, small_benchmark, untrained_backbone

SHORT = (
    *SMALL,
    "mixture.languages=[sw]",
    "mixture.train={}",
    "mixture.tasks=[semantic_parsing]",
    "trainer.max_steps=1",
)
RUN = Path("run")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git here")


def run_small(*overrides: str) -> dict:
    return train(composed(*SHORT, *overrides), RUN, small_benchmark(), untrained_backbone(), None)


@pytest.fixture
def homeless(monkeypatch):
    """A user without an entry in the list of users and without HOME, as containers have them."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "NETRC", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)


# ------------------------------------------------------------------ what a run was computed with


def test_a_machine_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert run_small()["environment"]["commit"] == ""


def test_a_package_that_was_not_installed(monkeypatch):
    found = importlib.metadata.Distribution.from_name

    def absent(name: str):
        if name in ("flix-lightning", "hydra-core"):
            raise importlib.metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", absent)
    told = run_small()["environment"]
    assert (told["flix-lightning"], told["hydra-core"]) == (flix_lightning.__version__, "unknown")
    assert Bank.read(RUN).axes == ("task", "language")


def test_it_is_gathered_before_anything_is_trained(monkeypatch):
    order = []
    step = FlixModule.training_step
    monkeypatch.setattr(running, "environment", lambda: order.append("environment") or {})
    monkeypatch.setattr(FlixModule, "training_step", lambda *a: order.append("step") or step(*a))
    run_small()
    assert order == ["environment", "step"]


def repository(folder: Path) -> str:
    """Makes a folder with all it holds a repository of one commit."""
    name = ("-c", "user.name=x", "-c", "user.email=x@y")
    for arguments in (["init", "-q"], ["add", "-A"], [*name, "commit", "-q", "-m", "x", "--allow-empty"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True).stdout.strip()


@needs_git
def test_only_the_packages_own_repository_has_its_commit(tmp_path):
    installed, clone = tmp_path / "theirs/.venv/site-packages/flix_lightning", tmp_path / "clone/flix_lightning"
    for package in (installed, clone):
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
    theirs, own = repository(tmp_path / "theirs"), repository(tmp_path / "clone")
    assert own_commit(clone) == own
    assert theirs and own_commit(installed) == ""
    (untracked := tmp_path / "clone/vendored").mkdir()
    (untracked / "__init__.py").touch()
    assert own_commit(untracked) == "", "it lies beside the repository's files and is none of them"
    assert own_commit(tmp_path / "nowhere") == ""


@needs_git
def test_a_hooks_environment_does_not_lead_to_another_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    before = own_commit(PACKAGE)
    monkeypatch.delenv("GIT_DIR")
    assert own_commit(PACKAGE) == before == environment()["commit"]


# ---------------------------------------------------------------------------------------- SLURM


@pytest.mark.parametrize("name", ["bash", "vscode"])
def test_a_shell_in_an_allocation_of_many_tasks_is_one_process(name, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_NAME", name)
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_NNODES", "2")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    assert run_small()["steps"] == 1
    assert run_command("evaluate", f"run={RUN}", "accelerator=cpu", monkeypatch=monkeypatch) == 1  # no stored backbone


def test_several_nodes_are_started_by_srun(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(FlixError, match="trainer.num_nodes=2.*srun"):
        run_small("trainer.num_nodes=2")
    assert not RUN.exists()


def test_tasks_of_srun_that_cannot_be_numbered_are_told(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    with pytest.raises(FlixError, match="--ntasks-per-node"):
        run_small()
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "8")
    assert [type(one).__name__ for one in cluster_environments()] == ["SLURMEnvironment"]
    for variable in ("TORCHELASTIC_RUN_ID", "GROUP_RANK", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(variable, "1")
    assert cluster_environments() == [], "torchrun in an allocation: Lightning finds it"


# ------------------------------------------------------------------------------ homes and paths


def test_a_user_without_a_home(homeless, tmp_path):
    assert run_small()["steps"] == 1
    assert not has_wandb_key()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"], "no folder called ~"
    with pytest.raises(FlixError, match="data.cache.directory.*home"):
        run_small("data.cache.required=true", "seed=1")


def test_a_home_that_nobody_knows_is_told_where_it_is_meant(homeless, monkeypatch, capfd):
    assert run_command("train", *SHORT[:-1], "runs_dir=~/runs", "trainer.max_steps=1", monkeypatch=monkeypatch) == 1
    assert "runs_dir: '~/runs': no home directory is known" in capfd.readouterr().err


def test_the_home_stands_for_itself_in_every_path(monkeypatch, tmp_path, capfd):
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    small = [o for o in SHORT if not o.startswith("runs_dir")]
    paths = ["runs_dir=~/runs", "data.cache.directory='~/cache'"]
    assert run_command("train", *small, *paths, monkeypatch=monkeypatch) == 0
    (run,) = home.glob("runs/*/*/record.json")
    assert list(home.glob("cache/*")) and not Path("~").exists()
    chosen = [f"run=~/{run.parent.relative_to(home)}", "tasks=[semantic_parsing]", "accelerator=cpu"]
    assert run_command("evaluate", *chosen, monkeypatch=monkeypatch) == 0
    assert run_command("validate", "tasks=[ner]", "languages=[sw]", "json=~/found.json", monkeypatch=monkeypatch) == 0
    assert json.loads((home / "found.json").read_text())["cells"]
    assert not Path("~").exists()
    assert run_command("train", *small, "warm_start=bank", "warm_start.bank=~/none", monkeypatch=monkeypatch) == 1
    assert str(home / "none") in capfd.readouterr().err


ODD = "ünï [b]x #%{1} a=b,c 'q' \u3000"


@pytest.mark.slow
def test_odd_characters_in_paths(monkeypatch, tmp_path):
    folder = tmp_path / ODD
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    assert run_command("train", *SHORT, monkeypatch=monkeypatch) == 0
    (run,) = folder.glob("runs/*/*/record.json")
    assert run_command("evaluate", f'run="{run.parent}"', "accelerator=cpu", monkeypatch=monkeypatch) == 0


@pytest.mark.parametrize("name", ["a=b", "p(1)", "ünï", "it's", "#x", "a\\b"])
def test_plain_text_needs_no_quotes_of_hydras(name, monkeypatch, capfd):
    small = [o for o in SHORT if not o.startswith(("runs_dir", "trainer.max_steps"))]
    assert run_command("train", *small, f"runs_dir={name}", "trainer.max_steps=0", monkeypatch=monkeypatch) == 1
    assert "trainer.max_steps: expected a whole number of at least 1" in capfd.readouterr().err


# ------------------------------------------------------------------------------------- the rest


def test_a_mode_that_wandb_does_not_know_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "foo")
    with pytest.raises(FlixError, match="WANDB_MODE.*'foo'.*offline"):
        wandb_logger(tmp_path, "p", "g")


@pytest.mark.slow
def test_an_encoding_without_the_characters_stops_nothing():
    for split, text in (("train", "\u6f22"), ("test", "\u00fc")):
        path = Path(f"mine/topic/{split}/sw.jsonl")
        path.parent.mkdir(parents=True)
        path.write_text(f'{{"text": "{text}", "label": "x"}}\n{{"{text}": 1}}\n', encoding="utf8")
    task = "+benchmark.tasks.topic={prompt: 'T: {text}', target: '{label}', metric: exact_match, max_target_tokens: 9}"
    around = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "flix_lightning", "validate", "benchmark=directory", "benchmark.root=mine", task]
    done = subprocess.run(command, env=around, capture_output=True, text=True, encoding="ascii")
    assert "Traceback" not in done.stderr and "sw.jsonl, line 2" in done.stdout + done.stderr
    assert "\\u6f22" in done.stdout + done.stderr


@pytest.mark.parametrize("around", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "latin-1"}])
def test_answers_are_printed_whatever_the_encoding(around, monkeypatch):
    """As `flix generate` prints them: from a process of its own."""
    program = (
        "import sys; from flix_lightning.commands.shell import command; "
        "command(lambda: print(chr(0x6f22), chr(0xfc), file=sys.stdout))()"
    )
    known = {key: value for key, value in os.environ.items() if key not in ("LANG", "PYTHONUTF8")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**known, **around, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(b"\\u6f22")


def test_a_cache_is_where_the_desktop_standard_says(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/else")
    assert Caching().path() == Path("/else/flix_lightning")
