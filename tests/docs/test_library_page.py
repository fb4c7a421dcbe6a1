"""docs/library.md: the public names; its loop learns, and ends with the very factors of a run on the same batches."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

import flix_lightning
from flix_lightning import Bank, Cldr, FlixModel, load_tiny
from flix_lightning.data.datamodule import MixtureDataModule
from flix_lightning.training.run import train
from tests.configs import ROOT, SMALL, composed, small_benchmark, untrained_backbone

PAGE = (ROOT / "docs/library.md").read_text(encoding="utf8")
LOOP, AS_A_RUN = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("name", flix_lightning.__all__)
def test_every_public_name_is_there_and_documented(name):
    thing = getattr(flix_lightning, name)
    assert thing.__doc__ and not thing.__doc__.startswith(f"{name}("), "not what dataclass writes"
    assert re.search(rf"^\| [^|]*`{name}`.* \| \S", PAGE, re.MULTILINE), "in the table of docs/library.md"
    assert name in dir(flix_lightning)


def test_the_table_names_nothing_else():
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE, re.MULTILINE)
    assert sorted(name.strip("`") for row in rows for name in row.split(", ")) == sorted(flix_lightning.__all__)
    with pytest.raises(ImportError):
        from flix_lightning import Flixmodel  # noqa: F401


def test_the_library_needs_neither_lightning_nor_hydra():
    code = "import sys; from flix_lightning import *; print({'lightning', 'hydra', 'omegaconf'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_loop_takes_about_fifteen_statements():
    lines = [line for line in LOOP.splitlines() if line and not line.startswith(("import", "from", " ", ")"))]
    inside = [line for line in LOOP.splitlines() if line.startswith("    ") and not line.startswith("    [")]
    assert len(lines) + len(inside) <= 18


TYPES = """
from typing import assert_type
from torch import Tensor
from flix_lightning import Composition, Feature, FeatureSpace
assert_type(answers, list[str])
assert_type(composer.space, FeatureSpace)
assert_type(composer.space[0], Feature)
assert_type(composer.compose(cells).index, Tensor)
assert_type(dropout.compose(composer, cells, 0, 0), Composition)
"""


@pytest.mark.slow
def test_a_type_checker_sees_what_the_page_does():
    as_a_run = LOOP.partition("optimizer = ")[0] + AS_A_RUN + LOOP[LOOP.index("Bank.of") :]
    for code in (LOOP, as_a_run + TYPES):
        report = checked(code)
        assert report.startswith("Success"), report
    report = checked(LOOP.replace("total_rank", "total").replace('ranks={"task": 4', 'ranks={4: "task"'))
    assert report.count('"Composer" has no attribute "total"') == 2 and "dict-item" in report


def checked(code: str) -> str:
    """What mypy says of a user's file."""
    loader = re.search(r"^batches = (.*)", code, re.MULTILINE)  # PyTorch types it without lists, which it takes
    Path("page.py").write_text(code.replace(loader[0], f"batches: DataLoader = {loader[1]}  # type: ignore"))
    command = [sys.executable, "-m", "mypy", str(Path("page.py").resolve())]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


def test_mypy_checks_every_module_that_a_public_name_comes_from():
    files = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["tool"]["mypy"]["files"]
    homes = re.findall(r"^from \.(\S+) import (\w+) as \2$", (ROOT / files[0]).read_text(), re.MULTILINE)
    assert {name for _, name in homes} == set(flix_lightning.__all__)
    assert {f"flix_lightning/{home.replace('.', '/')}.py" for home, _ in homes} == set(files[1:])


def losses_of(loop: str, capsys) -> list[float]:
    exec(loop, {"__name__": "page"})
    return [float(line) for line in capsys.readouterr().out.splitlines()]


