"""`~` in command lines and configs: the home directory."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flix_lightning.common.errors import FlixError

TEXTS = ("prompt", "target")  # of a task: words, no paths
HOME = ("~/", f"~{os.sep}")


def with_home(value: Any, place: str = "") -> Any:
    """A config value with `~/` at the start of every text replaced by the user's home, except in task templates.

    Raises:
        FlixError: the home directory is unknown.
    """
    if isinstance(value, Mapping):
        return {key: with_home(inner, f"{place}.{key}" if place else str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_home(inner, place) for inner in value]
    if not isinstance(value, str) or not value.startswith(HOME) or place.rpartition(".")[2] in TEXTS:
        return value
    try:
        return str(Path(value).expanduser())
    except RuntimeError as error:
        raise FlixError(f"{place}: {value!r}: no home directory is known here; write the whole path.") from error
