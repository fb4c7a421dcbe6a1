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


def two_settings(place: str, records: Sequence[Record]) -> dict[str, list[Record]]:
    """The name and the records, one a seed, of each of two settings; FLix first.

    Args:
        place: of what shows their difference, for messages.

    Raises:
        FlixError: there are not two.
    """
    _, settings = by_setting(records)
    if len(settings) != 2:
        raise FlixError(f"{place}: shows the difference of two settings; these runs have {len(settings)}.")
    in_order = sorted(settings.items(), key=lambda item: item[0][0] != "flix")
    return {", ".join(map(str, setting)): found for setting, found in in_order}


def draw(records: Sequence[Record], path: Path) -> None:
    """One setting minus the other, cell by cell.

    Raises:
        FlixError: there are not two settings.
    """
    (one, ours), (other, theirs) = two_settings("picture", records).items()
    difference_heatmap(ours, theirs, f"{one} minus {other}, test score", path)
