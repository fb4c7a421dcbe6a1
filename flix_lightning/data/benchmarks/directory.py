"""Finds what lies in a directory of the layout `<task>/<split>/<name>.jsonl` (or .tsv, .csv)."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.data.benchmarks.benchmark import SPLITS
from flix_lightning.data.benchmarks.part import Part
from flix_lightning.data.benchmarks.rows import READERS, RowFile

NAME = r"[A-Za-z0-9]+(?:[_.+-][A-Za-z0-9]+)*?"  # of a language, or of several joined: en+es


class FilePattern:
    """The form of a task's file names, as `{source}2{language}`.

    Args:
        place: where it is configured, for messages.
        form: with `{language}` once, and any other names.

    Raises:
        FlixError: another form.
    """

    def __init__(self, place: str, form: str) -> None:
        pieces = re.split(r"\{([a-z_]+)\}", form)
        names = pieces[1::2]
        if "language" not in names or len(set(names)) < len(names) or "{" in "".join(pieces[::2]):
            raise FlixError(f"{place}: a pattern of file names holds {{language}} once; got {form!r}.")
        expression = "".join(f"(?P<{p}>{NAME})" if i % 2 else re.escape(p) for i, p in enumerate(pieces))
        self.place, self.form, self.names, self._expression = place, form, names, re.compile(expression)

    def captured(self, path: Path) -> dict[str, str]:
        """Name -> what stands for it in the file's name.

        Raises:
            FlixError: the file's name has another form.
        """
        if (match := self._expression.fullmatch(path.stem)) is None:
            raise FlixError(f"{path}: the name does not have the form {self.form!r} of {self.place}.")
        return match.groupdict()


def task_folders(root: Path) -> dict[str, Path]:
    """Name -> folder of every task under `root`.

    Raises:
        FlixError: `root` is not a directory, or a data file lies outside a task's folder.
    """
    if not root.is_dir():
        raise FlixError(f"benchmark.root: {str(root)!r} is no directory.")
    return {path.name: path for path in _folders(root, "a task's folder")}


def find_parts(folder: Path, pattern: FilePattern, names: Mapping[str, str], held_back: int) -> list[Part]:
    """What lies in a task's folder, by name.

    Args:
        folder: the task's.
        pattern: of its files' names.
        names: split -> its folder's name, if it differs.
        held_back: see `Part`.

    Raises:
        FlixError: a folder that is no split, a file of another type or name, two files for one part, or no file.
    """
    found: dict[str, dict[str, Path]] = {}
    captured: dict[str, dict[str, str]] = {}
    split_of = {names.get(split, split): split for split in SPLITS}
    for place in _folders(folder, f"a split's folder ({', '.join(split_of)})"):
        if place.name not in split_of:
            raise unknown(f"{folder}: split", place.name, split_of)
        for path in _visible(place):
            if path.suffix not in READERS:
                raise unknown(f"{path}: file type", path.suffix, READERS)
            captured[path.stem] = pattern.captured(path)
            other = found.setdefault(path.stem, {}).setdefault(split_of[place.name], path)
            if other != path:
                raise FlixError(f"{path} and {other.name} stand for the same rows; keep one of them.")
    if not found:
        raise FlixError(
            f"{folder} holds no file <split>/<name>{{{', '.join(READERS)}}}; splits: {', '.join(split_of)}."
        )
    return [
        Part(name, captured[name], {split: RowFile(path) for split, path in paths.items()}, held_back)
        for name, paths in sorted(found.items())
    ]


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
