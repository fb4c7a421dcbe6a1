"""docs/configuration.md: it lists every group and all that names no run; the classes that it shows train and answer."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from flix_lightning.common.targets import COMPOSED
from flix_lightning.data.benchmarks.benchmark import load_benchmark
from flix_lightning.data.metrics import make_metric
from flix_lightning.training.callbacks import make_callbacks
from flix_lightning.training.run_directory import INCIDENTAL, WATCHING
from flix_lightning.training.tracking.loggers import make_loggers
from tests.commands.test_commands import run_command
from tests.configs import ROOT

PAGE = (ROOT / "docs/configuration.md").read_text(encoding="utf8")
GROUPS = dict(re.findall(r"^\| `(\w+)` \| .*? \| (.*) \|$", PAGE, re.MULTILINE))
OWN = [
    shlex.split(line)[1:]
    for line in re.findall(r"^flix .*", PAGE, re.MULTILINE)
    if "arithmetic" in line or "all-flix" in line
]


def test_every_group_of_the_training_config_stands_in_the_table_and_every_choice_named_is_one():
    defaults = yaml.safe_load((ROOT / "conf/train.yaml").read_text())["defaults"]
    groups = {next(iter(entry)).removeprefix("optional ") for entry in defaults if isinstance(entry, dict)}
    assert GROUPS.keys() == groups
    for group, cell in GROUPS.items():
        choices = {
            path.relative_to(ROOT / "conf" / group).with_suffix("").as_posix()
            for path in (ROOT / "conf" / group).rglob("*.yaml")
        }
        named = set(re.findall(r"`(\w+)`", cell))
        assert named and named <= choices, group
        assert named == choices or "..." in cell or "by name" in cell, (
            f"{group}: all are listed, or it says that there are more"
        )


def test_what_names_no_run_is_listed_whole():
    section = PAGE.partition("## What names a run")[2].partition("## ")[0]
    for key in INCIDENTAL:
        assert f"`{key}`" in section or f"`{key.rpartition('.')[2]}`" in section, key
    assert all(f"`{name}`" in section or "Summary" in name for name in WATCHING)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The files that the page shows; its package can be imported."""
    for kind, comment in (("python", "py"), ("yaml", "yaml")):
        for block in re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL):
            path = tmp_path / re.match(rf"# (\S+\.{comment})", block)[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block)
    monkeypatch.syspath_prepend(tmp_path / "mine")
    return tmp_path / "mine"


def section(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


def test_the_classes_are_made_from_their_sections(mine, tmp_path):
    benchmark = load_benchmark(section(mine / "benchmark/arithmetic.yaml"), COMPOSED)
    examples = {split: benchmark.examples(benchmark.cells[0], split) for split in ("train", "validation", "test")}
    assert all(examples.values()) and examples["test"][0].target == "mbili"
    metric = make_metric("metric", benchmark.tasks["sum"].metric, COMPOSED)
    metric.update(["mbili x", "x"], ["mbili", "y"])
    assert metric.compute() == 50
    assert len(make_callbacks(section(mine / "callbacks/announce.yaml"), COMPOSED)) == 1
    (lines,) = make_loggers(section(mine / "logger/lines.yaml"), tmp_path, COMPOSED)
    lines.log_metrics({"loss": 1.0}, 3)
    assert (tmp_path / "lines.txt").read_text() == "3 {'loss': 1.0}\n"


@pytest.mark.slow
def test_they_train_and_answer_as_written(mine, monkeypatch, capsys):
    (name, *train), (scoring, *evaluate), (asking, *ask) = OWN
    small = ["trainer.max_steps=2", "trainer.accelerator=cpu", "data.batch_size=4", "trainer.progress=false"]
    assert run_command(name, *train, *small, monkeypatch=monkeypatch) == 0
    assert "step 2" in capsys.readouterr().out
    assert list(mine.parent.glob("runs/all-flix/*/lines.txt")) and list(mine.parent.glob("runs/all-flix/*/metrics.csv"))
    assert run_command(scoring, *evaluate, "accelerator=cpu", monkeypatch=monkeypatch) == 0
    assert "sum" in capsys.readouterr().out
    assert run_command(scoring, *[w for w in evaluate if "trust" not in w], monkeypatch=monkeypatch) == 1
    assert "trust=[arithmetic]" in capsys.readouterr().err
    assert run_command(asking, *ask, "device=cpu", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.strip()
