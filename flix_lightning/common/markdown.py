"""Tables as Markdown."""

from collections.abc import Iterable
from typing import Any


def markdown_table(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A head and its rows, one per line, with a final line end; a `|` inside a cell is escaped."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
