"""Finds what lies in a directory of the layout `<task>/<split>/<name>.jsonl` (or .tsv, .csv)."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flix_lightning.benchmarks.benchmark import SPLITS
from flix_lightning.benchmarks.rows import READERS, LeftOut, Row, read_rows
from flix_lightning.errors import FlixError, unknown

NAME = r"[A-Za-z0-9]+(?:[_.-][A-Za-z0-9]+)*?"


@dataclass(frozen=True)
class Part:
    """The files of one task that share a name.

    Args:
        name: what the files are called, without the type.
        captured: what the task's file pattern reads off the name; `language` is among it.
        paths: split -> file.
        held_back: rows at the end of training that stand for a validation file.
    """

    name: str
    captured: Mapping[str, str]
    paths: Mapping[str, Path]
    held_back: int = 0

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(s for s in SPLITS if s in self.paths or (s == "validation" and self.held_back))

    def file(self, split: str) -> Path:
        """Where the rows of one of its splits lie."""
        return self.paths[split] if split in self.paths else self.paths["train"]

    def rows(self, split: str, left_out: LeftOut) -> Iterator[Row]:
        """The rows of a split; see `read_rows`."""
        rows = read_rows(self.file(split), left_out)
        return self._shared(rows, split) if self.held_back and split != "test" else rows

    def _shared(self, rows: Iterator[Row], split: str) -> Iterator[Row]:
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
            raise FlixError(f"{self.file(split)} has no more than the {self.held_back} rows of benchmark.held_back.")
        if split == "validation":
            yield from last


def file_pattern(place: str, pattern: str) -> re.Pattern[str]:
    """The expression for names of the form `pattern`, as `{source}2{language}`.

    Raises:
        FlixError: the pattern has no `{language}`, or a name twice.
    """
    pieces = re.split(r"\{(\w+)\}", pattern)
    names = pieces[1::2]
    if "language" not in names or len(set(names)) < len(names) or "{" in "".join(pieces[::2]):
        raise FlixError(f"{place}: a pattern of file names holds {{language}} once; got {pattern!r}.")
    expression = "".join(f"(?P<{p}>{NAME})" if i % 2 else re.escape(p) for i, p in enumerate(pieces))
    return re.compile(expression)


def task_folders(root: Path) -> dict[str, Path]:
    """Name -> folder of every task under `root`.

    Raises:
        FlixError: `root` is no directory or a data file lies outside a task's folder.
    """
    if not root.is_dir():
        raise FlixError(f"benchmark.root: {str(root)!r} is no directory.")
    return {path.name: path for path in _folders(root, "a task's folder")}


def find_parts(folder: Path, pattern: re.Pattern[str], held_back: int = 0) -> list[Part]:
    """What lies in a task's folder, by name.

    Args:
        folder: the task's.
        pattern: of its files' names.
        held_back: for the parts that have training rows and no validation file.

    Raises:
        FlixError: a folder that is no split, a file of another type or name, two files for one part, or no file.
    """
    found: dict[str, dict[str, Path]] = {}
    for place in _folders(folder, "a split's folder (train, validation or test)"):
        if place.name not in SPLITS:
            raise unknown(f"{folder}: split", place.name, SPLITS)
        for path in _visible(place):
            if path.suffix not in READERS:
                raise unknown(f"{path}: file type", path.suffix, READERS)
            if not pattern.fullmatch(path.stem):
                raise FlixError(f"{path}: the name does not have the form {pattern.pattern!r}.")
            paths = found.setdefault(path.stem, {})
            if place.name in paths:
                raise FlixError(f"{path} and {paths[place.name].name} stand for the same rows; keep one of them.")
            paths[place.name] = path
    if not found:
        raise FlixError(f"{folder} holds no file <split>/<name>{{{', '.join(READERS)}}}; splits: {', '.join(SPLITS)}.")
    parts = []
    for name, paths in sorted(found.items()):
        captured = pattern.fullmatch(name).groupdict()
        parts.append(Part(name, captured, paths, held_back if "train" in paths and "validation" not in paths else 0))
    return parts


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise FlixError(f"{folder} cannot be read: {error.strerror}.") from error


def _folders(parent: Path, what: str) -> Iterator[Path]:
    for path in _visible(parent):
        if path.is_dir():
            yield path
        elif path.suffix in READERS:
            raise FlixError(f"{path} lies outside {what}; the layout is <task>/<split>/<name>{path.suffix}.")
