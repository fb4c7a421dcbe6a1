"""Tests run offline, on one thread, each in a directory of its own."""

import os

os.environ.update(OMP_NUM_THREADS="1", WANDB_MODE="offline", HF_HUB_OFFLINE="1")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_directory(tmp_path, monkeypatch):
    """Nothing is written beside the code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=5, help="how often test_kill.py kills a training process")
    parser.addoption("--kill-seed", type=int, default=0, help="of the moments")
