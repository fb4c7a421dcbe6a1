"""Runs side by side, from their records here or in Weights & Biases, and the picture of two settings' difference."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.report.comparison import Record, by_setting
from flix_lightning.report.heatmap import difference_heatmap
from flix_lightning.training.record_form import read_record_file


def wandb_records(project: str, groups: Sequence[str] = (), api: Any = None) -> Iterator[Record]:
    """The record of every adapter that runs of `project` logged.

    Args:
        project: `entity/project`.
        groups: of runs; all when empty.
        api: `wandb.Api()`, made when not given.
    """
    if api is None:
        import wandb

        api = wandb.Api()
    for run in api.runs(project, filters={"group": {"$in": list(groups)}} if groups else {}):
        for artifact in run.logged_artifacts():
            if artifact.type == "adapter":
                with TemporaryDirectory() as folder:
                    file = artifact.get_entry("record.json").download(folder)
                    yield read_record_file(Path(file))


def draw(records: Sequence[Record], path: Path) -> None:
    """One setting minus the other, cell by cell; FLix first.

    Raises:
        FlixError: there are not two settings.
    """
    _, settings = by_setting(records)
    if len(settings) != 2:
        raise FlixError(f"picture: shows the difference of two settings; these runs have {len(settings)}.")
    (one, ours), (other, theirs) = sorted(settings.items(), key=lambda item: item[0][0] != "flix")
    names = [", ".join(map(str, setting)) for setting in (one, other)]
    difference_heatmap(ours, theirs, f"{names[0]} minus {names[1]}, test score", path)
