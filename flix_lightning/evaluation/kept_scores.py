"""The scores of evaluations, in files that merge cell by cell: no evaluation takes the place of another's scores.

A file holds what was scored in one way: by the same adapters, on the same benchmark's split, with the same policy for
unseen languages and the same strengths of features, in the same number format. It is `scores-<benchmark>-<split>.json`,
with the policy's name and the strengths where they are not the paper's; what was scored in another way under the same
name has `-2`, `-3`, ... Of a cell scored again it keeps the latest score, unless the cell has other rows than before:
these scores lie in another file, too. The predictions that make the scores of a file lie beside it.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NotRequired

from filelock import FileLock
from typing_extensions import TypedDict

from flix_lightning.adapters.strengths import Strengths
from flix_lightning.adapters.unseen import TASK_ONLY
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import escaped, shortened, write_whole
from flix_lightning.data.predictions import Prediction, predictions_file, read_predictions, write_predictions
from flix_lightning.training.record_form import Record, checked_form, read_json
from flix_lightning.training.results import cell_of

WAY = ("adapters", "split", "benchmark", "source", "unseen_language", "precision")  # how cells were scored
MAY_LACK = {"strengths": {}, "vocabulary": None}  # more of it, with what its absence says
MOST = ("left_out_rows", "truncated_examples")  # of the evaluation that met most
Scores = Mapping[str, Any]


class Policy(TypedDict):
    stand_in: str


class Kept(Record):
    """The scores of an evaluation; earlier versions wrote less of it."""

    unseen_language: Policy
    split: NotRequired[str]
    benchmark: NotRequired[str]
    unscored_cells: NotRequired[list[str]]
    stand_ins: NotRequired[dict[str, dict[str, float]]]
    strengths: NotRequired[dict[str, Any]]
    vocabulary: NotRequired[list[int]]
    left_out_rows: NotRequired[int]
    truncated_examples: NotRequired[int]


def keep_scores(folder: Path, scores: Scores, predictions: Sequence[Prediction] = ()) -> Path:
    """Add what `evaluate` found to the files in `folder` that it belongs to; returns that of the scores.

    Raises:
        FlixError: the folder cannot be written, or a file there is damaged.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".scores.lock"):  # several evaluations may run at once
            path, before = _place(folder, scores)
            write_predictions(path, _merged_rows(path, scores, predictions))
            try:
                write_whole(path, json.dumps(merged(before, scores), indent=1, ensure_ascii=False) + "\n")
            except FlixError:
                if before is None:
                    predictions_file(path).unlink()  # none without scores
                raise
    except (OSError, FlixError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        raise FlixError(
            f"{str(folder)!r} cannot be written: {cause.strerror}. The scores are kept nowhere; with out=FOLDER the "
            "same command writes them there."
        ) from cause
    return path


def _place(folder: Path, scores: Scores) -> tuple[Path, Scores | None]:
    """The file that `scores` belong to, and what it holds; None where it is new."""
    stand_in = scores["unseen_language"]["stand_in"]
    policy = "" if stand_in == TASK_ONLY.stand_in else f"-{stand_in}"
    word = str(Strengths.parse(scores.get("strengths", {}))).replace("=", "-")  # for `key=value` on a command line
    by = f"-{escaped(shortened(word))}" if word else ""
    name = f"scores-{escaped(scores['benchmark'])}-{scores['split']}{policy}{by}"
    for number in count(1):
        path = folder / f"{name}{'' if number == 1 else f'-{number}'}.json"
        if not path.exists():
            return path, None
        before = read_scores(path)
        if _belong(before, scores):
            return path, before


def read_scores(path: Path) -> Scores:
    """
    Raises:
        FlixError: the file holds no scores.
    """
    return checked_form(repr(str(path)), "scores", Kept, read_json(path))


def _belong(before: Scores, scores: Scores) -> bool:
    """Whether the cells were scored in the same way, those that are in both on the same rows."""
    known = {cell_of(row): row.get("rows") for row in before["cells"]}
    same_rows = all(known.get(cell_of(row), row["rows"]) == row["rows"] for row in scores["cells"])
    same = all(before.get(key, none) == scores.get(key, none) for key, none in MAY_LACK.items())
    return same_rows and same and all(key in before and before[key] == scores[key] for key in WAY)


def _merged_rows(path: Path, scores: Scores, predictions: Sequence[Prediction]) -> list[Prediction]:
    """Those of the cells scored now, and of other cells those that are kept already."""
    anew = {cell_of(row) for row in scores["cells"]}
    before = read_predictions(path) if predictions_file(path).exists() else []
    kept = [one for one in before if one.cell not in anew]
    return sorted([*kept, *predictions], key=lambda one: (one.cell, one.row))


def merged(before: Scores | None, scores: Scores) -> Scores:
    """Both, of a cell the later score; cells in the order of their names, so that the order of evaluations is none."""
    if before is None:
        before = {**scores, "cells": [], "unscored_cells": [], "stand_ins": {}}
    cells = {cell_of(row): row for row in [*before["cells"], *scores["cells"]]}
    unscored = {*before["unscored_cells"], *scores["unscored_cells"]} - set(map(str, cells))
    return {
        **scores,
        "stand_ins": dict(sorted({**before["stand_ins"], **scores["stand_ins"]}.items())),
        "cells": [cells[cell] for cell in sorted(cells)],
        "unscored_cells": sorted(unscored),
        **{key: max(before[key], scores[key]) for key in MOST},
    }
