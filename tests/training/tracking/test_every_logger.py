"""Every logger with every kind of run, by the commands that a user types, on a project of the user's own."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.commands.test_commands import choices
from tests.own import CONFIG, LANGUAGES, LEAST, OWN, call, write_project, write_rows
from tests.training.tracking.test_tracking import written

LOGGERS = [choice for choice in choices("logger") if choice != "none"]
PAIR = """# mine/benchmark/pair.yaml
defaults: [mine]
root: mine/pair
tasks:
  topic+title: {prompt: "Topic and title: {text}", target: "{label}", metric: chrf, max_target_tokens: 6}
"""
KINDS = {
    "flix": (),
    "per_dataset": ("adapter=per_dataset",),
    "warm start": ("warm_start=bank", "warm_start.bank={run}"),
    "extended": ("warm_start=extend", "warm_start.bank={run}", "mixture.languages=[yo]", "name=added"),
    "calibration": ("benchmark=pair", "mixture.tasks=[topic+title]", "adapter=calibration", "adapter.bank={run}"),
    "calibration_pp": ("benchmark=pair", "mixture.tasks=[topic+title]", "adapter=calibration_pp", "adapter.bank={run}"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A user's folder with a finished run."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_project()
        write_rows("mine/pair", "mbili", tasks=["topic+title"])
        Path("mine/benchmark/pair.yaml").write_text(PAIR)
        assert call("train", *OWN, *LEAST, "logger=none", "mixture.languages=[bn, sw]") == 0
        Path("runs").rename("bank")
    return folder


@pytest.fixture
def bank(project, tmp_path, monkeypatch) -> Path:
    """The finished run; the folder is the current one."""
    shutil.copytree(project, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    (record,) = Path("bank").glob("*/*/record.json")
    return record.parent


def train(kind: str, bank: Path, *words: str) -> Path:
    """The run of a kind, trained by `flix train`."""
    own = [word.format(run=bank) for word in KINDS[kind]]
    given = {word.partition("=")[0] for word in own}
    common = [word for word in (*OWN, *LEAST) if "=" not in word or word.partition("=")[0] not in given]
    assert call("train", *common, *own, "trainer.log_every_n_steps=1", *words) == 0
    (record,) = Path("runs").glob("*/*/record.json")
    return record.parent


def check(logger: str, run: Path) -> None:
    """What docs/tracking.md says that a logger holds, as far as it can be read without its program."""
    record = json.loads((run / "record.json").read_text())
    groups = {f"test/{row['task']}/{row['group']}" for row in record["cells"]}
    if logger == "csv":
        rows = list(csv.DictReader((run / "metrics.csv").open()))
        assert groups <= {key for key, value in rows[-1].items() if value} and len(rows) > 1
        assert len(list(csv.DictReader((run / "cells.csv").open()))) == len(record["cells"])
    if logger == "tensorboard":
        accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        events = accumulator.EventAccumulator(str(run / "tensorboard")).Reload()
        assert {*groups, "train/loss", "val/score"} <= set(events.Tags()["scalars"])
        assert yaml.safe_load((run / "tensorboard/hparams.yaml").read_text()) == record["config"]
    if logger == "wandb":
        import wandb

        assert wandb.run is None and len(list((run / "wandb").glob("offline-run-*"))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_loggers_side_by_side_take_every_kind_of_run(kind, bank):
    run = train(kind, bank, "logger=[csv,tensorboard]")
    check("csv", run)
    check("tensorboard", run)
    assert (
        call("evaluate", f"run={run}", "accelerator=cpu", "languages=[bn]" if kind != "extended" else "split=test") == 0
    )


@pytest.mark.slow
def test_a_calibration_has_a_wandb_run_with_its_corrections(bank):
    run = train("calibration", bank, "logger=wandb")
    check("wandb", run)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all_loggers_at_once_take_every_kind_of_run(kind, bank):
    run = train(kind, bank, f"logger=[{','.join(LOGGERS)}]")
    for logger in LOGGERS:
        check(logger, run)
    (folder,) = (run / "wandb").glob("offline-run-*")
    told = json.dumps(written(folder))
    assert f"adapter-{run.name}" in told and "gradient_norm/" in told
    assert ("calibration.safetensors" if kind.startswith("calibration") else "adapter.safetensors") in told


@pytest.mark.slow
@pytest.mark.parametrize("logger", LOGGERS)
def test_every_logger_alone_and_a_finished_run_again(logger, bank):
    run = train("flix", bank, f"logger={logger}")
    check(logger, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    train("flix", bank, f"logger={logger}")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("target", ["CSVLogger", "TensorBoardLogger"])
def test_a_logger_of_lightnings_own_named_by_its_class(target, bank):
    run = train("flix", bank, "logger=none", f"+logger.mine={{_target_: lightning.pytorch.loggers.{target}}}")
    assert [path for path in run.rglob("*") if path.name == "hparams.yaml"]


def test_a_mode_that_wandb_does_not_know_ends_before_anything_is_made(bank, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "foo")
    assert call("train", *OWN, *LEAST, "logger=wandb") == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert "WANDB_MODE" in line and "'foo'" in line and "offline" in line and not Path("runs").exists()


def test_the_project_is_as_a_user_writes_it():
    assert "logger" not in CONFIG + PAIR and set(LANGUAGES) >= {"bn", "sw", "yo"}
