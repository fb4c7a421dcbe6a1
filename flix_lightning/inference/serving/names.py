"""Names of cells in requests to a server: `task/language[/axis=value ...][@axis=strength ...]`.

ner/sw                              the cell, trained or not
topic/sw/domain=news                with its value on a further axis; domain= for none
ner/sw@language=0.5                 the language's feature at half its strength
ner/xx@language=0.7*sw+0.3*rw       two languages in the place of one
"""

import re
from typing import Any, NamedTuple

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.strengths import Strengths
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.inference.requests import named_cell

PLACE = "model"  # the key of a request that holds a name
LONGEST = 512  # characters
FORM = "axis=number, or axis=number*value+number*value, e.g. language=0.5 or language=0.7*sw+0.3*rw"


class Named(NamedTuple):
    """What a name asks for."""

    cell: Cell
    strengths: Strengths


def read_name(bank: Bank, name: str) -> Named:
    """The cell of a bank that a name means, and the strengths to serve it with.

    Raises:
        FlixError: the name is too long or has another form; the bank has no such task, axis or value.
    """
    if len(name) > LONGEST or not name.isprintable():
        raise FlixError(f"{PLACE}: a name of at most {LONGEST} printable characters; got {name[:40]!r}...")
    place, *strengths = re.split(r"@(?=\w+=)", name)
    cell = named_cell(bank, place, PLACE)
    section: dict[str, Any] = {}
    for part in strengths:
        axis, _, value = part.partition("=")
        if axis in section:
            raise FlixError(f"{PLACE}: {name!r} names the strength of {axis!r} twice.")
        section[axis] = _strength(axis, value, cell)
    return Named(cell, Strengths.parse(section, f"{PLACE} {name!r}"))


def _strength(axis: str, text: str, cell: Cell) -> float | dict[str, dict[str, float]]:
    """A number; or the weights of values that serve in the place of the cell's own one on the axis."""
    if "*" not in text:
        return _number(axis, text)
    own = cell.values(axis)
    if len(own) != 1:
        raise FlixError(f"{PLACE}: {axis}={text} replaces one value; {cell} has {len(own)} on that axis.")
    terms = [term.partition("*") for term in text.split("+")]
    if not all(value for _, _, value in terms):
        raise _no_strength(axis, text)
    return {own[0]: {value: _number(axis, weight) for weight, _, value in terms}}


def _number(axis: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _no_strength(axis, text) from None


def _no_strength(axis: str, text: str) -> FlixError:
    return FlixError(f"{PLACE}: a strength is written {FORM}; got {text!r} for {axis!r}.")
