"""The same content in every logger; W&B runs that continue, close, keep to themselves, and work without a key."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from flix_lightning.training.run import train
from flix_lightning.training.tracking.ending import log_adapters, log_results, summary, tables
from flix_lightning.training.tracking.loggers import has_wandb_key, make_loggers, wandb_logger
from flix_lightning.training.tracking.metrics_file import MetricsFile
from tests.configs import SMALL, composed, small_benchmark, untrained_backbone

RECORD = {
    "cells": [
        {"task": "ner", "language": "sw", "group": "seen", "score": 10.0},
        {"task": "ner", "language": "yo", "group": "seen", "score": 20.0},
        {"task": "qa", "language": "gu", "group": "unseen language", "score": 35.0},
    ],
    "feature_use": {"task=ner": 40, "task=qa": 20, "language=sw": 7, "language=yo": 8},
    "feature_use_alone": {"task=ner": 4, "task=qa": 2, "language=sw": 1, "language=yo": 0},
    "parameters": {"task": 100, "language": 50},
    "best_validation_score": 12.5, "best_step": 4, "active_rank": 6, "steps": 6, "seconds": 3.0,
    "environment": {"commit": "abc"},
    "config": {"model": {"_target_": "x.load_tiny"}, "benchmark": {"_target_": "x.Cldr"}, "mixture": {"name": "joint"}},
}  # fmt: skip


def test_the_summary_has_every_group_and_its_mean():
    found = summary(RECORD)
    assert found["test/ner/seen"] == 15.0 and found["test/qa/unseen language"] == 35.0
    assert found["test/mean"] == 25.0 and found["parameters/language"] == 50


def test_csv_has_summary_cells_and_feature_use():
    Path("run").mkdir()
    logger = MetricsFile("run")
    log_results(logger, RECORD, Path("run"))
    (row,) = csv.DictReader(Path("run/metrics.csv").open())
    assert float(row["test/ner/seen"]) == 15.0 and row["step"] == "6"
    assert [r["score"] for r in csv.DictReader(Path("run/cells.csv").open())] == ["10.0", "20.0", "35.0"]
    uses = list(csv.DictReader(Path("run/feature_use.csv").open()))
    assert {row["feature"]: int(row["examples"]) for row in uses} == RECORD["feature_use"]
    assert {row["feature"]: int(row["alone"]) for row in uses} == RECORD["feature_use_alone"]


def test_every_axis_has_a_column():
    rows = [{**RECORD["cells"][0], "attributes": {"domain": domain}} for domain in ("law", "news")]
    found = tables({**RECORD, "cells": [*rows, RECORD["cells"][1]]})["cells"]
    assert [list(row) for row in found] == [["task", "language", "domain", "group", "score"]] * 3
    assert [row["domain"] for row in found] == ["law", "news", ""]
    assert len({tuple(row.values()) for row in found}) == 3
    Path("run").mkdir()
    log_results(MetricsFile("run"), {**RECORD, "cells": rows}, Path("run"))
    assert [row["domain"] for row in csv.DictReader(Path("run/cells.csv").open())] == ["law", "news"]


def test_tensorboard_has_the_same():
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    (logger,) = make_loggers(composed("logger=tensorboard")["logger"], save_dir=Path("run"))
    log_results(logger, RECORD, Path("run"))
    events = accumulator.EventAccumulator("run/tensorboard").Reload()
    for name, value in summary(RECORD).items():
        (event,) = events.Scalars(name)
        assert event.value == pytest.approx(value) and event.step == 6
    (text,) = events.Tensors("cells/text_summary")
    assert text.tensor_proto.string_val[0].decode() == (
        "| task | language | group | score |\n| --- | --- | --- | --- |\n"
        + "".join(
            f"| {row['task']} | {row['language']} | {row['group']} | {row['score']} |\n" for row in RECORD["cells"]
        )
    )


# --- Weights & Biases ---


def written(folder: Path) -> list[dict]:
    """The records of an offline W&B run, read by W&B's own tool."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(folder)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_wandb_has_the_same_and_the_adapters_in_runs_of_their_own():
    for seed in (0, 1):
        config = composed(*SMALL, "trainer.max_steps=10", "logger=wandb", f"seed={seed}")
        run = Path(f"runs/joint-flix/seed{seed}")
        logger = make_loggers(config["logger"], save_dir=run)
        record = train(config, run, small_benchmark(), untrained_backbone(), logger)
        (folder,) = (run / "wandb").glob("offline-run-*")
        assert folder.name.endswith(f"-seed{seed}"), "the id is the run directory's name"
        content = json.dumps(written(folder))
        for name in [*summary(record), "gradient_norm/task", "update_norm/language", "val/score", "cells"]:
            assert name in content
        assert '"joint-flix"' in content and f"adapter-seed{seed}" in content


def test_a_run_that_fails_closes_its_wandb_run(monkeypatch):
    import wandb

    config = composed(*SMALL, "logger=wandb")
    logger = make_loggers(config["logger"], save_dir=Path("runs/joint-flix/one"))

    def fail(*_):
        raise RuntimeError("in the middle")

    monkeypatch.setattr("flix_lightning.training.module.FlixModule.on_before_optimizer_step", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        train(config, Path("runs/joint-flix/one"), small_benchmark(), untrained_backbone(), logger)
    assert wandb.run is None


@pytest.mark.parametrize("online", [True, False])
def test_the_artifact_declares_its_inputs_where_wandb_takes_them(online):
    run = Path("runs/joint-flix/0123456789")
    run.mkdir(parents=True)
    (run / "adapter.safetensors").write_bytes(b"weights")
    (run / "config.json").write_text("{}")
    used, logged = [], []
    log_adapters(SimpleNamespace(offline=not online, use_artifact=used.append, log_artifact=logged.append), RECORD, run)
    (artifact,) = logged
    assert artifact.name.startswith("adapter-0123456789") and artifact.metadata["commit"] == "abc"
    assert set(artifact.manifest.entries) == {"adapter.safetensors", "config.json", "record.json"}
    assert json.loads(Path(artifact.manifest.entries["record.json"].local_path).read_text()) == RECORD
    assert [a.type for a in used] == (["model", "benchmark"] if online else [])


def test_a_key_is_found_where_wandb_finds_it(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not has_wandb_key()
    (tmp_path / "netrc").write_text("machine api.wandb.ai\n  login user\n  password secret\n")
    assert has_wandb_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not has_wandb_key()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert has_wandb_key()


@pytest.mark.parametrize(
    "offline, mode, key, expected",
    [(None, None, None, "offline"), (None, None, "k", None), (None, "disabled", None, None), (False, None, None, None),
     (True, None, "k", "offline")],
)  # fmt: skip
def test_runs_stay_on_disk_without_a_key(monkeypatch, tmp_path, offline, mode, key, expected):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    for name, value in {"WANDB_MODE": mode, "WANDB_API_KEY": key}.items():
        monkeypatch.delenv(name, raising=False)
        if value:
            monkeypatch.setenv(name, value)
    logger = wandb_logger(Path("runs/joint-flix/0123456789"), "flix", "joint-flix", offline)
    assert logger._wandb_init.get("mode") == expected
    assert logger._wandb_init["id"] == "0123456789" and logger._wandb_init["group"] == "joint-flix"