def test_the_loop_runs_and_its_loss_falls(monkeypatch, capsys):
    monkeypatch.setattr("flix_lightning.load_tiny", untrained_backbone)
    torch.manual_seed(0)
    losses = losses_of(LOOP.replace("batch_size=32", "batch_size=16"), capsys)
    assert len(losses) == 50 and sum(losses[-8:]) < sum(losses[:8]) - 0.4
    bank = Bank.read("bank.safetensors")
    assert [str(f) for f in bank.ranks] == ["task=ner", "task=semantic_parsing", "language=sw", "language=yo"]


@pytest.mark.slow
def test_as_written_it_teaches_the_embedded_model(capsys):
    torch.manual_seed(0)
    losses = losses_of(LOOP + "\nassert all(answers)", capsys)
    assert sum(losses[-4:]) < sum(losses[:4]) / 2
    bank, benchmark = Bank.read("bank.safetensors"), Cldr({"train": 1, "validation": 1, "test": 16})
    bare = Bank(**{**vars(bank), "factors": {name: 0 * factor for name, factor in bank.factors.items()}})
    scores = [score(FlixModel(load_tiny(), one), benchmark, bank.cells) for one in (bank, bare)]
    assert scores[0] > scores[1] + 0.1


def score(model: FlixModel, benchmark: Cldr, cells) -> float:
    """The share of test rows that are answered exactly."""
    rows = [(cell, row) for cell in cells for row in benchmark.examples(cell, "test")]
    answers = model.answer([cell for cell, _ in rows], [row.prompt for _, row in rows], [64] * len(rows))
    return sum(answer == row.target for answer, (_, row) in zip(answers, rows)) / len(rows)


@pytest.mark.parametrize(("kind", "loop"), [("llama", "plain"), ("llama", "as a run"), ("t5", "as a run")])
def test_it_ends_with_the_factors_of_a_run_on_the_same_batches(kind, loop, monkeypatch):
    """Plain AdamW equals the run's optimizer in the first step, and without feature dropout."""
    steps, p = {"plain": (1, 0.0), "as a run": (6, 0.3)}[loop]
    seen, make = [], MixtureDataModule.train_dataloader
    monkeypatch.setattr(MixtureDataModule, "train_dataloader", lambda data: seen.append(data) or make(data))
    fixed = ["optimizer.warmup_steps=0", "optimizer.decay=constant", "trainer.gradient_clip=null"]
    few = [f"trainer.max_steps={steps}", f"trainer.validate_every={steps}", f"feature_dropout.p={p}"]
    config = composed(*SMALL, *fixed, *few, "trainer.precision=32-true", "rank.task=4", "rank.language=2")
    train(config, Path("run"), small_benchmark(), untrained_backbone(kind), None)

    (data,) = seen
    setup, optimizer, plain = LOOP.partition("optimizer = ")
    batches = [batch_of(data, step) for step in range(steps)]
    page = {"__name__": "page", "cells": data.mixture.train, "backbone": untrained_backbone(kind)}
    torch.manual_seed(0)
    exec(re.sub(r"^(backbone|cells|rows|batches)\b.*\n", "", setup, flags=re.MULTILINE), page)
    page["batches"] = batches
    exec(optimizer + plain.partition("Bank.of")[0] if loop == "plain" else AS_A_RUN, page)
    trained = Bank.of(page["model"], page["composer"], {}, page["cells"])
    run = Bank.read("run")
    assert trained.ranks == run.ranks and trained.factors.keys() == run.factors.keys()
    for name, factor in run.factors.items():
        torch.testing.assert_close(trained.factors[name], factor, rtol=1e-5, atol=2e-6)
    assert max(factor.abs().max() for name, factor in run.factors.items() if name.endswith("lora_b")) > 0.005


def batch_of(data: MixtureDataModule, step: int) -> tuple:
    """The run's global batch, as the page's loop takes it."""
    draws = data.global_batches[step]
    cells = [data.mixture.train[number] for number in draws.cells]
    rows = [data.benchmark.examples(cell, "train")[row] for cell, row in zip(cells, draws.rows)]
    return cells, [row.prompt for row in rows], [row.target for row in rows]
