"""Measure speed and memory against the peers: `python -m speed [--quick] [--parts ...] [--shapes ...]`.

Every part of every shape is one JSON record; parts that have one are not measured again. The table and the plot are
made from the records.
"""

import argparse
import json
from pathlib import Path

from flix_lightning.commands.shell import command
from flix_lightning.common.errors import unknown
from flix_lightning.common.files import write_whole
from speed.device import device, environment
from speed.parts import ON_TINY, PARTS
from speed.shapes import measured_on, shape_named
from speed.table import page, plot, read


def measure(results: Path, parts: list[str], shapes: list[str], rounds: int, quick: bool) -> None:
    """Measure what has no record yet, then write the table and the plot."""
    folder = results / "records"
    folder.mkdir(parents=True, exist_ok=True)
    kind = device().type
    for name in shapes:
        shape = shape_named(name)
        for part in parts:
            path = folder / f"{name}-{part}{'' if kind == 'cpu' else '-' + kind}.json"
            if part in ON_TINY and name != "tiny_bytes" or path.exists():
                continue
            about = {"shape": name, "part": part, "device": kind, "environment": environment(), "quick": quick}
            record = {**about, **PARTS[part](shape, rounds, quick)}
            write_whole(path, json.dumps(record, indent=1) + "\n")
            print(f"{name} {part}: {path}", flush=True)
    records = read(folder)
    write_whole(results / "speed.md", page(records))
    plot(records, results / "speed.png")


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--results", type=Path, default=Path("speed"))
    options.add_argument("--parts", nargs="+", default=list(PARTS))
    options.add_argument("--shapes", nargs="+", default=measured_on(device().type))
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--quick", action="store_true", help="the smallest settings: to see that it works")
    return options


@command
def main() -> None:
    args = parser().parse_args()
    for part in args.parts:
        if part not in PARTS:
            raise unknown("part", part, PARTS)
    measure(args.results, args.parts, args.shapes, args.rounds, args.quick)


if __name__ == "__main__":
    main()
