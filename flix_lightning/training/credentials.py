"""Keys and tokens stay in the environment: a config that holds one is refused before anything is written."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flix_lightning.common.errors import FlixError

SECRET_NAME = re.compile(r"(^|_)(api_?key|key|token|secret|password|passwd|credentials?)$", re.IGNORECASE)
SHORTEST = 8  # characters of a value that can be a credential; shorter ones occur by chance


def refuse_credentials(config: Mapping[str, Any]) -> None:
    """
    Raises:
        FlixError: a key with the name of a credential has a value, or a value contains that of an environment variable
            with such a name. The message names places, never values.
    """
    known = {v: k for k, v in os.environ.items() if SECRET_NAME.search(k) and len(v) >= SHORTEST}
    for place, name, value in _leaves(config):
        if SECRET_NAME.search(name) and isinstance(value, str) and value:
            raise FlixError(
                f"{place}: records and logs keep the config, so credentials do not belong there; set the environment "
                "variable that the library reads (WANDB_API_KEY, HF_TOKEN, ...) and leave the key out."
            )
        for secret, variable in known.items():
            if secret in str(value):
                raise FlixError(f"{place}: holds the value of ${variable}, which records and logs would keep.")


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, str, Any]]:
    """(dotted place, own name, value) of all scalars."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{place}.{number}")
    else:
        yield place, place.rpartition(".")[2], value
