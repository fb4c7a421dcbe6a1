"""`flix runs`: the runs below a folder, the state of each, its scores, and what differs between their settings."""

import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import fill


def show(where: Sequence[str], runs_dir: str, json_file: str | None) -> None:
    """See conf/runs.yaml."""
    from flix_lightning.common.files import write_whole
    from flix_lightning.report.runs import print_runs, rows
    from flix_lightning.training.runs import look_at, runs_below

    folders = [Path(folder).expanduser() for folder in where or [runs_dir]]
    if missing := [str(folder) for folder in folders if not folder.is_dir()]:
        raise FlixError(f"where: {missing[0]!r} is no folder.")
    found = [look_at(run) for folder in folders for run in runs_below(folder)]
    if not found:
        raise FlixError(f"no run lies below {', '.join(map(repr, map(str, folders)))}.")
    listed = rows(found)
    print_runs(listed)
    if json_file:
        write_whole(Path(json_file), json.dumps(listed, indent=1, ensure_ascii=False) + "\n")


def task(config: DictConfig) -> None:
    plain = resolved(config)
    plain["json_file"] = plain.pop("json")
    fill("", show, plain)


def main(words: Sequence[str]) -> None:
    start(task, "runs", words, positional="where")
