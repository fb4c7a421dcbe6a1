"""Settings: arguments that pydantic checks against their annotations; an error is one line with the place."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from inspect import Parameter, signature
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AllowInfNan, ConfigDict, Strict, StringConstraints, TypeAdapter, ValidationError
from typing_extensions import Doc

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.quoting import check_names
from flix_lightning.common.quoting import hint as hint_of_yaml

FAR = 1 << 31  # a limit of what can be counted here, not of what makes sense
Count = Annotated[int, Ge(1), Lt(FAR)]
Natural = Annotated[int, Ge(0), Lt(FAR)]
Seed = Annotated[int, Ge(0), Lt(1 << 32)]
Finite = Annotated[float, AllowInfNan(False)]
Positive = Annotated[float, AllowInfNan(False), Gt(0)]
NotNegative = Annotated[float, AllowInfNan(False), Ge(0)]
Probability = Annotated[float, Ge(0), Le(1)]
Text = Annotated[str, StringConstraints(min_length=1), Doc("text that is not empty")]
Location = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$"), Doc("a path")]  # of a file or folder

NOUNS = {NoneType: "null", int: "a whole number", float: "a number", bool: "true or false", str: "text"}
LIMITS = {"ge": "of at least", "gt": "above", "lt": "below", "le": "at most"}
CONTAINERS = (dict, list, tuple, Mapping, Sequence)

Target = TypeVar("Target", bound=Callable)


def checked(place: str) -> Callable[[Target], Target]:
    """A decorator for classes and functions: pydantic checks their arguments before they are called.

    Strict: "8" is not a number and true is not 1; but a whole number is a number, and a list becomes a tuple. What a
    config cannot hold, as models and benchmarks, is passed unchecked.

    Args:
        place: of the arguments in the config, for messages; empty at the top.

    Raises:
        FlixError: in the call, for an unknown or missing argument, or a value that its annotation does not allow.
    """

    def decorate(target: Target) -> Target:
        is_class = isinstance(target, type)
        function, wanted = target.__init__ if is_class else target, signature(target)

        @wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            own, in_order = args[:is_class], wanted.bind_partial(*args[is_class:]).arguments
            values = _values(place, target, {**in_order, **given})
            return function(*own, *(values[name] for name in in_order), **{name: values[name] for name in given})

        if not is_class:
            return call
        target.__init__ = call
        return target

    return decorate


def fill(place: str, target: Callable, section: Mapping[str, Any], /, **known: Any):
    """`target(**section, **known)`, the section checked as by `checked`; `target` may be any library's.

    Args:
        place: of the section in the config, for messages; empty at the top.
        target: a class or function whose annotations say what its arguments may be.
        section: from the config.
        known: arguments that do not come from the config.

    Raises:
        FlixError: a key that `target` does not take, one that it needs and is missing, or a value it does not allow.
    """
    section = check(place, Mapping, section)
    check_names(place, section)
    return target(**_values(place, target, section, known), **known)


def check(place: str, hint: Any, value: Any) -> Any:
    """The value, if the annotation `hint` allows it.

    Raises:
        FlixError: it does not.
    """
    hint = _checkable(hint)
    try:
        return _adapter(hint).validate_python(value)
    except ValidationError as error:
        deepest = max((found["loc"] for found in error.errors()), key=len)
    raise _refusal(place, hint, value, deepest)


def without(section: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The section less some of its keys."""
    return {key: value for key, value in section.items() if key not in keys}


def plain(value: Any) -> Any:
    """A config value as dicts, lists and what these hold: other libraries copy and write no mappings of our own."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return list(map(plain, value)) if isinstance(value, list | tuple) else value


def _values(place: str, target: Callable, given: Mapping[str, Any], known: Mapping[str, Any] = {}) -> dict[str, Any]:
    """The given arguments, checked."""
    before = f"{place}." if place else ""
    parameters = {name: p for name, p in signature(target).parameters.items() if name not in known}
    takes_more = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())  # as Lightning's loggers do
    parameters = {name: p for name, p in parameters.items() if p.kind is not Parameter.VAR_KEYWORD}
    for name in given:
        if name not in parameters and not takes_more:
            raise unknown("config key", f"{before}{name}", [f"{before}{known}" for known in parameters])
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given:
            raise FlixError(f"config key {before}{name} is missing.")
    hints = _hints(target)
    return {name: check(f"{before}{name}", hints.get(name, Any), value) for name, value in given.items()}


@cache
def _hints(target: Callable) -> dict[str, Any]:
    """Argument -> annotation; empty if annotations of another library cannot be resolved."""
    try:
        return get_type_hints(target.__init__ if isinstance(target, type) else target, include_extras=True)
    except (NameError, AttributeError, TypeError):
        return {}


@cache
def _adapter(hint: Any) -> TypeAdapter:
    return TypeAdapter(hint, config=ConfigDict(strict=True))


def _checkable(hint: Any) -> Any:
    """The annotation with `Any` in the place of what a config cannot hold, and lists allowed for tuples."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return Annotated[(_checkable(inner[0]), *hint.__metadata__)]
    if origin in (Union, UnionType):
        return Union[tuple(map(_checkable, inner))]  # noqa: UP007
    if origin is Literal or hint in NOUNS or hint is ...:
        return hint
    if (origin or hint) not in CONTAINERS:
        return Any
    kind = origin[tuple(map(_checkable, inner))] if inner else hint
    return Annotated[kind, Strict(False)] if (origin or hint) is tuple else kind


