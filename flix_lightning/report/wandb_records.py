"""The records of runs that were logged to Weights & Biases."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flix_lightning.report.comparison import Record
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
