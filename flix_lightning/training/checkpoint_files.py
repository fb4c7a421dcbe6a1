"""The files of a run's checkpoints: their names, and whether one is whole. Needs no torch."""

import re
import zipfile
from pathlib import Path

STEPS = "step-*.ckpt"


def path_of(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.ckpt"


def step_of(path: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(re.findall(r"\d+", path.stem)[-1])


def damage(path: Path) -> str | None:
    """The fault of a file; None if it is whole.

    PyTorch's files hold a checksum of every record, which `torch.load` does not verify.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            wrong = archive.testzip()
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        return str(error)
    return f"wrong checksum of {wrong}" if wrong else None
