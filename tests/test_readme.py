"""The README's commands are commands that work."""

import re
import shlex
import subprocess
import sys

import pytest

from flix_lightning.assembly import build_composer, build_mixture
from tests.configs import ROOT, SMALL, composed, small_benchmark

COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf8"), re.DOTALL)
    for line in block.splitlines()
]
TRAIN = [
    arguments[2:]
    for arguments in COMMANDS
    if arguments[:2] == ["python", "train.py"] and "--config-dir" not in arguments  # own data: test_data_page.py
]


@pytest.mark.parametrize("overrides", TRAIN, ids=" ".join)
def test_every_training_command_composes_and_builds(overrides):
    firsts = [re.sub(r"=([^,\[]+),.*", r"=\1", o) for o in overrides if o != "-m"]  # of a sweep, its first run
    config = composed(*firsts)
    assert build_composer(config, build_mixture(config, small_benchmark())).total_rank > 0


@pytest.mark.parametrize("target", re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
def test_every_make_target_is_there(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.slow
def test_train_evaluate_report_and_preview_run_as_written(tmp_path):
    """On the shipped model, with the smallest settings added."""
    overrides = [*TRAIN[0], *SMALL, f"runs_dir={tmp_path}/runs"]
    told = call("train.py", *overrides)
    assert "semantic_parsing" in told and "trainable parameters" in told
    run = told.split()[-1]
    assert "unseen" in call("evaluate.py", f"run={run}", "split=validation", "tasks=[qa_cross_lang]")
    preview = next(arguments[3:] for arguments in COMMANDS if "flix_lightning.benchmarks.cldr" in arguments)
    assert "Swahili" in call("-m", "flix_lightning.benchmarks.cldr", *preview)
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text())
    folders = ["--results", f"{tmp_path}/results", "--readme", f"{tmp_path}/README.md"]
    call("-m", "flix_lightning.report", "--collect", f"{tmp_path}/runs", *folders)
    assert list((tmp_path / "results").glob("*.md"))


def call(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    ).stdout
