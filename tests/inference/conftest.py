"""A small trained run to export and serve."""

from pathlib import Path

import pytest

from flix_lightning.models.backbone import load_backbone
from flix_lightning.training.run import train
from tests.configs import SMALL, composed, small_benchmark


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """A few steps on `tiny`, one pair of known task and language left out."""
    folder = tmp_path_factory.mktemp("run") / "small"
    overrides = ("trainer.max_steps=3", "optimizer.lr=0.05", "optimizer.warmup_steps=0", "trainer.precision=32-true")
    config = composed(*SMALL, *overrides, "+mixture.train.semantic_parsing=[bn, yo]")
    train(config, folder, small_benchmark(), load_backbone(config["model"]), None)
    return folder
