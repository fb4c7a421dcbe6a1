"""What an inspection of data finds in one split of a cell."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from flix_lightning.data.cells import Cell


class Lengths(NamedTuple):
    """Of prompts or targets, in tokens; a target's last token ends the text."""

    min: int
    median: int
    p95: int
    max: int

    @staticmethod
    def of(lengths: Sequence[int]) -> "Lengths":
        return Lengths(*(int(q) for q in np.percentile(lengths, [0, 50, 95, 100], method="higher")))


@dataclass
class Findings:
    """The findings of one split of a cell; all but the lengths are numbers of rows.

    Attributes:
        rows: readable ones.
        prompt, target: their lengths.
        cut_prompts, cut_targets: longer than the configured limits.
        duplicates: prompt and target are those of an earlier row.
        overlap: the prompt is that of a training row of the cell.
        empty_targets: of nothing but white space.
        unknown: the target has an unknown token, which no model can generate.
        changed: decoding the target's tokens gives another text, surrounding white space aside, so no answer can match
            it; includes targets with unknown tokens.
        replacement: a U+FFFD, left by an earlier conversion.
        control: a control character other than tabs and line ends.
        not_nfc: not in Unicode NFC; metrics and most tokenizers treat composed and decomposed text as different.
        change: the first changed target, and what it becomes.
        error: why the split cannot be read.
    """

    cell: Cell
    split: str
    rows: int = 0
    prompt: Lengths | None = None
    target: Lengths | None = None
    cut_prompts: int = 0
    cut_targets: int = 0
    duplicates: int = 0
    overlap: int = 0
    empty_targets: int = 0
    unknown: int = 0
    changed: int = 0
    replacement: int = 0
    control: int = 0
    not_nfc: int = 0
    change: tuple[str, str] | None = None
    error: str | None = None

    def counts(self) -> dict[str, int]:
        """Name -> number of rows, for every count but that of the rows."""
        names = [f.name for f in fields(self) if f.type is int and f.name != "rows"]
        return {name: getattr(self, name) for name in names}

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        lengths = {name: part and part._asdict() for name, part in (("prompt", self.prompt), ("target", self.target))}
        return {**asdict(self), "cell": str(self.cell), **lengths}
