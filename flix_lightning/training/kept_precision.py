"""The number format that a run began with, kept wherever it continues and the same in all its processes."""

import os
import time
from pathlib import Path

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole
from flix_lightning.models.precision import AUTO, precision_here

KEPT = "precision.txt"  # of the run's directory
RANKS = ("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
PATIENCE = 120.0  # seconds


def run_precision(run: Path, precision: str, accelerator: str, waits: bool = True) -> str:
    """The precision of a run: `auto` is the one that it began with, chosen at its start by its first process.

    Args:
        waits: for the first process to write it.

    Raises:
        FlixError: that process has not written it in time.
    """
    if precision != AUTO:
        return precision
    limit = time.monotonic() + PATIENCE
    while (found := _kept(run)) is None and waits and not _is_first():
        if time.monotonic() > limit:
            raise FlixError(
                f"trainer.precision=auto: the first process has not written {str(run / KEPT)!r} in {PATIENCE:.0f} s. "
                "Has it failed, or is the directory not shared? trainer.precision=32-true or bf16-mixed waits for none."
            )
        time.sleep(0.1)
    return found or precision_here(AUTO, accelerator)


def keep_precision(run: Path, precision: str) -> None:
    """Write the run's precision; the first process does, before any step."""
    if _kept(run) != precision:
        write_whole(run / KEPT, f"{precision}\n")


def _kept(run: Path) -> str | None:
    path = run / KEPT
    return path.read_text(encoding="utf8").strip() if path.is_file() else None


def _is_first() -> bool:
    """Whether this process is the first of its run, by the launchers' environment variables."""
    return not any(int(os.environ.get(name) or 0) for name in RANKS)
