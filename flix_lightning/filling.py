"""Fill a constructor from a config section, with keys and values checked against its signature."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from flix_lightning.errors import FlixError, unknown
from flix_lightning.quoting import check_names, hint


def fill(place: str, target: Callable, section: Mapping[str, Any], /, **known: Any):
    """`target(**section, **known)`.

    Args:
        place: of the section in the config, for messages; empty at the top.
        target: a class or function whose annotations say what its arguments may be.
        section: from the config; lists are passed as tuples.
        known: arguments that do not come from the config.

    Raises:
        FlixError: a key that `target` does not take, one that it needs and is missing, or a value of another type.
    """
    if not isinstance(section, Mapping):
        raise FlixError(f"{place}: a mapping of keys to values; got {section!r}.")
    check_names(place, section)
    before = f"{place}." if place else ""
    parameters = {name: p for name, p in signature(target).parameters.items() if name not in known}
    takes_more = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())  # as Lightning's loggers do
    parameters = {name: p for name, p in parameters.items() if p.kind is not Parameter.VAR_KEYWORD}
    hints = _hints(target)
    for key, value in section.items():
        if key not in parameters and not takes_more:
            raise unknown("config key", f"{before}{key}", [f"{before}{name}" for name in parameters])
        if not fits(value, hints.get(key, Any)):
            kind = describe(hints[key])
            told = hint(value) if "text" in kind or "mapping" in kind else ""
            raise FlixError(f"{before}{key}: got {value!r}, which is no {kind}.{told}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in section:
            raise FlixError(f"config key {before}{name} is missing.")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in section.items()}
    return target(**values, **known)


def _hints(target: Callable) -> dict[str, Any]:
    """Argument -> annotation; none where another library's annotations name what it does not import."""
    try:
        return get_type_hints(target.__init__ if isinstance(target, type) else target)
    except NameError:
        return {}


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain config value can stand for an argument annotated with `hint`; other annotations let all pass."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in inner)
    if origin is Literal:
        return isinstance(value, str)  # the constructor itself names the allowed ones
    if hint in (int, float, bool, str, NoneType):
        accepted = (int, float) if hint is float else hint
        return isinstance(value, accepted) and (hint is bool or not isinstance(value, bool))
    kind = origin or hint
    if not isinstance(kind, type):
        return True
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping) and all(fits(v, inner[1]) for v in value.values() if len(inner) == 2)
    if kind in (list, tuple) or kind.__name__ == "Sequence":
        return isinstance(value, list | tuple) and all(fits(v, inner[0]) for v in value if inner)
    return True


def describe(hint: Any) -> str:
    """A type as a user reads it."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(describe(option) for option in inner)
    names = {NoneType: "null", int: "whole number", float: "number", bool: "true or false", str: "text"}
    if hint in names:
        return names[hint]
    return "mapping" if isinstance(origin or hint, type) and issubclass(origin or hint, Mapping) else "list"
