"""Examples of errors, on the screen and as Markdown: what was asked, what was to be said, what one run or two said."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.text import Text

from flix_lightning.common.markdown import markdown_table
from flix_lightning.data.cells import Cell
from flix_lightning.report.screen import printable, screen
from flix_lightning.report.side_by_side import Row, counts, errors_first

LETTERS = "AB"
Prompts = Mapping[tuple[Cell, int], str]


class Errors(NamedTuple):
    """What is shown.

    Attributes:
        names: of the runs.
        rows: all rows of the cells looked at.
        most: errors to show.
        prompts: (cell, number) -> what the model was asked, of the rows for which that is known.
    """

    names: Sequence[str]
    rows: Sequence[Row]
    most: int
    prompts: Prompts

    @property
    def shown(self) -> list[Row]:
        return errors_first(self.rows)[: self.most]

    def head(self) -> list[str]:
        """Which run is which, how many answers are right, how many errors follow."""
        legend = (
            [f"{letter}: {name}" for letter, name in zip(LETTERS, self.names)] if len(self.names) > 1 else self.names
        )
        return [
            *legend,
            f"{counts(self.rows)}; shown: {len(self.shown)} of {len(errors_first(self.rows))} with an error",
        ]


def print_errors(errors: Errors) -> None:
    """A block a row: the prompt, the target, each answer with the score of this row alone."""
    console = screen()
    for line in errors.head():
        console.print(printable(line), highlight=False)
    for row in errors.shown:
        console.print()
        console.print(Text(f"{printable(str(row.cell))} row {row.number}", style="bold"))
        if (prompt := errors.prompts.get((row.cell, row.number))) is not None:
            console.print(f"  prompt       {printable(prompt)}", highlight=False)
        console.print(f"  target       {printable(row.target)}", highlight=False)
        names = LETTERS if len(row.answers) > 1 else ("said",)
        for name, one in zip(names, row.answers):
            line = f"  {name:5} {one.score:5.1f}  {printable(one.text)}"
            console.print(Text(line, style="" if one.is_right else "red"))


def errors_markdown(errors: Errors) -> str:
    """The same as a list and a table."""
    names = LETTERS if len(errors.names) > 1 else ("said",)
    asked = ["prompt"] if errors.prompts else []
    head = ["cell", "row", *asked, "target", *(title for name in names for title in (name, "score"))]
    rows = [
        [
            str(row.cell),
            row.number,
            *([printable(errors.prompts[row.cell, row.number])] if asked else []),
            printable(row.target),
            *(part for one in row.answers for part in (printable(one.text), f"{one.score:.1f}")),
        ]
        for row in errors.shown
    ]
    told = "".join(f"- {printable(line)}\n" for line in errors.head())
    return f"{told}\n{markdown_table(head, rows)}"
