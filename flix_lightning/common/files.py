"""Files and folders written whole or not at all, and names that stay inside their folder."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flix_lightning.common.errors import FlixError

LONGEST = 60  # characters of a part of a name that grows with what a user asks for


def plain_name(place: str, name: Any) -> str:
    """The name, if a file can have it.

    Raises:
        FlixError: it is not text, or has a slash, a leading dot or an unprintable character.
    """
    if (
        not isinstance(name, str)
        or not name
        or name.startswith(".")
        or set(name) & set("/\\")
        or not name.isprintable()
    ):
        raise FlixError(f"{place}: a name for a folder or file, without slashes or a leading dot; got {name!r}.")
    return name


def escaped(text: str) -> str:
    """The text as a file's name or a part of one; characters that some file system refuses become `%..`."""
    plain = "".join(c if c.isprintable() and c not in '/\\%:*?"<>|' else quote(c, safe="") for c in text)
    return "%2E" + plain[1:] if plain.startswith(".") else plain


def shortened(name: str) -> str:
    """The name, or where it is longer than `LONGEST` its beginning with a digest of the whole."""
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def make_directory(path: Path) -> None:
    """Make a directory and its parents.

    Raises:
        FlixError: the file system refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FlixError(f"cannot make the directory {str(path)!r}: {error.strerror}.") from error


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; it is on the disk, under its name, when this returns.

    Raises:
        FlixError: the file system refuses (full, read-only); an existing file is then unchanged.
    """
    if not path.name:
        raise FlixError(f"{str(path)!r} names no file.")
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        try:
            partial.unlink(missing_ok=True)
        except OSError:
            pass  # a read-only file system
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = " What was saved before is whole; when there is room, the same command continues." if full else ""
        raise FlixError(f"cannot write {str(path)!r}: {error.strerror}.{hint}") from error


def _sync_folder(path: Path) -> None:
    try:
        folder = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folder
        return
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to fill, which then replaces `path`; an error leaves `path` unchanged.

    Raises:
        FlixError: something else lies at `path`.
    """
    if not path.name:
        raise FlixError(f"{str(path)!r} names no folder of its own.")
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        made = {file.name for file in partial.iterdir()}
        if path.exists() and not (path.is_dir() and made >= {file.name for file in path.iterdir()}):
            raise FlixError(f"{str(path)!r} exists and holds something else; choose another place.")
    except BaseException:
        shutil.rmtree(partial)
        raise
    shutil.rmtree(path, ignore_errors=True)
    partial.replace(path)
