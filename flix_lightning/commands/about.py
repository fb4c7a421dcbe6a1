"""What `flix COMMAND --help` prints: the command's config file with its comments, and the choices of every group."""

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import yaml

from flix_lightning.commands.folders import CONF

MACHINERY = ("defaults", "hydra")
OPTIONS = """\
options
  --config-dir DIR    a folder with choices of your own, by group: DIR/benchmark/mine.yaml is benchmark=mine
  --config-name NAME  another file than the command's own
  --multirun, -m      every combination of the values that are listed with commas
  --cfg job           show the composed config and stop"""


def about(name: str, line: str, folders: Sequence[Path] = ()) -> str:
    """The help of a command.

    Args:
        name, line: of the command, and what it does.
        folders: of the user's, with further choices.
    """
    text = (CONF / f"{name.replace(' ', '_')}.yaml").read_text(encoding="utf8")
    lines = text.splitlines()
    usage = list(takewhile(lambda line: line.startswith("#"), lines))
    body = "\n".join(lines[len(usage) :])
    parts = [f"flix {name}: {line}", "\n".join("  " + line.removeprefix("# ") for line in usage)]
    defaults = yaml.safe_load(body)["defaults"]
    groups = choices(defaults, folders)
    if groups:
        width = max(map(len, groups))
        parts.append("\n".join(["choices", *(f"  {group:{width}}  {names}" for group, names in groups.items())]))
    own = [without_machinery(body), *(defaults_of(*item) for item in chosen(defaults))]
    parts.append("settings\n" + "\n".join(f"  {line}".rstrip() for part in own for line in part.splitlines() if line))
    return "\n\n".join([*parts, OPTIONS] if groups else parts) + "\n"


def chosen(defaults: Sequence[str | dict]) -> list[tuple[str, str | None]]:
    """(group, choice) of a defaults list; None for a group without a default."""
    pairs = [next(iter(entry.items())) for entry in defaults if isinstance(entry, dict)]
    return [
        (group.removeprefix("optional "), choice or None)
        for group, choice in pairs
        if not group.startswith("override ")
    ]


def choices(defaults: Sequence[str | dict], folders: Sequence[Path]) -> dict[str, str]:
    """Group -> its choices, the default first."""
    listed = {}
    for group, default in chosen(defaults):
        names = sorted(
            path.relative_to(folder / group).with_suffix("").as_posix()
            for folder in (CONF, *folders)
            for path in (folder / group).rglob("*.yaml")
        )
        first = [f"{default} (default)"] if default else []
        listed[group] = ", ".join([*first, *(choice for choice in names if choice != default)])
    return listed


def defaults_of(group: str, choice: str | None) -> str:
    """The settings of a group's default choice, under the group's name."""
    if choice is None:
        return ""
    body = without_machinery((CONF / group / f"{choice}.yaml").read_text(encoding="utf8"))
    lines = [line for line in body.splitlines() if line.strip() and not line.startswith("#")]
    return "\n".join([f"{group}:", *(f"  {line}" for line in lines)])


def without_machinery(body: str) -> str:
    """A config file without what only Hydra reads."""
    kept, inside = [], False
    for line in body.splitlines():
        if re.match(r"\S", line):
            inside = line.partition(":")[0] in MACHINERY
        if not inside:
            kept.append(line)
    return "\n".join(kept)
