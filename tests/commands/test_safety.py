"""What comes from somebody else, a config, a run, a record, executes nothing and writes nowhere else."""

import json
from pathlib import Path

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.common.targets import COMPOSED
from flix_lightning.data.benchmarks.benchmark import load_benchmark
from flix_lightning.models.backbone import load_backbone, stored_backbone
from flix_lightning.report.results import collect
from flix_lightning.training.credentials import refuse_credentials
from flix_lightning.training.run_directory import run_directory
from tests.commands.test_commands import run_command
from tests.configs import composed

FOREIGN = [  # of the package, or reached through it, but no model
    {"_target_": "flix_lightning.common.files.write_whole", "path": "was-here", "content": "x"},
    {"_target_": "flix_lightning.models.pretraining.loop.Path.touch", "self": "was-here"},
    {"_target_": "flix_lightning.models.pretrained.AutoConfig.from_pretrained", "name": "x"},
    {"_target_": "flix_lightning.models.pretraining.shipping.ship"},
    {"_target_": "flix_lightning.common.targets.import_module", "name": "antigravity"},
    {"_target_": "flix_lightning.models.tiny.Path", "args": ["x"]},
    {"_target_": "subprocess.run", "args": ["touch", "was-here"]},
]


@pytest.mark.parametrize("section", FOREIGN, ids=lambda section: section["_target_"])
def test_a_stored_config_makes_models_and_calls_nothing_else(section):
    with pytest.raises(FlixError, match="model._target_"):
        load_backbone(section)
    assert not list(Path().iterdir())


FOREIGN_METRICS = ["subprocess.Popen", "torchmetrics.text.BERTScore", "was_here.Metric"]


@pytest.mark.parametrize("target", FOREIGN_METRICS)
def test_the_metric_of_a_stored_task_is_asked_about_as_well(target, monkeypatch):
    Path("was_here.py").write_text("from pathlib import Path; Path('was-here').touch()")
    monkeypatch.syspath_prepend(Path())
    Path("data/topic/train").mkdir(parents=True)
    Path("data/topic/train/sw.jsonl").write_text('{"text": "a", "target": "b"}\n')
    task = {"prompt": "{text}", "metric": {"_target_": target, "args": "touch was-here"}, "max_target_tokens": 4}
    section = {"_target_": "flix_lightning.data.benchmarks.declared.DeclaredBenchmark", "root": "data"}
    with pytest.raises(FlixError, match="benchmark.tasks.topic.metric._target_.*trust="):
        load_benchmark({**section, "tasks": {"topic": task}})
    with pytest.raises(FlixError, match="benchmark.tasks.topic.metric._target_.*trust="):
        load_benchmark({**section, "tasks": {"topic": task}}, ("was_her", "torch"))
    assert not Path("was-here").exists()


@pytest.mark.parametrize("target", FOREIGN[:6], ids=lambda section: section["_target_"])
def test_even_a_composed_config_makes_models_and_calls_nothing_else(target):
    with pytest.raises(FlixError, match="model._target_"):
        load_backbone(target, COMPOSED)
    assert not list(Path().iterdir())


def test_a_run_with_a_malicious_config_only_gives_an_error(monkeypatch, capfd):
    run = Path("run")
    run.mkdir()
    config = composed()
    config["model"] = {"_target_": "os.system", "command": "touch was-here"}
    (run / "config.json").write_text(json.dumps(config))
    (run / "record.json").write_text(json.dumps({"config": config}))
    assert run_command("evaluate", "run=run", monkeypatch=monkeypatch) == 1
    printed = capfd.readouterr().err
    assert "os.system" in printed and "Traceback" not in printed
    assert not Path("was-here").exists()


def test_code_that_comes_with_a_model_is_run_for_who_asks_not_for_who_trained():
    section = {"_target_": "flix_lightning.models.pretrained.load_pretrained", "name": "x", "trust_remote_code": True}
    with pytest.raises(FlixError, match="trust_remote_code=true"):
        stored_backbone(section, trust_remote_code=False)


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "..", ".x", "", 7, None, "a\nb"])
def test_names_lead_nowhere_else(name):
    config = composed()
    config["name"] = name
    with pytest.raises(FlixError, match="name"):
        run_directory(config)
    record = {"name": name, "config": config, "cells": []}
    run = Path("runs/a/b")
    run.mkdir(parents=True)
    (run / "record.json").write_text(json.dumps(record))
    with pytest.raises(FlixError, match="name"):
        collect([Path("runs")], Path("results"))


SECRET = "0123456789abcdef"


@pytest.mark.parametrize(
    "override",
    [
        "+logger.wandb.api_key=x",
        "+logger.wandb.settings.password=x",
        f"logger.wandb.project=p-{SECRET}",
        "+model.token=hf_x",
    ],
)
def test_credentials_are_refused_before_anything_is_written(override, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    with pytest.raises(FlixError) as caught:
        refuse_credentials(composed("logger=wandb", override))
    assert override.lstrip("+").partition("=")[0] in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_config_without_credentials_passes(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    monkeypatch.setenv("SHORT_KEY", "flix")
    refuse_credentials(composed("logger=wandb"))
