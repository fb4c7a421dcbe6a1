"""More steps for a finished run: its own config with another length, and nothing else changed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.training.results import is_finished, read_record
from flix_lightning.training.run_directory import INCIDENTAL, decisive, only_watches, read_config

# May differ from the run that is continued, as may keys that change no result.
FREE = ("trainer.max_steps", "optimizer.decay", "optimizer.warmup_steps", "name", "continue_from")


def continued(config: Mapping[str, Any], typed: Sequence[str]) -> dict[str, Any]:
    """The config of the run named in `continue_from`, with the user's overrides and this machine's settings.

    Args:
        config: composed from the command line.
        typed: its overrides.

    Raises:
        FlixError: no finished run lies there, it has as many steps already, or keys other than its length would change.
    """
    if not isinstance(config["continue_from"], str):
        raise FlixError(f"continue_from: the directory of a finished run, or null; got {config['continue_from']!r}.")
    parent = Path(config["continue_from"])
    before = read_config(parent)
    keys = [override.lstrip("+~").partition("=")[0].partition("@")[0] for override in typed]
    whole = "experiment" in keys  # it sets keys anywhere
    merged = json.loads(json.dumps(config if whole else before))
    for key in [] if whole else [*INCIDENTAL, "continue_from", *(key for key in keys if not key.startswith("hydra"))]:
        _take(key.split("."), config, merged)
    watching = {name: section for name, section in config.get("callbacks", {}).items() if only_watches(section)}
    merged["callbacks"] = {**merged.get("callbacks", {}), **watching}
    _check_same(before, merged, parent)
    _check_longer(merged, parent)
    return merged


def _take(path: Sequence[str], source: Mapping[str, Any], into: dict[str, Any]) -> None:
    """Set the value at `path` to that of `source`, or remove it where it has none."""
    *sections, last = path
    for section in sections:
        source = source.get(section) or {}
        if not isinstance(into.get(section), dict):
            into[section] = {}
        into = into[section]
    if last in source:
        into[last] = source[last]
    else:
        into.pop(last, None)


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{place}.{key}" if place else key)
    else:
        yield place, value


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], parent: Path) -> None:
    old, new = ({k: v for k, v in _leaves(decisive(c)) if k not in FREE} for c in (before, now))
    for key in dict.fromkeys((*old, *new)):
        if old.get(key) != new.get(key):
            raise FlixError(
                f"continue_from: {key} is {old.get(key)!r} in {str(parent)!r} and {new.get(key)!r} here; only "
                "trainer.max_steps, optimizer.decay, optimizer.warmup_steps and what changes no result may differ."
            )


def _check_longer(now: Mapping[str, Any], parent: Path) -> None:
    if not is_finished(parent):
        raise FlixError(f"continue_from: {str(parent)!r} is not finished; the command that began it continues it.")
    done, steps = read_record(parent)["steps"], now["trainer"]["max_steps"]
    if isinstance(steps, int) and steps <= done:
        raise FlixError(f"trainer.max_steps: more than the {done} steps of {str(parent)!r}; got {steps}.")
