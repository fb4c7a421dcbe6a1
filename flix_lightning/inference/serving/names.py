"""Names of cells in requests: `task/language[/axis=value ...][@axis=strength ...]`, and nothing else of a name is used.

ner/sw                              the cell, trained or not; an unknown language is served by its task alone
topic/sw/domain=news                with its value on a further axis
ner/sw@language=0.5                 the language's feature at half its strength
ner/xx@language=0.7*sw+0.3*rw       two languages in the place of one
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

from flix_lightning.adapters.strengths import Strengths
from flix_lightning.common.errors import FlixError

LONGEST = 512  # characters
FORM = "task/language[/axis=value ...][@axis=strength ...], e.g. ner/sw or ner/sw@language=0.5"


class CellName(NamedTuple):
    """A parsed name: the cell's values, those on further axes by axis, and the strengths to serve it with."""

    task: str
    language: str
    attributes: Mapping[str, str]
    strengths: Strengths


def parse_name(name: str) -> CellName:
    """Read a name; characters that have a meaning in it are written as in URLs, `%2F` for a slash.

    Raises:
        FlixError: it is too long, or has another form.
    """
    if len(name) > LONGEST or not name.isprintable():
        raise FlixError(f"model: a name of at most {LONGEST} printable characters; got {name[:40]!r}...")
    place, *strengths = name.split("@")
    task, *rest = map(unquote, place.split("/"))
    if not task or not rest or not all(rest):
        raise FlixError(f"model: a cell is written {FORM}; got {name!r}.")
    language, *further = rest
    pairs = [_pair(part, name) for part in further]
    if len({axis for axis, _ in pairs}) < len(pairs):
        raise FlixError(f"model: {name!r} names an axis twice.")
    section: dict[str, Any] = {}
    for part in strengths:
        axis, value = _pair(unquote(part), name)
        own = {"task": task, "language": language, **dict(pairs)}.get(axis)
        section[axis] = _strength(value, own, name)
    return CellName(task, language, dict(pairs), Strengths.parse(section, f"model {name!r}"))


def _pair(part: str, name: str) -> tuple[str, str]:
    axis, equals, value = part.partition("=")
    if not (axis and equals and value):
        raise FlixError(f"model: a cell is written {FORM}; got {part!r} in {name!r}.")
    return axis, value


def _strength(text: str, own: str | None, name: str) -> float | dict[str, dict[str, float]]:
    """A number, or the weights of values that serve in the place of the cell's `own`."""
    if "*" not in text:
        return _number(text, name)
    if own is None:
        raise FlixError(f"model: {name!r} replaces a value on an axis that the cell has none on.")
    terms = [term.partition("*") for term in text.split("+")]
    return {own: {value: _number(weight, name) for weight, _, value in terms}}


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise FlixError(f"model: a strength is a number; got {text!r} in {name!r}.") from None
