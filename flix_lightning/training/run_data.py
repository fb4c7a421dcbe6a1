"""The data that a run began with, stored as `data.json` in its directory: a run does not continue with other data.

For every cell and split: the benchmark's fingerprint, found without reading, and a digest of the rows. If the
fingerprint differs, or a benchmark has none, the digest decides: a file that was copied, touched or read by newer code
has the same rows.

    {"train": ["topic/sw", ...], "rows": {"topic/sw": {"train": ["5a0c...", "77b1..."], ...}, ...}}

A calibration run also begins with a frozen bank, which it does not copy: `"bank"` is the digest of its file.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flix_lightning.adapters.bank_file import bank_file
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole
from flix_lightning.common.settings import fill
from flix_lightning.data.benchmarks.benchmark import SPLITS, Benchmark
from flix_lightning.data.cells import Cell
from flix_lightning.data.mixture import Mixture
from flix_lightning.data.row_digests import DIGITS, Place, RowDigests, short
from flix_lightning.data.tokens.store import Caching

DATA = "data.json"
GO_ON = (
    "To train on what is there now, give the run a name of its own (name=...) or remove its folder; to go on as it "
    "began, put the data back."
)
SHOWN = 4  # names that a message lists


@dataclass(frozen=True)
class RunData:
    """The rows that a run trains, validates and is scored on.

    Args:
        mixture: the run's.
        digests: of the benchmark that its cells come from.
        bank: the file of a frozen bank, of a calibration run.
    """

    mixture: Mixture
    digests: RowDigests
    bank: Path | None = None

    @staticmethod
    def of(config: Mapping[str, Any], mixture: Mixture, benchmark: Benchmark) -> "RunData":
        """The data of a run, by its whole config."""
        caching = fill("data.cache", Caching, config["data"].get("cache", {}))
        bank = config["adapter"].get("bank")
        return RunData(mixture, RowDigests(benchmark, caching), None if bank is None else bank_file(Path(bank)))

    def splits(self, cell: Cell) -> list[str]:
        """Those that the run reads, in the order of `SPLITS`."""
        read = SPLITS if cell in self.mixture.train else ("test",)
        return [split for split in SPLITS if split in read and split in self.digests.benchmark.splits(cell)]

    @property
    def places(self) -> list[Place]:
        """All that the run reads, cell by cell."""
        return [(cell, split) for cell in self.mixture.cells for split in self.splits(cell)]

    def plain(self) -> dict[str, Any]:
        """As `data.json` has it."""
        rows: dict[str, dict[str, list[str | None]]] = {str(cell): {} for cell in self.mixture.cells}
        for (cell, split), digest in self.digests.all(self.places).items():
            rows[str(cell)][split] = [self.digests.fingerprint(cell, split), digest]
        bank = {} if self.bank is None else {"bank": self._bank_digest()}
        return {"train": list(map(str, self.mixture.train)), "rows": rows, **bank}

    def _bank_digest(self) -> str:
        with self.bank.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]

    def differs(self, before: Mapping[str, Any]) -> str | None:
        """The difference to `before` in words; None without one."""
        cells = {str(cell): cell for cell in self.mixture.cells}
        changes = [
            _listed("cells that are gone", [name for name in before["rows"] if name not in cells]),
            _listed("new cells", [name for name in cells if name not in before["rows"]]),
            _listed("other rows in", filter(None, (self._changed(cell, before["rows"]) for cell in cells.values()))),
        ]
        train = list(map(str, self.mixture.train))
        if not any(changes) and train != before["train"]:
            same = sorted(train) == sorted(before["train"])
            changes.append("its training cells stand in another order" if same else "other cells train")
        if self.bank is not None and before.get("bank") != self._bank_digest():
            changes.append(f"another bank in {str(self.bank)!r}")
        return "; ".join(filter(None, changes)) or None

    def _changed(self, cell: Cell, rows: Mapping[str, Any]) -> str | None:
        """The cell with those of its splits that have other rows."""
        before, now = rows.get(str(cell)), self.splits(cell)
        if before is None:
            return None
        changed = [s for s in SPLITS if (s in before) != (s in now) or (s in now and self._other(cell, s, before[s]))]
        return f"{cell} ({', '.join(changed)})" if changed else None

    def _other(self, cell: Cell, split: str, before: Sequence[str | None]) -> bool:
        fingerprint, digest = before
        if fingerprint is not None and self.digests.fingerprint(cell, split) == fingerprint:
            return False
        return self.digests.digest(cell, split) != digest

    def check(self, run: Path, stands: str, needed: bool) -> None:
        """
        Args:
            run: whose `data.json` is compared.
            stands: state of the run, for the message: `unfinished` or `finished`.
            needed: refuse a run without the file: begun by an earlier version.

        Raises:
            FlixError: the run began with other data.
        """
        path = run / DATA
        if not path.is_file():
            if needed:
                raise FlixError(
                    f"{str(run)!r} was begun by an earlier version, which did not note its data ({DATA} is not there); "
                    "remove the folder to train from the start."
                )
            return
        try:
            changes = self.differs(json.loads(path.read_text(encoding="utf8")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FlixError(f"{str(path)!r} is damaged: {error}; remove the folder to train from the start.") from error
        if changes:
            shown = f" `flix report {run}` shows its table." if stands == "finished" else ""
            raise FlixError(f"{str(run)!r} is {stands} and began with other data: {changes}.{shown} {GO_ON}")


def write_data(run: Path, found: Mapping[str, Any]) -> None:
    write_whole(run / DATA, json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def in_short(found: Mapping[str, Any]) -> dict[str, str]:
    """Split -> one digest of the rows of all cells, for the record."""
    by_split = {split: {c: rows[split][1] for c, rows in found["rows"].items() if split in rows} for split in SPLITS}
    return {split: short(json.dumps(digests, sort_keys=True)) for split, digests in by_split.items() if digests}


def _listed(what: str, names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{what}: {', '.join(names[:SHOWN])}{more}" if names else ""
