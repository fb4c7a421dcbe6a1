"""The shell of a command: a user's error is one readable message and a non-zero exit, never a traceback."""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from typing import Any, Self

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import KeyValidationError, OmegaConfBaseException

from flix_lightning.commands.home import with_home
from flix_lightning.common.console import tolerate
from flix_lightning.common.errors import FlixError
from flix_lightning.common.quoting import check_names, hint

TRACEBACK = "FLIX_TRACEBACK"  # environment variable: 1 shows where an error was raised
FULL_OR_CLOSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)
NO_PLACE = (errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
NO_MEMORY = "DefaultCPUAllocator: can't allocate memory"  # what torch says, as a RuntimeError, where a CPU has no more


def command(function: Callable) -> Callable:
    """Run `function` with user errors printed on standard error; exit code 1, or 130 when interrupted.

    Lightning ends an interrupted run with an exit of its own, whose cause is the interrupt. Any other error is a bug
    and keeps its traceback.
    """

    @wraps(function)
    def run(*args):
        tolerate()
        try:
            return function(*args)
        except (KeyboardInterrupt, SystemExit) as error:
            if not any(isinstance(cause, KeyboardInterrupt) for cause in causes(error)):
                raise
            print("interrupted; the same command continues the run", file=sys.stderr)
            sys.exit(130)
        except Exception as error:
            shown = message(error)
            if shown is None or os.environ.get(TRACEBACK) == "1":
                raise
            print(f"error: {shown}\n({TRACEBACK}=1 shows where.)", file=sys.stderr)
            sys.exit(1)

    return run


def message(error: BaseException) -> str | None:
    """The message for the user; None for a bug."""
    chain = list(causes(error))
    for cause in reversed(chain):
        if isinstance(cause, FlixError):
            return str(cause)
    for cause in reversed(chain):
        if isinstance(cause, OmegaConfBaseException):
            return " ".join(str(cause).split()) + (hint(None) if isinstance(cause, KeyValidationError) else "")
        if isinstance(cause, OSError) and cause.errno in FULL_OR_CLOSED + NO_PLACE:
            return f"{cause.filename or 'the disk'}: {cause.strerror}."
        if type(cause).__module__.startswith("wandb.errors"):
            words = " ".join(str(cause).split())
            return f"logger: W&B says: {words} `wandb login`, WANDB_API_KEY or logger.wandb.offline=true may help."
        if type(cause).__name__ == "MisconfigurationException":  # Lightning's, as of callbacks that need a logger
            return f"trainer: {' '.join(str(cause).split())}"
        if type(cause).__name__ in ("MemoryError", "OutOfMemoryError") or NO_MEMORY in str(cause):
            lines = str(cause).splitlines() or ["out of memory."]
            return (
                f"{lines[0]} A smaller data.micro_batch_size, data.eval_batch_size or rank, or "
                "trainer.gradient_checkpointing=true needs less."
            )
    return None


def resolved(config: DictConfig) -> dict[str, Any]:
    """The plain config with all references resolved.

    Raises:
        FlixError: missing keys; names that YAML has read as true, false or null.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise FlixError(f"these keys must be given: {', '.join(missing)}.")
    plain = OmegaConf.to_container(config, resolve=True)
    check_names("", plain)
    return Section.of(with_home(plain))


class Section(dict):
    """A part of a config; a missing key is an error with its place.

    Args:
        place: of the part in the config.
    """

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        super().__init__(values)
        self.place = place

    @classmethod
    def of(cls, values: Mapping[str, Any], place: str = "") -> Self:
        """The mapping and all mappings in it."""
        inner = {k: cls.of(v, f"{place}{k}.") if isinstance(v, Mapping) else v for k, v in values.items()}
        return cls(inner, place)

    def __missing__(self, key: str) -> None:
        raise FlixError(f"config key {self.place}{key} is missing.")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what caused it, outermost first; `raise ... from None` ends the chain."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
