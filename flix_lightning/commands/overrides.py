"""What a person types after `key=`, made readable for Hydra, and `~` in what it composes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flix_lightning.common.errors import FlixError

TEXTS = ("prompt", "target")  # of a task: words, no paths
HOME = ("~/", f"~{os.sep}")


def quoted(arguments: Sequence[str]) -> list[str]:
    """The arguments, with quotes around values that Hydra's grammar refuses without: `~/x`, `a=b`, `ünï`, `p(1)`.

    Lists, mappings and what may be a sweep stay as they are.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    def readable(override: str) -> bool:
        try:
            OverridesParser.create().parse_override(override)
        except HydraException:
            return False
        return True

    def made_readable(argument: str) -> str:
        key, equals, value = argument.partition("=")
        if not equals or not value or set(value) & set('"[]{},') or key.startswith("-") or readable(argument):
            return argument
        whole = '{}="{}"'.format(key, value.replace("\\", "\\\\"))
        return whole if readable(whole) else argument

    return list(map(made_readable, arguments))


def with_home(value: Any, place: str = "") -> Any:
    """A config value in which every text that begins with `~/` begins with the user's home, wherever it stands; a
    task's words apart.

    Raises:
        FlixError: nobody knows where the home is.
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
