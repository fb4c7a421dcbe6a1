"""Rows of .jsonl, .tsv and .csv files, read strictly: errors name file, line and reason."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge, Lt

from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import checked

LONGEST_ROW = 1 << 20  # bytes; a longer row is a mistake in a file, never a prompt
BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")  # of UTF-8 and both kinds of UTF-16

Tolerance = Annotated[int, Ge(0), Lt(1 << 63)]  # malformed rows of a file
Fields = Mapping[str, Any]
Parse = Callable[[], Fields]  # raises FlixError with the reason where a row is malformed


class Row(NamedTuple):
    """A row and the line it starts at."""

    line: int
    fields: Fields


@dataclass(frozen=True)
class RowFile:
    """A file of rows.

    A .jsonl row is one JSON object. The first row of .tsv and .csv names the columns; .tsv has no quoting, .csv follows
    RFC 4180.

    Args:
        path: of a type in `READERS`.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def fingerprint(self) -> str:
        """From its path, size and modification time."""
        facts = self.path.stat()
        return f"{self.path.resolve()}/{facts.st_size}/{facts.st_mtime_ns}"

    def rows(self, left_out: "LeftOut") -> Iterator[Row]:
        """The rows of the file, in order.

        Args:
            left_out: what to do about malformed rows.

        Raises:
            FlixError: the file cannot be read, is no UTF-8 text, or holds no rows; or more malformed rows than are
                tolerated.
        """
        left_out.start(self)
        found = False
        try:
            for line, parse in READERS[self.path.suffix](self.path):
                found = True
                try:
                    fields = parse()
                except FlixError as error:
                    left_out.add(self, line, error)
                else:
                    yield Row(line, fields)
        except OSError as error:
            raise FlixError(f"{self} cannot be read: {error.strerror}.") from error
        if not found:
            raise FlixError(f"{self} holds no rows.")


@checked("benchmark")
class LeftOut:
    """Malformed rows: counted, and refused above a tolerance.

    Args:
        tolerance: malformed rows that a source, a file or a dataset's split, may have; they are left out and listed in
            `reasons`.
    """

    def __init__(self, tolerance: Tolerance) -> None:
        self.tolerance = tolerance
        self.reasons: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return sum(map(len, self.reasons.values()))

    def start(self, source: object) -> None:
        """Forget the malformed rows of an earlier reading."""
        self.reasons.pop(str(source), None)

    def add(self, source: object, line: int, error: FlixError) -> None:
        """Leave a row out and count it.

        Raises:
            FlixError: the source has more malformed rows than are tolerated.
        """
        found = self.reasons.setdefault(str(source), [])
        found.append(f"line {line}: {error}")
        if len(found) > self.tolerance:
            raise FlixError(
                f"{source}, line {line}: {error}"
                + (f" (benchmark.tolerance allows {self.tolerance} such rows a file)" if self.tolerance else "")
            )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number, bytes without the line's end); of a row that is too long, only the beginning."""
    with path.open("rb") as file:
        for number in count(1):
            line = file.readline(LONGEST_ROW + 2)
            if not line:
                return
            rest = line
            while len(rest) > LONGEST_ROW + 1 and not rest.endswith(b"\n"):
                rest = file.readline(LONGEST_ROW + 2)
            if number == 1 and line.startswith(BYTE_ORDER_MARKS):
                raise FlixError(f"{path}, line 1: begins with a byte-order mark; save the file as plain UTF-8.")
            yield number, line.removesuffix(b"\n")


def _unix_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    for number, line in _lines(path):
        if line.endswith(b"\r"):
            raise FlixError(f"{path}, line {number}: lines end in CRLF; save the file with LF line ends.")
        yield number, line


def _decoded(line: bytes) -> str:
    if len(line) > LONGEST_ROW:
        raise FlixError(f"the row is longer than {LONGEST_ROW:,} bytes.")
    try:
        return line.decode("utf8")
    except UnicodeDecodeError as error:
        raise FlixError(f"byte {error.start + 1} ({line[error.start]:#04x}) is no UTF-8.") from None


def _read_jsonl(path: Path) -> Iterator[tuple[int, Parse]]:
    return ((number, partial(_json_object, line)) for number, line in _unix_lines(path))


def _json_object(line: bytes) -> Fields:
    text = _decoded(line)
    if not text.strip():
        raise FlixError("the line is empty.")
    try:
        value = JSON.decode(text)
    except json.JSONDecodeError as error:
        raise FlixError(f"is no JSON: {error.msg}, column {error.colno}.") from None
    except RecursionError:
        raise FlixError("is nested too deeply.") from None
    except ValueError as error:
        raise FlixError(f"is no JSON: {error}.") from None
    if not isinstance(value, dict):
        raise FlixError(f"a row is a JSON object, {{...}}; got a {type(value).__name__}.")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(name for i, (name, _) in enumerate(pairs) if name in dict(pairs[:i]))
        raise FlixError(f"field {twice!r} is given twice.")
    return fields


def _no_constant(name: str) -> None:
    raise FlixError(f"is no JSON: {name} is no value.")


JSON = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_no_constant)


def _read_tsv(path: Path) -> Iterator[tuple[int, Parse]]:
    lines = _unix_lines(path)
    columns: tuple[str, ...] = ()
    for number, line in lines:
        if number == 1:
            columns = _header(path, _of_line(path, number, line).split("\t"))
        else:
            yield number, partial(_tsv_fields, columns, line)


def _tsv_fields(columns: tuple[str, ...], line: bytes) -> Fields:
    return _by_column(columns, _decoded(line).split("\t"))


def _read_csv(path: Path) -> Iterator[tuple[int, Parse]]:
    csv.field_size_limit(max(LONGEST_ROW, csv.field_size_limit()))  # the library's own is 131,072 characters
    reader = csv.reader((_of_line(path, *line) + "\n" for line in _lines(path)), strict=True)
    columns: tuple[str, ...] = ()
    first = 1
    try:
        for values in reader:
            if columns:
                yield first, partial(_by_column, columns, values)
            else:
                columns = _header(path, values)
            first = reader.line_num + 1
    except csv.Error as error:
        raise FlixError(f"{path}, line {reader.line_num}: is no CSV: {error}.") from None


def _of_line(path: Path, number: int, line: bytes) -> str:
    """The text of a line without which the rest of its file cannot be read."""
    try:
        return _decoded(line)
    except FlixError as error:
        raise FlixError(f"{path}, line {number}: {error}") from None


def _header(path: Path, columns: list[str]) -> tuple[str, ...]:
    if not all(columns) or len(set(columns)) < len(columns):
        raise FlixError(f"{path}, line 1: names the columns, each once and none empty; got {columns}.")
    return tuple(columns)


def _by_column(columns: tuple[str, ...], values: list[str]) -> Fields:
    if len(values) != len(columns):
        raise FlixError(f"{len(values)} values for {len(columns)} columns ({', '.join(columns)}).")
    return dict(zip(columns, values))


READERS = {".jsonl": _read_jsonl, ".tsv": _read_tsv, ".csv": _read_csv}
