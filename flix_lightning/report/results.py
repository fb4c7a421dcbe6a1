"""The folder results/: records of finished runs, and the tables and pictures that are made from them."""

import json
from collections.abc import Sequence
from pathlib import Path

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import make_directory, plain_name, write_whole
from flix_lightning.report.comparison import Record, comparison
from flix_lightning.report.compositional import study_table
from flix_lightning.report.new_language import table as new_language_table
from flix_lightning.report.page import write_page
from flix_lightning.report.paper import TABLE_1
from flix_lightning.report.policies import FOLDER, policies_table

NEW_LANGUAGE = "new_language.json"  # two runs' records, and the change of their features
STUDY = "compositional.json"  # the records of `flix compositional`
BEGIN, END = "<!-- generated from results/: begin -->", "<!-- generated from results/: end -->"


def finished(run: Path) -> dict[Path, Record]:
    """Record by its path, of every finished run below a folder.

    Raises:
        FlixError: there is none.
    """
    found = sorted(run.rglob("record.json"))
    if not found:
        raise FlixError(f"no finished run lies in {str(run)!r}.")
    return {path: json.loads(path.read_text(encoding="utf8")) for path in found}


def collect(runs: Sequence[Path], results: Path) -> None:
    """Copy records to results/<mixture>/<experiment>-<hash>.json; a named experiment gets a folder of its own."""
    for run in runs:
        for path, record in finished(run).items():
            config = record["config"]
            mixture, name = config["mixture"]["name"], config["name"]
            chosen = mixture if name == f"{mixture}-{config['adapter']['name']}" else name
            folder = results / plain_name(f"{path}: name", chosen)
            make_directory(folder)
            write_whole(folder / f"{path.parent.parent.name}-{path.parent.name}.json", path.read_bytes())


def read(folder: Path) -> list[Record]:
    """The records of one mixture."""
    return [json.loads(path.read_text(encoding="utf8")) for path in sorted(folder.glob("*.json"))]


def every_record(results: Path) -> list[Record]:
    """The records of all runs in results/, whatever their mixture; empty without such a folder."""
    folders = [path for path in results.iterdir() if path.is_dir() and path.name != FOLDER] if results.is_dir() else []
    return [record for folder in sorted(folders) for record in read(folder)]


def block(table: str) -> str:
    """The text between the README's marks."""
    return f"{BEGIN}\n\n{table}\n{END}"


def fill_readme(path: Path, table: str) -> None:
    """Replace the block between the marks.

    Raises:
        FlixError: the marks are not there.
    """
    if not path.is_file():
        raise FlixError(f"readme: {str(path)!r} is no file; readme=null leaves it out.")
    text = path.read_text(encoding="utf8")
    if BEGIN not in text or END not in text:
        raise FlixError(f"{path}: the marks {BEGIN!r} and {END!r} are not both there.")
    head, rest = text.split(BEGIN, 1)
    path.write_text(head + block(table) + rest.split(END, 1)[1], encoding="utf8")


def regenerate(results: Path, readme: Path | None) -> None:
    """Write every table and picture of `results`, and the block of the README.

    Raises:
        FlixError: there are no records, or the README has no place for the table.
    """
    folders = [folder for folder in sorted(results.iterdir()) if folder.is_dir()] if results.is_dir() else []
    apart = {STUDY: study_table, NEW_LANGUAGE: new_language_table}
    apart = {results / name: make for name, make in apart.items() if (results / name).exists()}
    if not folders and not apart:
        raise FlixError(f"results: no records lie in {str(results)!r}.")
    for path, make in apart.items():
        path.with_suffix(".md").write_text(make(json.loads(path.read_text(encoding="utf8"))), encoding="utf8")
    records = {folder.name: read(folder) for folder in folders}
    if policies := records.pop(FOLDER, []):
        (results / f"{FOLDER}.md").write_text(policies_table(policies), encoding="utf8")
    for name, found in records.items():
        (results / f"{name}.md").write_text(comparison(found), encoding="utf8")
    if records:
        every = [record for found in records.values() for record in found]
        write_page(every, results)
        if readme is not None:
            fill_readme(readme, TABLE_1.table(every))
