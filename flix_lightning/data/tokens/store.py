"""Where files of tokens are kept: a directory that runs share, or a temporary one."""

import errno
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole
from flix_lightning.common.settings import Location, checked
from flix_lightning.data.tokens.encoding import Encoded
from flix_lightning.data.tokens.file import DamagedFile, TokenFile, write_token_file

AUTO = "auto"


@checked("data.cache")
@dataclass(frozen=True)
class Caching:
    """Where tokenised data is kept.

    Args:
        directory: shared between runs; `auto` is flix_lightning in the user's cache directory, $XDG_CACHE_HOME or
            ~/.cache on Linux; None keeps nothing after the run.
        required: refuse to run where the directory cannot be written, instead of using a temporary one.
    """

    directory: Location | None = AUTO
    required: bool = False

    def path(self) -> Path | None:
        """The directory meant.

        Raises:
            RuntimeError: it is below the home directory, and the user has none.
        """
        if self.directory is None:
            return None
        return user_cache_path("flix_lightning") if self.directory == AUTO else Path(self.directory).expanduser()


class TokenStore:
    """Files of tokens by key: read if they exist, else made by the first process that asks while the others wait."""

    def __init__(self, caching: Caching) -> None:
        self.caching = caching
        self.keeps = True  # for other runs, what is made here

    def file(
        self, key: str, lasting: bool, rows: Callable[[], Iterable[tuple[Encoded, bool]]], largest_id: int
    ) -> TokenFile:
        """The file of `key`.

        Args:
            key: a file name; equal keys stand for equal rows.
            lasting: the key determines the rows, so that other runs can use them.
            rows: makes them, each with whether it was cut.
            largest_id: no token is above it.

        Raises:
            FlixError: the directory cannot be written and is required, or the disk is full.
        """
        return self._kept(key, lasting, _whole, lambda path: write_token_file(path, rows(), largest_id))

    def number(self, key: str, lasting: bool, count: Callable[[], int]) -> int:
        """The number kept under `key`; see `file`."""
        return int(self._kept(key, lasting, _text, lambda path: write_whole(path, f"{count()}\n")))

    def text(self, key: str, make: Callable[[], str]) -> str:
        """The text kept under `key`, which determines it; see `file`."""
        return self._kept(key, True, _text, lambda path: write_whole(path, make()))

    def _kept(self, key: str, lasting: bool, read: Callable[[Path], Any], write: Callable[[Path], None]) -> Any:
        """What `read` finds under `key`; it gives None until `write` has been called."""
        shared = self._shared if lasting else None
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

    @property
    def shares(self) -> bool:
        """Whether files are kept for other runs."""
        return self._shared is not None

    @cached_property
    def _shared(self) -> Path | None:
        """The shared directory; None without one, with one warning."""
        try:
            return self.caching.path()
        except RuntimeError as error:
            self._do_without(f"data.cache.directory {self.caching.directory!r}: there is no home directory", error)
            return None

    @cached_property
    def _shared_is_writable(self) -> bool:
        """Whether the shared directory can be written; one warning if not."""
        try:
            self._shared.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self._shared):
                return True
        except OSError as error:
            message = f"data.cache.directory {str(self._shared)!r} cannot be written ({error.strerror})"
            self._do_without(message, error)
            return False

    def _do_without(self, message: str, error: Exception) -> None:
        if self.caching.required:
            raise FlixError(f"{message}; name another, or set data.cache.required=false.") from error
        warnings.warn(f"{message}: data is tokenised anew, into a temporary directory.", stacklevel=4)

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


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf8") if path.is_file() else None
