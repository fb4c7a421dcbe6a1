"""A user's own project in the current folder: data, the config that declares it, an untrained model; its commands."""

import json
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from flix_lightning.commands.main import flix
from flix_lightning.data.benchmarks.benchmark import SPLITS
from tests.configs import untrained_backbone

TASKS, LANGUAGES = ("title", "topic"), ("bn", "sw", "yo")
CONFIG = """# mine/benchmark/mine.yaml
defaults: [directory]
root: mine/data
tasks:
  topic: {prompt: "Topic: {text}", target: "{label}", metric: chrf, max_target_tokens: 6}
  title: {prompt: "Title: {text}", target: "{label}", metric: chrf, max_target_tokens: 4}
"""
OWN = ("--config-dir", "mine", "benchmark=mine")
LEAST = (
    "mixture=all", "model=pretrained", "model.name=model", "trainer.max_steps=2", "trainer.precision=32-true",
    "trainer.validate_every=2", "data.batch_size=4", "trainer.accelerator=cpu", "trainer.progress=false",
    "optimizer.warmup_steps=0", "optimizer.lr=0.5",
)  # fmt: skip


def write_rows(root: str, word: str, tasks: Sequence[str] = TASKS, languages: Sequence[str] = LANGUAGES) -> None:
    """Four training rows and two others for each cell; those of `word` are all others than those of another word."""
    for task, split, language in product(tasks, SPLITS, languages):
        path = Path(root, task, split, f"{language}.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {"text": f"{word} {language} {i}", "label": f"{word[:3]}{i}"} for i in range(4 if split == "train" else 2)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_project() -> None:
    """All that the commands below need: mine/benchmark/mine.yaml, mine/data, model."""
    Path("mine/benchmark").mkdir(parents=True)
    Path("mine/benchmark/mine.yaml").write_text(CONFIG)
    write_rows("mine/data", "habari")
    backbone = untrained_backbone()
    backbone.model.save_pretrained("model")
    backbone.tokenizer.save_pretrained("model")


def call(*words: str) -> int:
    """Exit code of `flix WORDS` in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["flix", *words])
        try:
            flix()
        except SystemExit as end:
            return end.code or 0
        return 0


def trained(*words: str) -> Path:
    """The folder of the run of `flix train`, which has none beside it."""
    assert call("train", *OWN, *LEAST, "logger=none", *words) == 0
    (record,) = Path("runs").glob("*/*/record.json")
    return record.parent
