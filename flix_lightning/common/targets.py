"""The object that a config section with a `_target_` names."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import fill, without


def construct(place: str, section: Mapping[str, Any], allowed: tuple[str, ...], kind: type, /, **known: Any):
    """The object that a section with a `_target_` names.

    A config, also one that came with somebody's run, makes objects of the project's own or of Lightning's, and calls
    nothing else.

    Args:
        place: of the section in the config.
        allowed: beginnings of the dotted paths that a target may have.
        kind: what the target has to give.
        known: arguments that do not come from the config.

    Raises:
        FlixError: a target that is not allowed or does not exist, or arguments it does not take.
    """
    if not isinstance(section, Mapping):
        raise FlixError(f"{place}: a mapping with a _target_; got {section!r}.")
    path = section.get("_target_", "")
    if not isinstance(path, str) or not path.startswith(allowed):
        raise unknown(f"{place}._target_", path, [f"{prefix}..." for prefix in allowed])
    module, _, name = path.rpartition(".")
    try:
        target = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise FlixError(f"{place}._target_: {path!r} does not exist: {error}") from error
    if not _gives(target, kind):
        raise FlixError(f"{place}._target_: {path!r} gives no {kind.__name__}.")
    return fill(place, target, without(section, "_target_"), **known)


def _gives(target: Any, kind: type) -> bool:
    """Whether calling `target` makes a `kind`: by its bases, or by its annotation if it is a function."""
    made = target if isinstance(target, type) else getattr(target, "__annotations__", {}).get("return")
    return isinstance(made, type) and issubclass(made, kind)