def _refusal(place: str, hint: Any, value: Any, loc: Sequence[int | str]) -> FlixError:
    """The error for a value, at the place inside it that pydantic reports.

    Args:
        loc: keys and indices, among them pydantic's names for the options of a union, which are skipped; ends in
            `[key]` where it is a key that is wrong.
    """
    wrong_key = loc[-1:] == ("[key]",)
    for part in loc[:-2] if wrong_key else loc:
        inside = _inside(hint, value)
        if inside and (isinstance(value, Mapping) and part in value or isinstance(part, int)):
            place, value, hint = f"{place}.{part}", value[part], inside[-1]
    if wrong_key:
        check_names(place, value)  # YAML read a name as something else
        hint = _inside(hint, value)[0]
        allowed = get_args(hint)
        value = next((key for key in value if (key not in allowed if allowed else not isinstance(key, str))), loc[-2])
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    choices = [choice for option in options if get_origin(option) is Literal for choice in get_args(option)]
    if choices and isinstance(value, str):
        return unknown(place, value, choices)
    kinds = [get_args(option)[0] if get_origin(option) is Annotated else option for option in options]
    unquoted = str in kinds or any((get_origin(kind) or kind) in (dict, Mapping) for kind in kinds)
    expected = describe(hint, value) + " as a key" * wrong_key
    return FlixError(f"{place}: expected {expected}; got {value!r}.{hint_of_yaml(value) if unquoted else ''}")


def _inside(hint: Any, value: Any) -> tuple[Any, ...]:
    """The annotations of what a list or mapping holds: (item,) or (key, value); () where there are none."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _inside(inner[0], value)
    if origin in (Union, UnionType):
        return next((found for option in inner if (found := _inside(option, value))), ())
    if origin in (dict, Mapping):
        return inner if isinstance(value, Mapping) else ()
    return inner[:1] if origin in (list, tuple, Sequence) and isinstance(value, list | tuple) else ()


def describe(hint: Any, value: Any) -> str:
    """What an annotation allows, in words, for the message about `value`."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        documented = [limit.documentation for limit in hint.__metadata__ if isinstance(limit, Doc)]
        return documented[0] if documented else _limited(describe(inner[0], value), hint.__metadata__, value)
    if origin in (Union, UnionType):
        return " or ".join(describe(option, value) for option in inner)
    if origin is Literal:
        return " or ".join(map(str, inner))
    if hint in NOUNS:
        return NOUNS[hint]
    if (origin or hint) in (dict, Mapping):
        return "a mapping of keys to values"
    return "a list of text" if inner[:1] == (str,) else "a list"


def _limited(noun: str, limits: Sequence[Any], value: Any) -> str:
    """A kind of number with its range, `a whole number of at least 1`; far limits where the value is beyond them."""
    if AllowInfNan(False) in limits:
        noun = noun.replace("a ", "a finite ", 1)
    bounds = {name: getattr(limit, name) for limit in limits for name in LIMITS if hasattr(limit, name)}
    if bounds.keys() == {"ge", "le"}:
        return f"{noun} in [{bounds['ge']}, {bounds['le']}]"
    ranges = []
    for name, bound in bounds.items():
        if bound < FAR:
            ranges.append(f"{LIMITS[name]} {bound}")
        elif isinstance(value, int | float) and value >= bound:
            ranges.append(f"{LIMITS[name]} 2^{bound.bit_length() - 1}")
    return f"{noun} {' and '.join(ranges)}".strip()
