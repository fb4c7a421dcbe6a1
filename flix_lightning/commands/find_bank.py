"""The bank that a user means: a file, its folder, one on the Hugging Face hub, or a run that trained it."""

from pathlib import Path
from typing import Any


def find_bank(place: str, named: Any, runs_dir: Any) -> Path:
    """The file or folder of a bank, or the run that is named; see `find_run`.

    Raises:
        FlixError: neither is meant, or several runs are.
    """
    from flix_lightning.adapters.bank_file import is_bank
    from flix_lightning.inference.hub import downloaded, is_on_hub
    from flix_lightning.training.runs import find_run

    if is_on_hub(named):
        return downloaded(named)
    if isinstance(named, str) and named and is_bank(path := Path(named).expanduser()):
        return path
    return find_run(place, named, runs_dir)
