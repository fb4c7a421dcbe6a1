"""What starts at once: the package, and the help of every command, import none of the heavy libraries."""

import subprocess
import sys

import pytest

from flix_lightning.commands.main import COMMANDS
from tests.configs import ROOT

HEAVY = {"torch", "transformers", "lightning", "datasets", "wandb", "matplotlib", "torchmetrics"}
FLIX = "from flix_lightning.commands.main import flix; flix()"
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


def test_help_of_every_command_imports_nothing_heavy():
    every = f"for sys.argv in {[['flix', *name.split(), '--help'] for name in ('', *COMMANDS)]}: flix()"
    assert imported(f"from flix_lightning.commands.main import flix\n    {every}") == []


@pytest.mark.parametrize("script", ["train", "evaluate"])
def test_the_scripts_at_the_root_are_the_same_commands(script):
    assert imported(f"runpy.run_path('{script}.py', run_name='__main__')", f"{script}.py", "--help") == []
    words = ([sys.executable, f"{script}.py"], [sys.executable, "-m", "flix_lightning", script])
    printed = [subprocess.run([*w, "--help"], cwd=ROOT, capture_output=True, check=True).stdout for w in words]
    assert printed[0] == printed[1] and f"flix {script}: ".encode() in printed[0]


def test_a_mistyped_choice_is_told_before_anything_heavy_is_imported():
    code = CHECK.format(arguments=["flix", "train", "adapter=flax"], run=FLIX, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "flax" in done.stderr and done.returncode != 0
    assert done.stdout.splitlines()[-1] == "IMPORTED"
