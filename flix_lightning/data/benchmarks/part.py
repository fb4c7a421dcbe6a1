"""A part of a task: the rows of one language, split by split, from any kind of source."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.benchmark import SPLITS
from flix_lightning.data.benchmarks.rows import LeftOut, Row


class Source(Protocol):
    """A file or a table; written as messages name it."""

    def rows(self, left_out: LeftOut) -> Iterator[Row]:
        """Its rows in order.

        Args:
            left_out: what to do about malformed rows.

        Raises:
            FlixError: it cannot be read, or has more malformed rows than are tolerated.
        """

    def fingerprint(self) -> str:
        """Changes whenever the rows do; found without reading them."""


@dataclass(frozen=True)
class Part:
    """Rows of a task with common facts, as their language, that the rows themselves do not hold.

    Args:
        name: for the ids of examples; no other part of the task has it.
        captured: field -> value of all the rows; `language` is one of them.
        sources: split -> where its rows are.
        held_back: rows at the end of training that serve as validation where there are no others.
    """

    name: str
    captured: Mapping[str, str]
    sources: Mapping[str, Source]
    held_back: int = 0

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(s for s in SPLITS if s in self.sources or (s == "validation" and self._divided))

    @property
    def _divided(self) -> bool:
        return self.held_back > 0 and "train" in self.sources and "validation" not in self.sources

    def source(self, split: str) -> Source:
        return self.sources["train" if split == "validation" and self._divided else split]

    def rows(self, split: str, left_out: LeftOut) -> Iterator[Row]:
        """The rows of one of its splits; see `Source.rows`."""
        rows = self.source(split).rows(left_out)
        return self._share(rows, split) if self._divided and split != "test" else rows

    def _share(self, rows: Iterator[Row], split: str) -> Iterator[Row]:
        """The last rows for validation, those before for training."""
        last: deque[Row] = deque()
        enough = False
        for row in rows:
            last.append(row)
            if len(last) > self.held_back:
                enough = True
                first = last.popleft()
                if split == "train":
                    yield first
        if not enough:
            raise FlixError(f"{self.source(split)} has no more than the {self.held_back} rows of benchmark.held_back.")
        if split == "validation":
            yield from last
