"""`python -m flix_lightning.commands.report` makes every table, picture and README block from the records in results/.

`--collect runs/NAME ...` first copies finished runs' records there, `--policies` the scores of policies for unseen
languages; `runs/NAME ...` alone, or `--wandb ENTITY/PROJECT`, shows the runs' table and writes nothing else.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from flix_lightning.commands.shell import command
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import plain_name
from flix_lightning.report.compare import draw, wandb_records
from flix_lightning.report.comparison import Record, comparison
from flix_lightning.report.compositional import study_table
from flix_lightning.report.page import write_page
from flix_lightning.report.paper import TABLE_1
from flix_lightning.report.policies import FOLDER, collect_policies, policies_table

STUDY = "compositional.json"  # the records of `compositional.py`
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
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / f"{path.parent.parent.name}-{path.parent.name}.json")


def read(folder: Path) -> list[Record]:
    """The records of one mixture."""
    return [json.loads(path.read_text(encoding="utf8")) for path in sorted(folder.glob("*.json"))]


def block(table: str) -> str:
    """What stands between the README's marks."""
    return f"{BEGIN}\n\n{table}\n{END}"


def fill_readme(path: Path, table: str) -> None:
    """Replace the block between the marks.

    Raises:
        FlixError: the marks are not there.
    """
    text = path.read_text(encoding="utf8")
    if BEGIN not in text or END not in text:
        raise FlixError(f"{path}: the marks {BEGIN!r} and {END!r} are not both there.")
    head, rest = text.split(BEGIN, 1)
    path.write_text(head + block(table) + rest.split(END, 1)[1], encoding="utf8")


def show(records: Sequence[Record], picture: Path | None) -> None:
    """Print the table of runs as Markdown, and draw the difference of two settings."""
    if not records:
        raise FlixError("no finished run was found.")
    print(comparison(records), end="")
    if picture:
        draw(records, picture)


def regenerate(results: Path, readme: Path) -> None:
    """Write every table and picture of `results`, and the block of the README."""
    folders = [folder for folder in sorted(results.iterdir()) if folder.is_dir()] if results.is_dir() else []
    if not folders:
        raise FlixError(f"--results: no records lie in {str(results)!r}.")
    records = {folder.name: read(folder) for folder in folders}
    if policies := records.pop(FOLDER, []):
        (results / f"{FOLDER}.md").write_text(policies_table(policies), encoding="utf8")
    for name, found in records.items():
        (results / f"{name}.md").write_text(comparison(found), encoding="utf8")
    write_page([record for found in records.values() for record in found], results)
    if (results / STUDY).exists():
        table = study_table(json.loads((results / STUDY).read_text(encoding="utf8")))
        (results / STUDY).with_suffix(".md").write_text(table, encoding="utf8")
    fill_readme(readme, TABLE_1.table([record for found in records.values() for record in found]))


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*", help="run folders to compare on the screen; nothing is written")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--collect", type=Path, nargs="+", default=[], help="run folders to take records from")
    parser.add_argument("--policies", type=Path, nargs="+", default=[], help="run folders to take evaluations from")
    parser.add_argument("--picture", type=Path, help="of two settings' difference, cell by cell")
    parser.add_argument("--wandb", metavar="ENTITY/PROJECT", help="compare runs of Weights & Biases")
    parser.add_argument("--group", nargs="+", default=[], help="of runs there; all of them by default")
    args = parser.parse_args()
    if args.runs or args.wandb:
        found = [record for run in args.runs for record in finished(run).values()]
        show([*found, *(wandb_records(args.wandb, args.group) if args.wandb else [])], args.picture)
    else:
        collect(args.collect, args.results)
        collect_policies(args.policies, args.results)
        regenerate(args.results, args.readme)


if __name__ == "__main__":
    main()
