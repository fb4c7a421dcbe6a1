"""The shell of a command: a user's error is one readable message and a non-zero exit, never a traceback."""

import sys
from collections.abc import Callable, Iterator
from functools import wraps

from omegaconf.errors import OmegaConfBaseException

from flix_lightning.errors import FlixError


def command(function: Callable) -> Callable:
    """Run `function` with users' errors told on standard error; exit code 1, or 130 when interrupted."""

    @wraps(function)
    def run(*args):
        try:
            return function(*args)
        except KeyboardInterrupt:
            print("interrupted; the same command continues the run", file=sys.stderr)
            sys.exit(130)
        except Exception as error:
            told = [e for e in causes(error) if isinstance(e, FlixError | OmegaConfBaseException)]
            if not told:
                raise
            print(f"error: {told[-1]}", file=sys.stderr)
            sys.exit(1)

    return run


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what caused it, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
