"""The form of a run's record, as far as tables and pictures read it: a file of that name may be somebody else's."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from flix_lightning.common.errors import FlixError


class Row(TypedDict):
    """A cell's score."""

    task: str
    language: str
    attributes: NotRequired[dict[str, str]]
    group: str
    score: float


class AdapterSection(TypedDict):
    name: str


class Config(TypedDict):
    """What every config has, of whatever version."""

    seed: int
    adapter: AdapterSection


class Record(TypedDict):
    """A run's record; earlier versions wrote less of it."""

    config: Config
    cells: list[Row]
    parameters: NotRequired[dict[str, int]]
    active_rank: NotRequired[int]
    best_validation_score: NotRequired[float]
    validation_scores: NotRequired[list[list[float]]]
    steps: NotRequired[int]
    seconds: NotRequired[float]
    precision: NotRequired[str]
    data: NotRequired[dict[str, str]]


def check_record(place: str, content: Any) -> dict[str, Any]:
    """The record.

    Args:
        place: where it comes from, for messages.

    Raises:
        FlixError: it is none.
    """
    return checked_form(place, "record of a run", Record, content)


def checked_form(place: str, what: str, form: Any, content: Any) -> Any:
    """What was read from JSON, if it has the form of a `TypedDict`, or of a list of some.

    Raises:
        FlixError: it has another, told by the first thing that is wrong.
    """
    try:
        _adapter(form).validate_python(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or "it"
        raise FlixError(f"{place} holds no {what}: {at}: {first['msg'].lower()}.") from None
    return content


@cache
def _adapter(form: Any) -> TypeAdapter:
    return TypeAdapter(form)


def read_json(path: Path, place: str | None = None) -> Any:
    """
    Args:
        place: how messages name the file, where not by its path.

    Raises:
        FlixError: there is no such file, or it is no JSON.
    """
    place = place or repr(str(path))
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except OSError as error:
        raise FlixError(f"{place} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise FlixError(f"{place} is damaged: no JSON: {error}.") from None


def read_record_file(path: Path) -> Mapping[str, Any]:
    """
    Raises:
        FlixError: the file cannot be read, or holds no record.
    """
    return check_record(repr(str(path)), read_json(path))
