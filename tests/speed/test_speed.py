"""The speed benchmark: its arithmetic by hand, and the whole command at its smallest settings."""

import json
import re
import shlex
import subprocess
import sys

import pytest
import torch

from speed.__main__ import parser
from speed.device import device
from speed.parts import PARTS
from speed.shapes import SHAPES
from speed.table import page, read
from speed.timing import interleaved, peak_mib, ratios
from tests.configs import ROOT


def test_contestants_take_turns_and_the_first_round_is_left_out():
    turns = []
    found = interleaved({name: lambda name=name: turns.append(name) for name in "ab"}, rounds=3)
    assert turns == list("abababab")
    assert {name: len(times["cpu"]) for name, times in found.items()} == {"a": 3, "b": 3}


def test_a_ratio_is_taken_round_by_round():
    assert ratios([2.0, 3.0, 8.0], [1.0, 3.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 4.0}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_is_what_was_held_at_once():
    def hold():
        first = torch.ones(64 << 20, dtype=torch.uint8, device=device())
        del first
        return torch.ones(96 << 20, dtype=torch.uint8, device=device())

    assert 90 < peak_mib(hold) < 150


def test_the_page_says_only_what_was_measured():
    seconds = {"8": {"cpu": [1.0, 1.0]}, "64": {"cpu": [1.0, 1.5]}}
    written = page({("tiny_bytes", "features"): {"device": "cpu", "environment": "a CPU", "seconds": seconds}})
    assert "| tiny_bytes | 1.00 (1.00 to 1.00) | 1.25 (1.00 to 1.50) |" in written
    assert "Generation" not in written


def test_on_a_gpu_the_time_on_the_clock_counts(tmp_path):
    seconds = {"8": {"cpu": [1.0], "wall": [2.0]}, "64": {"cpu": [1.0], "wall": [3.0]}}
    about = {"shape": "tiny", "part": "features", "seconds": seconds}
    for kind, environment in (("cpu", "a CPU"), ("cuda", "a GPU")):
        (tmp_path / f"{kind}.json").write_text(json.dumps({**about, "device": kind, "environment": environment}))
    written = page(read(tmp_path))
    assert "Measured: tiny on a CPU; tiny on cuda on a GPU." in written
    assert "| tiny | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) |" in written
    assert "| tiny on cuda | 1.00 (1.00 to 1.00) | 1.50 (1.50 to 1.50) |" in written


def test_the_committed_page_is_made_from_the_committed_records():
    written = (ROOT / "speed/speed.md").read_text(encoding="utf8")
    assert written == page(read(ROOT / "speed/records"))


def test_the_page_of_the_benchmark_names_the_parts_and_shapes_there_are():
    page = (ROOT / "speed/README.md").read_text(encoding="utf8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(PARTS)
    for line in re.search(r"```bash\n(.*?)```", page, re.DOTALL)[1].splitlines():
        assert shlex.split(line, comments=True)[:3] == ["python", "-m", "speed"]
        options = parser().parse_args(shlex.split(line, comments=True)[3:])
        assert set(options.parts) <= set(PARTS) and set(options.shapes) <= set(SHAPES)


@pytest.mark.slow
def test_the_command_measures_once_and_writes_table_and_plot(tmp_path):
    command = [sys.executable, "-m", "speed", "--quick", "--rounds", "1", "--shapes", "tiny_bytes"]
    command += ["--parts", "training", "features", "generation", "paths", "loading", "--results", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    records = sorted((tmp_path / "records").glob("*.json"))
    parts = ("features", "generation", "loading", "paths", "training")
    kind = "" if device().type == "cpu" else f"-{device().type}"
    assert [path.stem for path in records] == [f"tiny_bytes-{part}{kind}" for part in parts]
    before = [path.stat().st_mtime_ns for path in records]
    assert all(json.loads(path.read_text())["seconds"] for path in records)
    assert "Training step" in (tmp_path / "speed.md").read_text() and (tmp_path / "speed.png").stat().st_size > 1000
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert [path.stat().st_mtime_ns for path in records] == before, "a part with a record is measured again"
