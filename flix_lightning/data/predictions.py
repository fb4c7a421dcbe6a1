"""Predictions on the disk: a row for every example that was scored, in one file beside the scores that they make.

JSON lines, compressed by gzip: a row is an object with `task`, `language`, `attributes` if the cell has any, `row`,
`metric`, `prediction` and `target`. Any language reads that without this project or a library of columns, texts stay as
they are, and what repeats from row to row takes no room.
"""

import gzip
import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole
from flix_lightning.data.cells import Cell

GZIP = zlib.MAX_WBITS | 16  # the format, to zlib


class Prediction(NamedTuple):
    """What a model answered in one row, and what it was to answer, as the metric saw both.

    Attributes:
        cell: of the row.
        row: its number in the cell's split, from 0, in the benchmark's order.
        metric: a name in `STATISTICS`, or the full name of another class.
    """

    cell: Cell
    row: int
    metric: str
    prediction: str
    target: str


def predictions_file(scores: Path) -> Path:
    """Where the predictions lie that make the scores in the file `scores`."""
    return scores.with_name(f"{scores.name.removesuffix('.json')}.predictions.jsonl.gz")


def write_predictions(scores: Path, predictions: Iterable[Prediction]) -> None:
    """Write them beside `scores`, whole or not at all; equal predictions make equal bytes.

    Raises:
        FlixError: the file system refuses.
    """
    lines = [
        json.dumps(
            {
                "task": one.cell.task,
                "language": one.cell.language,
                **({"attributes": dict(one.cell.attributes)} if one.cell.attributes else {}),
                "row": one.row,
                "metric": one.metric,
                "prediction": one.prediction,
                "target": one.target,
            },
            ensure_ascii=False,
        )
        for one in predictions
    ]
    text = "".join(f"{line}\n" for line in lines)
    write_whole(predictions_file(scores), gzip.compress(text.encode(), mtime=0))


def read_predictions(scores: Path) -> list[Prediction]:
    """Those that make the scores in the file `scores`, in the order of its cells and of the rows.

    Raises:
        FlixError: there is no such file, or it is damaged.
    """
    path = predictions_file(scores)
    if not path.is_file():
        raise FlixError(
            f"{str(path)!r} is not there: the predictions of these scores were not kept. `flix evaluate` writes scores "
            "with predictions."
        )
    try:
        rows = [json.loads(line) for line in zlib.decompress(path.read_bytes(), GZIP).decode().split("\n")[:-1]]
        return [
            Prediction(
                Cell(row["task"], row["language"], tuple(row.get("attributes", {}).items())),
                row["row"],
                row["metric"],
                row["prediction"],
                row["target"],
            )
            for row in rows
        ]
    except (OSError, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FlixError(f"{str(path)!r} is no file of predictions: {error}.") from error
