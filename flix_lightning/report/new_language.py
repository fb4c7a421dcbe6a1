"""How a language added to a trained bank compares with one trained jointly with all others, as a table."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from typing_extensions import TypedDict

from flix_lightning.common.errors import FlixError
from flix_lightning.common.markdown import markdown_table
from flix_lightning.report.comparison import model_of
from flix_lightning.training.record_form import Row, checked_form, read_json
from flix_lightning.training.results import place_of


class Run(TypedDict):
    cells: list[Row]
    steps: int
    parameters: dict[str, int]


class ModelSection(TypedDict):
    _target_: str


class ExtendedConfig(TypedDict):
    model: ModelSection


class Extended(Run):
    config: ExtendedConfig


class Features(TypedDict):
    of_base: int
    unchanged: int
    in_all: int


class Found(TypedDict):
    """What `flix report new_language.joint=...` gathers."""

    joint: Run
    extended: Extended
    features: Features


def read_found(path: Path) -> Mapping[str, Any]:
    """
    Raises:
        FlixError: the file holds something else.
    """
    return checked_form(repr(str(path)), "comparison of an added language", Found, read_json(path))


def pairs(found: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Cell of the added languages, its score in the joint run, and in the extended one, for all that both scored.

    Raises:
        FlixError: they share none.
    """
    joint, extended = (
        {(row["task"], place_of(row)): row["score"] for row in found[label]["cells"]} for label in ("joint", "extended")
    )
    cells = sorted(joint.keys() & extended.keys())
    if not cells:
        raise FlixError("new_language: the joint and the extended run have scored no cell in common.")
    return [(f"{task} {place}", joint[task, place], extended[task, place]) for task, place in cells]


def table(found: Mapping[str, Any]) -> str:
    """Markdown: a row for each cell of the added languages that both runs scored, and their mean.

    Raises:
        FlixError: they share none.
    """
    rows = pairs(found)
    languages = sorted({name.split(" ")[1].partition("/")[0] for name, *_ in rows})
    rows.append(("**mean**", *(fmean(column) for column in zip(*(row[1:] for row in rows)))))
    steps, features = {label: found[label]["steps"] for label in ("joint", "extended")}, found["features"]
    parameters = {label: sum(found[label]["parameters"].values()) for label in steps}
    model = model_of(found["extended"])
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
