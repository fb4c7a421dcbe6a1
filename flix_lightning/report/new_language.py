"""How a language added to a trained bank compares with one trained jointly with all others, as a table."""

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from flix_lightning.common.markdown import markdown_table
from flix_lightning.training.results import place_of


def table(found: Mapping[str, Any]) -> str:
    """Markdown: a row for each cell of the added languages that both runs scored, and their mean."""
    joint, extended = (
        {(row["task"], place_of(row)): row["score"] for row in found[label]["cells"]} for label in ("joint", "extended")
    )
    cells = sorted(joint.keys() & extended.keys())
    rows = [(f"{task} {language}", joint[task, language], extended[task, language]) for task, language in cells]
    rows.append(("**mean**", *(fmean(column) for column in zip(*(row[1:] for row in rows)))))
    steps, features = {label: found[label]["steps"] for label in ("joint", "extended")}, found["features"]
    parameters = {label: sum(found[label]["parameters"].values()) for label in steps}
    config = found["extended"]["config"]
    languages, model = config["mixture"]["languages"], config["model"]["_target_"].rpartition(".load_")[2]
    lines = [
        "# A language added to a trained bank",
        "",
        f"Test scores of {' and '.join(languages)} on `cldr` with the model `{model}`: trained jointly with all other "
        "languages, and added to a bank that was trained without them. One seed.",
        "",
        markdown_table(
            ["cell", f"joint, {steps['joint']} steps", f"added, {steps['extended']} steps", "difference"],
            [(name, f"{one:.1f}", f"{other:.1f}", f"{other - one:+.1f}") for name, one, other in rows],
        ),
        f"Trainable parameters: {parameters['joint']:,} jointly, {parameters['extended']:,} for the added features. "
        f"Of the bank's {features['of_base']} features {features['unchanged']} are the same bit for bit in the "
        f"extended bank, which has {features['in_all']}.",
    ]
    return "\n".join(lines) + "\n"
