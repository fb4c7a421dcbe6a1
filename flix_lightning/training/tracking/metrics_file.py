"""`metrics.csv` of a run: one row for each logged step; a continued run continues it."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from flix_lightning.common.files import make_directory, write_whole


class MetricsFile(Logger):
    """Writes the whole file with every checkpoint and at the end.

    A continued run repeats the steps after its checkpoint: rows from the first repeated step on are dropped.

    Args:
        save_dir: where the file lies.
    """

    def __init__(self, save_dir: str | Path) -> None:
        super().__init__()
        self.path = Path(save_dir) / "metrics.csv"
        self._rows: list[dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: Any) -> None:
        """Nothing: the config lies beside the file."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if self._rows is None:
            self._rows = [row for row in self._read() if int(row["step"]) < step]
        self._rows.append({"step": step, **metrics})

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="", encoding="utf8") as file:
            return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]

    @rank_zero_only
    def save(self) -> None:
        """
        Raises:
            FlixError: the disk refuses; the earlier file is unchanged.
        """
        if not self._rows:
            return
        text = io.StringIO()
        columns = sorted({key for row in self._rows for key in row} - {"step"})
        writer = csv.DictWriter(text, ["step", *columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        make_directory(self.path.parent)
        write_whole(self.path, text.getvalue())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()
