"""A package of the user's own, outside of this project: trained with, and run for others only where they trust it."""

import json
import sys
from pathlib import Path

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.inference.model import FlixModel
from tests.commands.test_commands import run_command

PACKAGE = """
from collections.abc import Mapping
from pathlib import Path

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from torchmetrics import Metric
from transformers import ByT5Tokenizer, LlamaConfig, LlamaForCausalLM

from flix_lightning.data.benchmarks.benchmark import Benchmark, Example
from flix_lightning.data.cells import Cell
from flix_lightning.data.tasks import Task
from flix_lightning.models.backbone import Backbone


class Parity(Benchmark):
    tasks = {"parity": Task("parity", "{text}", {"_target_": "parity_lab.FirstLetter", "worth": 50.0}, 4)}
    cells = [Cell("parity", language) for language in ("sw", "yo")]

    def __init__(self, rows: int):
        self.rows = rows

    def examples(self, cell, split):
        numbers = range(self.rows if split == "train" else 3)
        return [Example(f"{cell}/{split}/{n}", str(n), "odd" if n % 2 else "even") for n in numbers]


class FirstLetter(Metric):
    def __init__(self, worth: float):
        super().__init__()
        self.worth = worth
        self.add_state("seen", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, predictions: list[str], targets: list[str]):
        self.seen += len(predictions)

    def compute(self):
        return torch.tensor(self.worth if self.seen else 0.0)


class CountSteps(Callback):
    def __init__(self, file: str):
        self.file, self.steps = Path(file), 0

    def on_train_batch_end(self, *_):
        self.steps += 1

    def on_fit_end(self, *_):
        self.file.write_text(str(self.steps))


class Lines(Logger):
    def __init__(self, save_dir: Path, prefix: str):
        super().__init__()
        self.path, self.prefix = Path(save_dir) / "lines.txt", prefix

    name, version = "lines", ""

    def log_hyperparams(self, params):
        pass

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None):
        with self.path.open("a") as file:
            print(self.prefix, step, *metrics, file=file)


def load(width: int) -> Backbone:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=384, hidden_size=width, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        pad_token_id=0, eos_token_id=1, name_or_path="parity",
    )
    return Backbone(LlamaForCausalLM(config).eval(), ByT5Tokenizer())
"""
CONFIGS = {
    "benchmark": "_target_: parity_lab.Parity\nrows: 8\n",
    "model": "_target_: parity_lab.load\nwidth: 16\n",
    "logger": "lines: {_target_: parity_lab.Lines, prefix: at}\n",
    "callbacks": "count: {_target_: parity_lab.CountSteps, file: steps.txt}\n",
}
COMMAND = (
    "--config-dir", "lab_conf", "benchmark=lab", "model=lab", "logger=[lab,csv]", "callbacks=[lab,early_stopping]",
    "mixture=all", "adapter.target_modules=[q_proj]", "data.batch_size=4", "trainer.max_steps=4",
    "trainer.validate_every=2", "trainer.accelerator=cpu", "trainer.progress=false",
)  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A run trained by the command, in a folder where the package and its configs lie."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "parity_lab.py").write_text(PACKAGE)
    for group, content in CONFIGS.items():
        (folder / "lab_conf" / group).mkdir(parents=True)
        (folder / "lab_conf" / group / "lab.yaml").write_text(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        assert run_command("train", *COMMAND, monkeypatch=patch) == 0
    (record,) = folder.glob("runs/all-flix/*/record.json")
    return record.parent


@pytest.fixture
def run(lab, monkeypatch):
    """The run's directory; the package can be imported and has not been yet."""
    folder = lab.parents[2]
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "parity_lab", raising=False)
    return lab


def test_the_command_trains_with_all_that_the_package_brings(run):
    record = json.loads((run / "record.json").read_text())
    assert record["benchmark"] == "Parity" and record["steps"] == 4
    assert [row["score"] for row in record["cells"]] == [50.0, 50.0], "the own metric's"
    assert Path("steps.txt").read_text() == "4"
    assert "at 4 test/parity/seen" in (run / "lines.txt").read_text()
    assert (run / "metrics.csv").is_file()


@pytest.mark.parametrize(
    "command", ["evaluate", pytest.param("evaluate trust=[other]", id="another package trusted"), "export", "generate"]
)
def test_a_stored_run_that_names_the_package_is_refused_without_trust(command, run, monkeypatch, capfd):
    Path("asked.jsonl").write_text('{"task": "parity", "language": "sw", "text": "7"}\n')
    name, *more = command.split()
    arguments = {"evaluate": [], "export": ["to=peft"], "generate": ["asked.jsonl"]}[name]
    assert run_command(name, f"run={run}", *arguments, *more, monkeypatch=monkeypatch) == 1
    printed = capfd.readouterr().err
    assert "parity_lab" in printed and "trust=[parity_lab]" in printed and "Traceback" not in printed
    assert "parity_lab" not in sys.modules, "not even imported"


def test_it_is_evaluated_exported_and_served_where_the_package_is_trusted(run, monkeypatch, capfd):
    trust = "trust=[parity_lab]"
    assert run_command("evaluate", f"run={run}", trust, "accelerator=cpu", monkeypatch=monkeypatch) == 0
    assert "50.0" in capfd.readouterr().out
    assert run_command("export", f"run={run}", "to=peft", "out=out", trust, monkeypatch=monkeypatch) == 0
    assert "| parity | sw | seen | FirstLetter | 50.0 |" in Path("out/parity-sw/README.md").read_text()
    Path("asked.jsonl").write_text('{"task": "parity", "language": "sw", "text": "7"}\n')
    capfd.readouterr()
    assert run_command("generate", f"run={run}", "asked.jsonl", "device=cpu", trust, monkeypatch=monkeypatch) == 0
    assert "answer" in json.loads(capfd.readouterr().out)


def test_its_training_goes_on_where_the_package_is_trusted(run, monkeypatch, capfd):
    more = [f"continue_from={run}", "trainer.max_steps=6", "trainer.progress=false", "trainer.accelerator=cpu"]
    assert run_command("train", *more, monkeypatch=monkeypatch) == 1
    assert "trust=[parity_lab]" in capfd.readouterr().err and "parity_lab" not in sys.modules
    assert run_command("train", *more, "trust=parity_lab", monkeypatch=monkeypatch) == 0
    assert "6 steps" in capfd.readouterr().out


def test_python_asks_for_the_same_trust(run):
    with pytest.raises(FlixError, match=r"model._target_: 'parity_lab.load' .*trust=\[parity_lab\]"):
        FlixModel.from_run(run, device="cpu")
    assert len(FlixModel.from_run(run, device="cpu", trust=["parity_lab"]).generate("7", "parity", "yo")) == 1
