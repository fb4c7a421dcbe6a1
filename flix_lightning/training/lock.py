"""One process at a time trains in a run's directory."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import filelock

from flix_lightning.common.errors import FlixError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

HELD = (errno.EACCES, errno.EAGAIN)
LOCK = "lock"


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keep other processes out of `run`; the lock ends with this process, however that ends.

    POSIX's record lock: data loaders may outlive a killed run for seconds, and would inherit filelock's lock but not
    this one; on Windows they inherit neither. On a file system without locks the run goes on unprotected.

    Raises:
        FlixError: another process holds it.
    """
    if fcntl is None:
        with _windows_lock(run):
            yield
        return
    with (run / LOCK).open("w") as file:
        if not _taken(file, fcntl.LOCK_EX):
            raise _held(run)
        yield


def is_locked(run: Path) -> bool:
    """Whether another process trains in `run`."""
    path = run / LOCK
    if not path.exists():
        return False
    if fcntl is None:
        try:
            with _windows_lock(run):
                return False
        except FlixError:
            return True
    with path.open("rb") as file:
        return not _taken(file, fcntl.LOCK_SH)


def _taken(file: IO, how: int) -> bool:
    """Whether the lock could be taken, or the file system has no locks."""
    try:
        fcntl.lockf(file, how | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in HELD
    return True


@contextmanager
def _windows_lock(run: Path) -> Iterator[None]:
    lock = filelock.FileLock(run / LOCK, blocking=False)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise _held(run) from error
    try:
        yield
    finally:
        lock.release()


def _held(run: Path) -> FlixError:
    return FlixError(
        f"{str(run)!r}: another process is training this run. Wait for it or stop it; the same command then continues "
        "the run or shows its result."
    )
