"""The error that users see: what is wrong, where, and what is allowed."""

from collections.abc import Iterable
from difflib import get_close_matches


class FlixError(Exception):
    """Invalid input from a user (config, data, checkpoint, environment), as one readable message."""


def unknown(what: str, value: object, allowed: Iterable[object]) -> FlixError:
    """An error for a `value` that is not one of `allowed`, with the nearest match first."""
    names = sorted(map(str, allowed))
    near = get_close_matches(str(value), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    shown = ", ".join(names[:40]) + (f", ... ({len(names)} in all)" if len(names) > 40 else "")
    return FlixError(f"unknown {what} {str(value)!r}{hint} Allowed: {shown or 'none'}.")
