"""`flix report`: runs side by side on the screen, or every table and picture of results/."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Count, Finite, Location, Text, fill

if TYPE_CHECKING:
    from flix_lightning.data.cells import Cell
    from flix_lightning.report.comparison import Record
    from flix_lightning.report.side_by_side import Row


def report(
    runs: Sequence[str],
    wandb: str | None,
    group: Sequence[str],
    bound: Finite | None,
    picture: Location | None,
    errors: Text | None,
    rows: Count,
    prompts: bool,
    markdown: Location | None,
    trust: Sequence[str],
    collect: Sequence[str],
    policies: Sequence[str],
    new_language: Mapping[str, str | None],
    runs_dir: str,
    results: str,
    readme: str | None,
) -> None:
    """See conf/report.yaml."""
    if errors:
        show_errors(runs, runs_dir, errors, rows, prompts, markdown, trust)
        return
    if runs or wandb:
        compare(runs, runs_dir, wandb, group, picture)
        if bound is not None:
            compare_paired(runs, runs_dir, bound)
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
    from flix_lightning.report.wandb_records import wandb_records

    records = list(named(runs, runs_dir).values())
    records += wandb_records(wandb, group) if wandb else []
    if not records:
        raise FlixError("no finished run was found.")
    print(comparison(records), end="")
    if picture:
        draw_difference(records, Path(picture))


def named(runs: Sequence[str], runs_dir: str) -> "dict[Path, Record]":
    """The records that a user means by `runs`, by their files."""
    from flix_lightning.report.results import finished
    from flix_lightning.training.runs import find_run

    places = [Path(run) if Path(run).exists() else find_run("runs", run, runs_dir) for run in runs]
    return {path: record for place in places for path, record in finished(place).items()}


def compare_paired(runs: Sequence[str], runs_dir: str, bound: float) -> None:
    """Print two settings' difference in every column, paired by seed, cell and row, as Markdown."""
    from flix_lightning.data.predictions import read_predictions
    from flix_lightning.report.comparison import two_settings
    from flix_lightning.report.paired_table import paired_table
    from flix_lightning.report.side_by_side import by_cell

    found = named(runs, runs_dir)
    (one, ours), (other, theirs) = two_settings("bound", list(found.values())).items()
    files = {id(record): path for path, record in found.items()}
    sides = [
        {record["config"]["seed"]: by_cell(read_predictions(files[id(record)])) for record in records}
        for records in (ours, theirs)
    ]
    print(f"\n{one} minus {other}:\n\n{paired_table(*sides, ours[0]['cells'], bound)}", end="")


def show_errors(
    runs: Sequence[str],
    runs_dir: str,
    chosen: str,
    most: int,
    with_prompts: bool,
    markdown: str | None,
    trust: Sequence[str],
) -> None:
    """Print errors of one run or of two side by side, and write them as Markdown.

    Raises:
        FlixError: not one or two runs are named, or there is nothing to show them from.
    """
    from flix_lightning.common.files import write_whole
    from flix_lightning.data.predictions import read_predictions
    from flix_lightning.report.errors import Errors, errors_markdown, print_errors
    from flix_lightning.report.side_by_side import by_cell, rows_of

    found = named(runs, runs_dir)
    if len(found) not in (1, 2):
        raise FlixError(f"errors: shown of one run, or of two side by side; runs names {len(found)}.")
    rows = rows_of([by_cell(read_predictions(path)) for path in found], chosen)
    asked = read_prompts(next(iter(found.values())), rows, trust) if with_prompts else {}
    errors = Errors([str(path) for path in found], rows, most, asked)
    print_errors(errors)
    if markdown:
        write_whole(Path(markdown), errors_markdown(errors))


def read_prompts(record: "Record", rows: "Sequence[Row]", trust: Sequence[str]) -> "dict[tuple[Cell, int], str]":
    """(cell, number) -> prompt, from the benchmark that was scored.

    Raises:
        FlixError: its rows have changed since.
    """
    from flix_lightning.common.targets import packages
    from flix_lightning.data.benchmarks.benchmark import load_benchmark

    benchmark = load_benchmark(record.get("source") or record["config"]["benchmark"], packages(trust))
    examples = {cell: benchmark.examples(cell, record["split"]) for cell in dict.fromkeys(row.cell for row in rows)}
    for row in rows:
        own = examples[row.cell]
        if row.number >= len(own) or own[row.number].target.strip() != row.target:
            raise FlixError(f"prompts: row {row.number} of {row.cell} is another one today than when it was scored.")
    return {(row.cell, row.number): examples[row.cell][row.number].prompt for row in rows}


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
    texts += ["errors", "markdown", "picture"]
    start(task, "report", words, positional="runs", texts=texts)
