"""The folder results/: records of finished runs, and the tables and pictures that are made from them."""

from collections.abc import Sequence
from pathlib import Path

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import make_directory, plain_name, write_whole
from flix_lightning.data.predictions import predictions_file
from flix_lightning.evaluation.compositional.records import read_records
from flix_lightning.report.comparison import Record, by_model, comparison
from flix_lightning.report.compositional import study_table
from flix_lightning.report.evidence import Evidence
from flix_lightning.report.new_language import read_found
from flix_lightning.report.new_language import table as new_language_table
from flix_lightning.report.page import main_table, write_page
from flix_lightning.report.policies import FOLDER, policies_table
from flix_lightning.report.when import NEW_LANGUAGE, write_when
from flix_lightning.training.record_form import read_record_file
from flix_lightning.training.results import RECORD

STUDY = "compositional.json"  # the records of `flix compositional`
BEGIN, END = "<!-- generated from results/: begin -->", "<!-- generated from results/: end -->"


def finished(run: Path) -> dict[Path, Record]:
    """Record by its path, of every finished run below a folder, or of the one file with scores that is named.

    Raises:
        FlixError: there is none, or one that is damaged or somebody else's.
    """
    if run.is_file():
        return {run: read_record_file(run)}
    found = sorted(run.rglob(RECORD))
    if not found:
        raise FlixError(f"no finished run lies in {str(run)!r}.")
    return {path: read_record_file(path) for path in found}


def collect(runs: Sequence[Path], results: Path) -> None:
    """Copy records to results/<mixture>/<experiment>-<hash>.json, with the predictions beside those that have them.

    A named experiment gets a folder of its own.
    """
    for run in runs:
        for path, record in finished(run).items():
            config = record["config"]
            mixture, name = config.get("mixture", {}).get("name"), config.get("name")
            chosen = mixture if name == f"{mixture}-{config['adapter']['name']}" else name
            folder = results / plain_name(f"{path}: name", chosen)
            make_directory(folder)
            copy = folder / f"{path.parent.parent.name}-{path.parent.name}.json"
            if predictions_file(path).is_file():
                write_whole(predictions_file(copy), predictions_file(path).read_bytes())
            write_whole(copy, path.read_bytes())


def read(folder: Path) -> dict[Path, Record]:
    """The records of one mixture, by path.

    Raises:
        FlixError: one is damaged or somebody else's.
    """
    return {path: read_record_file(path) for path in sorted(folder.glob("*.json"))}


def every_record(results: Path) -> list[Record]:
    """The records of all runs in results/, whatever their mixture; empty without such a folder."""
    folders = [path for path in results.iterdir() if path.is_dir() and path.name != FOLDER] if results.is_dir() else []
    return [record for folder in sorted(folders) for record in read(folder).values()]


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
    write_whole(path, head + block(table) + rest.split(END, 1)[1])


def regenerate(results: Path, readme: Path | None) -> None:
    """Write every table and picture of `results`, and the block of the README.

    Raises:
        FlixError: there are no records, or the README has no place for the table.
    """
    folders = [folder for folder in sorted(results.iterdir()) if folder.is_dir()] if results.is_dir() else []
    records = {folder.name: found for folder in folders if (found := read(folder))}
    apart = {
        STUDY: lambda path: study_table(read_records(path)),
        NEW_LANGUAGE: lambda path: new_language_table(read_found(path)),
    }
    apart = {results / name: make for name, make in apart.items() if (results / name).exists()}
    if not records and not apart:
        raise FlixError(f"results: no records lie in {str(results)!r}.")
    for path, make in apart.items():
        write_whole(path.with_suffix(".md"), make(path))
    if policies := records.pop(FOLDER, {}):
        write_whole(results / f"{FOLDER}.md", by_model(list(policies.values()), policies_table))
    for name, found in records.items():
        write_whole(results / f"{name}.md", by_model(list(found.values()), comparison))
    if records:
        evidence = Evidence({path: record for found in records.values() for path, record in found.items()})
        write_page(evidence, results)
        write_when(evidence, results)
        if readme is not None:
            table = main_table(evidence.records)
            fill_readme(readme, f"{table.regime.line}\n\n{table.table(evidence.records)}")
