"""`python -m flix_lightning.report.compare runs/joint-flix runs/joint-lora --picture difference.png` compares runs.

The same from Weights & Biases: `... --wandb ENTITY/PROJECT --group joint-flix joint-lora`. Nothing in results/ changes.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flix_lightning.command import command
from flix_lightning.errors import FlixError
from flix_lightning.report.comparison import Record, by_setting, comparison
from flix_lightning.report.heatmap import difference_heatmap
from flix_lightning.report.runs import finished


def wandb_records(api: Any, project: str, groups: Sequence[str]) -> Iterator[Record]:
    """The record of every adapter that runs of `project` logged.

    Args:
        api: `wandb.Api()`.
        project: `entity/project`.
        groups: of runs; all when empty.
    """
    for run in api.runs(project, filters={"group": {"$in": list(groups)}} if groups else {}):
        for artifact in run.logged_artifacts():
            if artifact.type == "adapter":
                with TemporaryDirectory() as folder:
                    file = artifact.get_entry("record.json").download(folder)
                    yield json.loads(Path(file).read_text(encoding="utf8"))


def draw(records: Sequence[Record], path: Path) -> None:
    """The first setting of the table's order minus the second, cell by cell.

    Raises:
        FlixError: there are not two settings.
    """
    keys, settings = by_setting(records)
    if len(settings) != 2:
        raise FlixError(f"--picture: shows the difference of two settings; these runs have {len(settings)}.")
    (one, ours), (other, theirs) = sorted(settings.items(), key=lambda item: item[0] != ("flix",))
    names = [", ".join(map(str, setting)) for setting in (one, other)]
    difference_heatmap(ours, theirs, f"{names[0]} minus {names[1]}, test score", path)


@command
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*", help="folders of finished runs")
    parser.add_argument("--wandb", metavar="ENTITY/PROJECT", help="take the runs from Weights & Biases")
    parser.add_argument("--group", nargs="+", default=[], help="of runs there; all of them by default")
    parser.add_argument("--picture", type=Path, help="draw the difference of two settings, cell by cell")
    args = parser.parse_args()
    records = [record for run in args.runs for record in finished(run).values()]
    if args.wandb:
        import wandb

        records += wandb_records(wandb.Api(), args.wandb, args.group)
    if not records:
        raise FlixError("no finished runs: give run folders, or --wandb ENTITY/PROJECT.")
    print(comparison(records), end="")
    if args.picture:
        draw(records, args.picture)


if __name__ == "__main__":
    main()
