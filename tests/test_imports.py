"""What starts at once: the package, and the help of every command, import none of the heavy libraries."""

import subprocess
import sys

import pytest

from tests.configs import ROOT

HEAVY = {"torch", "transformers", "lightning", "datasets", "wandb", "matplotlib", "torchmetrics"}
SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))
CHECK = """
import runpy, sys
sys.argv = {arguments!r}
try:
    {run}
except SystemExit as end:
    assert not end.code, end.code
finally:
    print("IMPORTED", *sorted({heavy!r} & set(sys.modules)))
"""


def imported(run: str, *arguments: str) -> list[str]:
    """The heavy libraries that a fresh interpreter has imported after `run`."""
    code = CHECK.format(arguments=list(arguments), run=run, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def test_the_package_imports_nothing_heavy():
    assert imported("import flix_lightning") == []
    assert imported("import torch")[:1] == ["torch"], "the check sees what is imported"


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_imports_nothing_heavy(script):
    assert imported(f"runpy.run_path({script!r}, run_name='__main__')", script, "--help") == []


def test_a_mistyped_choice_is_told_before_anything_heavy_is_imported():
    run = "runpy.run_path('train.py', run_name='__main__')"
    code = CHECK.format(arguments=["train.py", "adapter=flax"], run=run, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "flax" in done.stderr and done.returncode != 0
    assert done.stdout.splitlines()[-1] == "IMPORTED"
