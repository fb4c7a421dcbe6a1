"""Two processes train what one trains."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from flix_lightning.training import ADAPTER
from tests.configs import ROOT, SMALL


@pytest.mark.slow
def test_two_processes_end_where_one_does(tmp_path):
    runs = {}
    for name, extra in {"one": [], "two": ["trainer=ddp", "trainer.devices=2"]}.items():
        small = [override for override in SMALL if not override.startswith("runs_dir")]
        arguments = [*small, *extra, "trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.max_steps=4"]
        command = [sys.executable, "train.py", *arguments, f"runs_dir={tmp_path / name}"]
        subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        (runs[name],) = (tmp_path / name).glob("*/*")
    assert runs["one"].name == runs["two"].name, "the number of processes does not decide the run"
    one, two = (load_file(run / ADAPTER) for run in runs.values())
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-5)
    scores = [json.loads((run / "record.json").read_text())["cells"] for run in runs.values()]
    assert scores[0] == scores[1]
