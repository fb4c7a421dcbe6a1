"""Objects from config sections with a `_target_`, and the packages whose classes a config may name."""

from collections.abc import Collection, Mapping
from importlib import import_module
from inspect import signature
from typing import Any, get_type_hints

from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import fill, plain, without

OWN = ("flix_lightning", "lightning")  # packages whose classes any config may name

Trust = Collection[str] | None
COMPOSED: Trust = None  # the user wrote the config and may name any importable class


def construct(place: str, section: Mapping[str, Any], kind: type, trust: Trust, /, **known: Any):
    """The object that a section with a `_target_` names: a class, or a function with an annotated return type.

    A config that came with somebody's run may name classes of this project, of Lightning and of packages that the user
    trusts; nothing else is imported.

    Args:
        place: of the section in the config.
        kind: the class that the object must have.
        trust: packages named by the user; `COMPOSED` for a config that the user wrote.
        known: arguments that do not come from the config, for targets that take them.

    Raises:
        FlixError: a target that is not trusted, cannot be imported or gives something else, or arguments that it does
            not take.
    """
    path = check_target(place, section, trust)
    target = _imported(place, path)
    if not _gives(target, kind):
        raise FlixError(
            f"{place}._target_: {path!r} gives no {kind.__name__}; it must be a class of that kind, or a function "
            f"annotated with `-> {kind.__name__}`."
        )
    taken = signature(target).parameters
    arguments = plain(without(section, "_target_"))
    try:
        made = fill(place, target, arguments, **{name: value for name, value in known.items() if name in taken})
    except Exception as error:
        if isinstance(error, FlixError) or _of(path, OWN[:1]):
            raise
        raise FlixError(f"{place}: {path} refuses its arguments: {_in_a_line(error)}") from error
    if not isinstance(made, kind):
        raise FlixError(f"{place}._target_: {path!r} gave a {type(made).__name__}, which is not a {kind.__name__}.")
    return made


def check_target(place: str, section: Any, trust: Trust) -> str:
    """The target of a section, which may be imported.

    Raises:
        FlixError: it has none, or one that is not trusted.
    """
    if not isinstance(section, Mapping):
        raise FlixError(f"{place}: a mapping with a _target_; got {section!r}.")
    path = section.get("_target_")
    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")) or "." not in path:
        raise FlixError(f"{place}._target_: the dotted path of a class, as in package.module.Class; got {path!r}.")
    if trust is not COMPOSED and not _of(path, (*OWN, *trust)):
        raise FlixError(
            f"{place}._target_: {path!r} belongs to neither flix_lightning nor lightning. A config that comes "
            f"with a run may name it only if you trust that package: trust=[{path.partition('.')[0]}]."
        )
    return path


def packages(trust: str | Collection[str]) -> tuple[str, ...]:
    """The packages of a `trust` setting, one or several.

    Raises:
        FlixError: something that is not the name of a package.
    """
    names = tuple(trust) if isinstance(trust, Collection) and not isinstance(trust, str) else (trust,)
    for name in names:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise FlixError(f"trust: names of packages whose code may run, as in trust=[my_package]; got {name!r}.")
    return names


def _of(path: str, packages: Collection[str]) -> bool:
    return any(path.startswith(f"{package}.") for package in packages)


def _imported(place: str, path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # whatever a module of a user's does while it is imported
        raise FlixError(
            f"{place}._target_: {path!r} cannot be imported: {_in_a_line(error)} Its package must be installed, or its "
            "folder stand in PYTHONPATH."
        ) from error


def _gives(target: Any, kind: type) -> bool:
    """Whether calling `target` makes a `kind`: by its bases, or by its annotation if it is a function."""
    if isinstance(target, type):
        return issubclass(target, kind)
    if not callable(target):
        return False
    try:
        made = get_type_hints(target).get("return")
    except (NameError, TypeError):  # annotations that only a type checker can read
        return False
    return isinstance(made, type) and issubclass(made, kind)


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
