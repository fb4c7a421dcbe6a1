"""The shell of a command: a user's error is one readable message and a non-zero exit, never a traceback."""

import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from omegaconf import DictConfig, OmegaConf
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


def resolved(config: DictConfig) -> dict[str, Any]:
    """The plain config with every reference followed.

    Raises:
        FlixError: keys that must be given and are not.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise FlixError(f"these keys must be given: {', '.join(missing)}.")
    return OmegaConf.to_container(config, resolve=True)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what caused it, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
