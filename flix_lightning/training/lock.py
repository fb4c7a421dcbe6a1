"""One process at a time trains in a run's directory."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flix_lightning.common.errors import FlixError

HELD = (errno.EACCES, errno.EAGAIN)


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keep other processes out of `run`; the lock ends with this process, however that ends.

    POSIX's record lock, for a killed run's data loaders may outlive it for seconds and do not inherit this one. A file
    system that knows no locks protects nothing, and the run goes on.

    Raises:
        FlixError: another process holds it.
    """
    with (run / "lock").open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                raise FlixError(
                    f"{str(run)!r}: another process is training this run. Wait for it or stop it; the same command "
                    "then continues the run or shows its result."
                ) from error
        yield
