"""`python -m flix_lightning.report` makes every table, picture and README block from the records in results/.

`--collect runs/NAME ...` first copies finished runs' records there.
"""

import argparse
import json
import shutil
from pathlib import Path

from flix_lightning.command import command
from flix_lightning.errors import FlixError
from flix_lightning.report.comparison import Record, by_setting, comparison
from flix_lightning.report.heatmap import difference_heatmap

BEGIN, END = "<!-- generated from results/: begin -->", "<!-- generated from results/: end -->"


def collect(runs: list[Path], results: Path) -> None:
    """Copy records to results/<mixture>/<experiment>-<hash>.json; a named experiment gets a folder of its own."""
    for run in runs:
        found = sorted(run.rglob("record.json"))
        if not found:
            raise FlixError(f"--collect: no finished run lies in {str(run)!r}.")
        for path in found:
            config = json.loads(path.read_text(encoding="utf8"))["config"]
            mixture, name = config["mixture"]["name"], config["name"]
            folder = results / (mixture if name == f"{mixture}-{config['adapter']['name']}" else name)
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


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--collect", type=Path, nargs="+", default=[], help="run folders to take records from")
    args = parser.parse_args()
    collect(args.collect, args.results)
    folders = [folder for folder in sorted(args.results.iterdir()) if folder.is_dir()] if args.results.is_dir() else []
    if not folders:
        raise FlixError(f"--results: no records lie in {str(args.results)!r}.")
    for folder in folders:
        records = read(folder)
        table = comparison(records)
        (args.results / f"{folder.name}.md").write_text(table, encoding="utf8")
        keys, groups = by_setting(records)
        if len(keys) == 1 and {("flix",), ("lora",)} <= groups.keys():
            title = f"{folder.name} mixture: FLix minus compute-matched LoRA, test score"
            difference_heatmap(groups["flix",], groups["lora",], title, args.results / f"{folder.name}.png")
        if folder.name == "joint":
            fill_readme(args.readme, table)


if __name__ == "__main__":
    main()
