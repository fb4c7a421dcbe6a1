"""Requests and names of cells, read by what a bank keeps: no backbone is needed, and no Lightning."""

import re
from collections.abc import Mapping
from typing import Any

from flix_lightning.adapters.bank import Bank
from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.data.cells import RESERVED, Cell
from flix_lightning.data.prompting import PLAIN, TEXT

Text = str | Mapping[str, Any]  # the input; or the fields of the task's prompt, and values on further axes

NAME = re.compile(r"(?P<task>[^/]+)/(?P<language>\w[\w.+-]*)(?P<further>(?:/\w+=.*)?)", re.DOTALL)
FORM = "task/language, e.g. ner/sw, and /axis=value for each further axis"


def cell_of(bank: Bank, task: str, language: str, given: Text = "") -> Cell:
    """The cell of a request. An unknown language is served by its task alone, unless a policy says otherwise.

    Args:
        given: the request; a mapping may hold values on further axes, None for none.

    Raises:
        FlixError: the bank has no such task; or it has features of a further axis, and the request no value there, or
            an unknown one.
    """
    if task not in bank.tasks:
        raise unknown("task", task, bank.tasks)
    axes: dict[str, set[str]] = {axis: set() for axis in bank.axes if axis not in RESERVED}
    for feature in bank.ranks:
        if feature.axis in axes:
            axes[feature.axis].add(feature.value)
    given = given if isinstance(given, Mapping) else {}
    attributes = (bank.prompting or PLAIN).attributes(task, language, given, axes)
    trained = (c for c in bank.cells if (c.task, c.language, dict(c.attributes)) == (task, language, attributes))
    return next(trained, Cell(task, language, tuple(attributes.items())))


def named_cell(bank: Bank, name: str, place: str) -> Cell:
    """The cell that is written `task/language[/axis=value ...]`; nothing behind `axis=` stands for none.

    Args:
        place: where the name was written, for messages.

    Raises:
        FlixError: it has another form, or see `cell_of`.
    """
    if (match := NAME.fullmatch(name)) is None:
        raise FlixError(f"{place}: a cell is written {FORM}; got {name!r}.")
    pairs = [part.split("=", 1) for part in re.split(r"/(?=\w+=)", match["further"])[1:]]
    if len(values := dict(pairs)) < len(pairs):
        raise FlixError(f"{place}: {name!r} names an axis twice.")
    return cell_of(bank, match["task"], match["language"], values)


def prompt_of(bank: Bank, text: Text, cell: Cell) -> str:
    """What the model reads for a request: the task's own prompt around it, in the words of training.

    Raises:
        FlixError: fields that the prompt does not have, or a bank that does not keep these words.
    """
    if bank.prompting is None:
        raise FlixError(
            "bank: it was written by an earlier version (format 1) and does not say in what words languages stood in "
            "prompts and where these were cut. Train its run again, or give whole prompts to FlixModel.answer."
        )
    given = text if isinstance(text, Mapping) else {TEXT: text}
    return bank.prompting.prompt(bank.tasks[cell.task], cell.language, given)
