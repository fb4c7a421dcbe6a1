"""`flix data fetch_xtreme_up`: download XTREME-UP; the same command continues."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.settings import fill

RELEASE, NER = "xtreme_up_v1.1", "MasakhaNER-X"
NER_ARCHIVE = "https://codeload.github.com/masakhane-io/masakhane-ner/tar.gz/5f6416439f1f308f7c35148559192f0670ca7333"


def fetch(url: str, archive: Path, sha256: str | None, under: str, folder: Path) -> str:
    """Download and unpack one archive unless its folder is there; returns a line on what was done."""
    if folder.exists():
        return f"{folder} is there already"

    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from flix_lightning.data.benchmarks.xtreme_up.download import digest, download
    from flix_lightning.data.benchmarks.xtreme_up.unpack import unpack

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(archive.name, total=None)
        checked = download(url, archive, sha256, lambda here, total: bars.update(bar, completed=here, total=total))
    files = unpack(archive, under, folder)
    line = f"{folder}: {files} files; the archive was checked against {checked}, SHA-256 {digest(archive, 'sha256')}"
    archive.unlink()
    return line


def fetch_both(
    folder: str,
    archive: str | None = None,
    sha256: str | None = None,
    ner: str | None = None,
    ner_sha256: str | None = None,
) -> None:
    """Fetch the release and MasakhaNER-X into `folder`."""
    from flix_lightning.data.benchmarks.xtreme_up.benchmark import ARCHIVE

    home = Path(folder)
    root, entities = home / RELEASE, home / NER
    print(fetch(archive or ARCHIVE, home / f"{RELEASE}.tgz", sha256, RELEASE, root))
    print(fetch(ner or NER_ARCHIVE, home / f"{NER}.tgz", ner_sha256, f"*/xtreme-up/{NER}", entities))
    print(f"train with: benchmark=xtreme_up benchmark.root={root}")


def task(config: DictConfig) -> None:
    fill("", fetch_both, resolved(config))


def main(words: Sequence[str]) -> None:
    start(task, "data fetch_xtreme_up", words, positional="folder", texts=["folder", "sha256", "ner_sha256"])
