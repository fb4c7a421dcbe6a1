"""Fetches XTREME-UP: `python -m flix_lightning.commands.xtreme_up fetch DIR`; the same command continues."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from flix_lightning.commands.shell import command
from flix_lightning.data.benchmarks.xtreme_up.benchmark import ARCHIVE
from flix_lightning.data.benchmarks.xtreme_up.download import digest, download
from flix_lightning.data.benchmarks.xtreme_up.unpack import unpack

RELEASE, NER = "xtreme_up_v1.1", "MasakhaNER-X"
NER_ARCHIVE = "https://codeload.github.com/masakhane-io/masakhane-ner/tar.gz/5f6416439f1f308f7c35148559192f0670ca7333"


def fetch(url: str, archive: Path, sha256: str | None, under: str, folder: Path) -> str:
    """Download and unpack one archive unless its folder is there; returns a line on what was done."""
    if folder.exists():
        return f"{folder} is there already"
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(archive.name, total=None)
        checked = download(url, archive, sha256, lambda here, total: bars.update(bar, completed=here, total=total))
    files = unpack(archive, under, folder)
    told = f"{folder}: {files} files; the archive was checked against {checked}, SHA-256 {digest(archive, 'sha256')}"
    archive.unlink()
    return told


@command
def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m flix_lightning.commands.xtreme_up", description=__doc__)
    parser.add_argument("action", choices=["fetch"])
    parser.add_argument("folder", type=Path, help="gets xtreme_up_v1.1 and MasakhaNER-X")
    parser.add_argument("--archive", default=ARCHIVE, help="URL of the release (default: %(default)s)")
    parser.add_argument("--sha256", help="that its archive must have")
    parser.add_argument("--ner", default=NER_ARCHIVE, help="URL of the repository with MasakhaNER-X, as .tar.gz")
    parser.add_argument("--ner-sha256", help="that its archive must have")
    options = parser.parse_args(arguments)
    root, ner = options.folder / RELEASE, options.folder / NER
    print(fetch(options.archive, options.folder / f"{RELEASE}.tgz", options.sha256, RELEASE, root))
    print(fetch(options.ner, options.folder / f"{NER}.tgz", options.ner_sha256, f"*/xtreme-up/{NER}", ner))
    print(f"train with: benchmark=xtreme_up benchmark.root={root}")


if __name__ == "__main__":
    main()
