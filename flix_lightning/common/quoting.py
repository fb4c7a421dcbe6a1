"""Words that YAML reads as another type: `no`, the code of Norwegian, is false unless it is quoted."""

from collections.abc import Mapping
from typing import Any

from flix_lightning.common.errors import FlixError

READ = {  # value -> how it is written, words that YAML reads so, one of them quoted
    False: ("false", "no, n, off and false", "'no'"),
    True: ("true", "yes, y, on and true", "'yes'"),
    None: ("null", "null, ~ and nothing at all", "'null'"),
}


def check_names(place: str, value: Any) -> None:
    """Refuse keys, and items of lists, that are true, false or null: all of them are meant as names.

    Args:
        place: of the value in the config; empty at the top.

    Raises:
        FlixError: the first of them, with its place.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if _odd(key):
                raise FlixError(f"{place or 'config'}: a key is {READ[key][0]}, which is no text.{hint(key)}")
            check_names(f"{place}.{key}" if place else str(key), inner)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            if _odd(inner):
                raise FlixError(f"{place}: item {number + 1} is {READ[inner][0]}, which is no text.{hint(inner)}")
            check_names(f"{place}.{number}", inner)


def hint(value: Any) -> str:
    """What may have gone wrong where text was expected and `value` was read, or is in the mapping."""
    for inner in value.values() if isinstance(value, Mapping) else (value,):
        if _odd(inner):
            return f" YAML reads {READ[inner][1]} as {READ[inner][0]}; quote what is a name: {READ[inner][2]}."
    return ""


def _odd(value: Any) -> bool:
    return value is None or isinstance(value, bool)
