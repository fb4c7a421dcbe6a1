"""How a language added to a trained bank compares with one trained jointly with all others; from two runs' records.

`python -m flix_lightning.report.new_language joint=RUN extended=RUN base=RUN` copies what it needs to
results/new_language.json and writes the table results/new_language.md; without arguments it writes the table again.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from flix_lightning.bank import Bank
from flix_lightning.command import command, key_values
from flix_lightning.errors import FlixError
from flix_lightning.filling import fill
from flix_lightning.results import in_markdown, place_of, read_record
from flix_lightning.run_directory import write_whole

KEPT = ("name", "config", "environment", "parameters", "steps", "best_step", "cells")
Found = Mapping[str, Any]


def unchanged_features(base: Bank, extended: Bank) -> int:
    """The number of features of `base` whose factors `extended` has bit for bit."""
    before, after = base.rows(), extended.rows()
    return sum(
        all(
            torch.equal(factor[list(rows)], extended.factors[name][list(after[feature])])
            for name, factor in base.factors.items()
        )
        for feature, rows in before.items()
    )


def gather(joint: str, extended: str, base: str) -> Found:
    """The two runs' records, and how many of the base's features the extended run left as they were.

    Raises:
        FlixError: a run is unfinished.
    """
    runs = {"joint": joint, "extended": extended}
    records = {label: {key: read_record(Path(run))[key] for key in KEPT} for label, run in runs.items()}
    banks = Bank.read(Path(base)), Bank.read(Path(extended))
    features = {"of_base": len(banks[0].ranks), "unchanged": unchanged_features(*banks), "in_all": len(banks[1].ranks)}
    return {**records, "features": features}


def table(found: Found) -> str:
    """Markdown: a row for each cell of the added languages that both runs scored, and their mean."""
    joint, extended = (
        {(row["task"], place_of(row)): row["score"] for row in found[label]["cells"]} for label in ("joint", "extended")
    )
    cells = sorted(joint.keys() & extended.keys())
    rows = [(f"{task} {language}", joint[task, language], extended[task, language]) for task, language in cells]
    rows.append(("**mean**", *(fmean(column) for column in zip(*(row[1:] for row in rows)))))
    steps, features = {label: found[label]["steps"] for label in ("joint", "extended")}, found["features"]
    parameters = {label: sum(found[label]["parameters"].values()) for label in steps}
    languages = found["extended"]["config"]["mixture"]["languages"]
    lines = [
        "# A language added to a trained bank",
        "",
        f"Test scores of {' and '.join(languages)} on `cldr`: trained jointly with all other languages, and added to a "
        "bank that was trained without them. One seed.",
        "",
        f"| cell | joint, {steps['joint']} steps | added, {steps['extended']} steps | difference |",
        "|---|---|---|---|",
        *(f"| {in_markdown(name)} | {one:.1f} | {other:.1f} | {other - one:+.1f} |" for name, one, other in rows),
        "",
        f"Trainable parameters: {parameters['joint']:,} jointly, {parameters['extended']:,} for the added features. "
        f"Of the bank's {features['of_base']} features {features['unchanged']} are the same bit for bit in the "
        f"extended bank, which has {features['in_all']}.",
    ]
    return "\n".join(lines) + "\n"


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
