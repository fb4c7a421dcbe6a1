"""`flix report`: runs side by side on the screen, or every table and picture of results/."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import fill


def report(
    runs: Sequence[str],
    wandb: str | None,
    group: Sequence[str],
    picture: str | None,
    collect: Sequence[str],
    policies: Sequence[str],
    new_language: Mapping[str, str | None],
    runs_dir: str,
    results: str,
    readme: str | None,
) -> None:
    """See conf/report.yaml."""
    if runs or wandb:
        compare(runs, runs_dir, wandb, group, picture)
        return

    from flix_lightning.report.policies import collect_policies
    from flix_lightning.report.results import collect as copy
    from flix_lightning.report.results import regenerate

    folder = Path(results)
    copy(list(map(Path, collect)), folder)
    collect_policies(list(map(Path, policies)), folder)
    if any(new_language.values()):
        gather_new_language(new_language, runs_dir, folder)
    regenerate(folder, Path(readme) if readme else None)


def compare(runs: Sequence[str], runs_dir: str, wandb: str | None, group: Sequence[str], picture: str | None) -> None:
    """Print the table of runs as Markdown, and draw the difference of two settings."""
    from flix_lightning.report.comparison import comparison
    from flix_lightning.report.heatmap import draw_difference
    from flix_lightning.report.results import finished
    from flix_lightning.report.wandb_records import wandb_records
    from flix_lightning.training.runs import find_run

    folders = [Path(run) if Path(run).is_dir() else find_run("runs", run, runs_dir) for run in runs]
    records = [record for folder in folders for record in finished(folder).values()]
    records += wandb_records(wandb, group) if wandb else []
    if not records:
        raise FlixError("no finished run was found.")
    print(comparison(records), end="")
    if picture:
        draw_difference(records, Path(picture))


def gather_new_language(named: Mapping[str, Any], runs_dir: str, results: Path) -> None:
    """Write the data of the table of an added language."""
    from flix_lightning.common.files import make_directory, write_whole
    from flix_lightning.evaluation.new_language import gather
    from flix_lightning.report.results import NEW_LANGUAGE
    from flix_lightning.training.runs import find_run

    if set(named) != {"joint", "extended", "base"} or not all(named.values()):
        raise FlixError("new_language: joint, extended and base: give all three.")
    found = gather(**{role: str(find_run(f"new_language.{role}", run, runs_dir)) for role, run in named.items()})
    make_directory(results)
    write_whole(results / NEW_LANGUAGE, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def task(config: DictConfig) -> None:
    fill("", report, resolved(config))


def main(words: Sequence[str]) -> None:
    texts = [f"new_language.{role}" for role in ("joint", "extended", "base")]
    start(task, "report", words, positional="runs", texts=texts)
