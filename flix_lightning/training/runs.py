"""Runs below a folder: found by folder, name or the beginning of a hash; the state of each."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.training.checkpoint_files import STEPS, damage, step_of
from flix_lightning.training.lock import is_locked
from flix_lightning.training.record_form import Config, checked_form, read_json
from flix_lightning.training.results import is_finished, read_record

FINISHED, RUNNING, STOPPED, DAMAGED = "finished", "running", "stopped", "damaged"
SHOWN = 8  # candidates that a message names


def runs_below(folder: Path) -> Iterator[Path]:
    """The run folders in `folder`, itself included, in order; nothing inside of a run is one."""
    for path, folders, files in os.walk(folder):
        folders.sort()
        if {"config.json", "overrides.txt"} <= set(files):
            folders.clear()
            yield Path(path)


def find_run(place: str, named: Any, runs_dir: str) -> Path:
    """The run that a user means.

    Args:
        place: of the setting, for messages.
        named: a run's folder, a folder that holds one run, or the beginning of a run's hash or of `<name>/<hash>`.
        runs_dir: where hashes are looked for.

    Raises:
        FlixError: no run is meant, or several.
    """
    if not isinstance(named, str) or not named:
        raise FlixError(f"{place}: a run's folder or the beginning of its hash; got {named!r}.")
    if not isinstance(runs_dir, str) or not runs_dir:
        raise FlixError(f"runs_dir: a path; got {runs_dir!r}.")
    folder, home = Path(named).expanduser(), Path(runs_dir).expanduser()
    if (folder / "config.json").is_file():
        return folder
    if folder.is_dir():
        found, what = list(runs_below(folder)), f"lie in {named!r}"
    else:
        found = [run for run in runs_below(home) if run.name.startswith(named) or _below(run, home).startswith(named)]
        what = f"below {runs_dir!r} begin with {named!r}"
    if len(found) == 1:
        return found[0]
    if found:
        raise FlixError(f"{place}: {len(found)} runs {what}: {_listed(found)}. Name one.")
    known = list(runs_below(home))
    hint = f"Below {runs_dir!r} lie {_listed(known)}." if known else "Give a run's folder, as runs/<name>/<hash>."
    raise FlixError(f"{place}: no run lies in {named!r}, and none below {runs_dir!r} begins with it. {hint}")


def _below(run: Path, home: Path) -> str:
    return run.relative_to(home).as_posix()


def _listed(runs: list[Path]) -> str:
    shown = ", ".join(map(str, runs[:SHOWN]))
    return shown + (f", ... ({len(runs)} in all)" if len(runs) > SHOWN else "")


@dataclass(frozen=True)
class Found:
    """A run as it lies on the disk.

    Args:
        folder: its own.
        state: `finished`, `running`, `stopped` or `damaged`.
        detail: the step of its last checkpoint, or what is damaged.
        config: of the run; None if it cannot be read.
        record: of a finished run.
        step: the last one saved.
    """

    folder: Path
    state: str
    detail: str
    config: dict[str, Any] | None
    record: dict[str, Any] | None
    step: int = 0


def look_at(folder: Path) -> Found:
    """The state of a run."""
    try:
        config = checked_form("config.json", "config of a run", Config, read_json(folder / "config.json"))
        record = read_record(folder) if is_finished(folder) else None
    except FlixError as error:
        return Found(folder, DAMAGED, str(error), None, None)
    if record is not None:
        return Found(folder, FINISHED, f"step {record.get('steps')}", config, record, record.get("steps", 0))
    saved = sorted((folder / "checkpoints").glob(STEPS), reverse=True)
    whole = next((path for path in saved if damage(path) is None), None)
    step = step_of(whole) if whole else 0
    if is_locked(folder):
        return Found(folder, RUNNING, f"after step {step}", config, None, step)
    if saved and whole is None:
        return Found(folder, DAMAGED, "no checkpoint is whole", config, None)
    return Found(folder, STOPPED, f"at step {step}", config, None, step)
