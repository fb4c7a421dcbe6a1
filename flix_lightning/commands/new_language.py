"""How a language added to a trained bank compares with one trained jointly with all others; from two runs' records.

`python -m flix_lightning.commands.new_language joint=RUN extended=RUN base=RUN` copies what it needs to
results/new_language.json and writes the table results/new_language.md; without arguments it writes the table again.
"""

import json
import sys
from pathlib import Path

from flix_lightning.commands.shell import command, key_values
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole
from flix_lightning.common.settings import fill
from flix_lightning.evaluation.new_language import gather
from flix_lightning.report.new_language import table


def report(joint: str | None = None, extended: str | None = None, base: str | None = None, results: str = "results"):
    """Write the table, from runs where they are given."""
    path = Path(results) / "new_language.json"
    if joint and extended and base:
        write_whole(path, json.dumps(gather(joint, extended, base), indent=1, ensure_ascii=False) + "\n")
    elif joint or extended or base:
        raise FlixError("joint, extended and base: give all three, or none to write the table from its records again.")
    if not path.is_file():
        raise FlixError(f"there is no {str(path)!r} yet; give joint, extended and base.")
    write_whole(path.with_suffix(".md"), table(json.loads(path.read_text(encoding="utf8"))))


@command
def main() -> None:
    fill("new_language", report, key_values(sys.argv[1:], __doc__))


if __name__ == "__main__":
    main()
