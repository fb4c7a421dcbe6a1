"""How long commands take to say their help, as ratios: `python speed/imports.py`.

Every command runs in turn, round after round, so that other work on the machine weighs on all alike; the least of each
is compared with a bare interpreter and with `import torch`.
"""

import os
import subprocess
import sys
from pathlib import Path

from flix_lightning.commands.main import COMMANDS as FLIX
from flix_lightning.common.markdown import markdown_table

ROOT = Path(__file__).parent.parent
ROUNDS = 5
COMMANDS = {
    "bare python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "import flix_lightning": ["-c", "import flix_lightning"],
    "flix --help": ["-m", "flix_lightning", "--help"],
    **{f"flix {name} --help": ["-m", "flix_lightning", *name.split(), "--help"] for name in FLIX},
}


def cpu_seconds(arguments: list[str]) -> float:
    """Processor time of one run, which a busy machine changes little."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    rounds = [{name: cpu_seconds(arguments) for name, arguments in COMMANDS.items()} for _ in range(ROUNDS)]
    least = {name: min(seconds[name] for seconds in rounds) for name in COMMANDS}
    base = [least["bare python"], least["import torch"]]
    rows = [[name, f"{cpu:.2f}", *(f"{cpu / other:.1f}" for other in base)] for name, cpu in least.items()]
    print(markdown_table(["command", "CPU seconds", "of bare python", "of import torch"], rows), end="")


if __name__ == "__main__":
    main()
