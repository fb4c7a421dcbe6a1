"""Where files of tokens are kept: a directory that runs share, or a temporary one."""

import errno
import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from filelock import FileLock

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole
from flix_lightning.data.tokens.encoding import Encoded
from flix_lightning.data.tokens.file import DamagedFile, TokenFile, write_token_file

AUTO = "auto"


@dataclass(frozen=True)
class Caching:
    """Where tokenised data is kept.

    Args:
        directory: shared between runs; `auto` is flix_lightning in $XDG_CACHE_HOME or ~/.cache; None keeps nothing
            after the run.
        required: refuse to run where the directory cannot be written, instead of using a temporary one.
    """

    directory: str | None = AUTO
    required: bool = False

    def path(self) -> Path | None:
        """The directory meant; None also for `auto` where the user has no home.

        Raises:
            FlixError: that, and a directory is required.
        """
        if self.directory != AUTO:
            return None if self.directory is None else Path(self.directory).expanduser()
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        if not cache.startswith("~"):
            return Path(cache) / "flix_lightning"
        if self.required:
            raise FlixError("data.cache.directory=auto: this user has no home directory; name another directory.")
        return None


class TokenStore:
    """Files of tokens by key: found, or made by the first process that asks while the others wait."""

    def __init__(self, caching: Caching) -> None:
        self.caching = caching
        self.keeps = True  # for other runs, what is made here

    def file(
        self, key: str, lasting: bool, rows: Callable[[], Iterable[tuple[Encoded, bool]]], largest_id: int
    ) -> TokenFile:
        """The file of `key`.

        Args:
            key: a file name; equal keys stand for equal rows.
            lasting: the key says all that decides the rows, so that other runs can use them.
            rows: makes them, each with whether it was cut.
            largest_id: no token is above it.

        Raises:
            FlixError: the directory cannot be written and is required, or the disk is full.
        """
        return self._kept(key, lasting, _whole, lambda path: write_token_file(path, rows(), largest_id))

    def number(self, key: str, lasting: bool, count: Callable[[], int]) -> int:
        """The number kept under `key`; see `file`."""
        return self._kept(key, lasting, _number, lambda path: write_whole(path, f"{count()}\n"))

    def _kept(self, key: str, lasting: bool, read: Callable[[Path], Any], write: Callable[[Path], None]) -> Any:
        """What `read` finds under `key`; it gives None until `write` has been called."""
        shared = self.caching.path() if lasting else None
        if shared is not None and (found := read(shared / key)) is not None:
            return found
        directory = shared if shared is not None and self.keeps and self._shared_is_writable else self._temporary
        path = directory / key
        try:
            with FileLock(f"{path}.lock"):
                if read(path) is None:
                    write(path)
                Path(f"{path}.lock").unlink(missing_ok=True)  # who waits for it finds the file
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise FlixError(
                f"no room for tokenised data in {directory}: {error.strerror}; free some, or set data.cache.directory."
            ) from error
        return read(path)

    @cached_property
    def _shared_is_writable(self) -> bool:
        """Whether the shared directory can be written; told once where it cannot."""
        directory = self.caching.path()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=directory):
                return True
        except OSError as error:
            told = f"data.cache.directory {str(directory)!r} cannot be written ({error.strerror})"
            if self.caching.required:
                raise FlixError(f"{told}; name another, or set data.cache.required=false.") from error
            warnings.warn(f"{told}: data is tokenised anew, into a temporary directory.", stacklevel=2)
            return False

    @cached_property
    def _temporary(self) -> Path:
        self._own = TemporaryDirectory(prefix="flix_lightning-")  # removed with this object
        return Path(self._own.name)


def _whole(path: Path) -> TokenFile | None:
    """The file, unless it is absent or damaged."""
    try:
        return TokenFile(path)
    except (OSError, DamagedFile):
        return None


def _number(path: Path) -> int | None:
    return int(path.read_text(encoding="utf8")) if path.is_file() else None
