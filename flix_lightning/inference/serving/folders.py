"""LoRA folders composed from a bank on demand and kept: a server may read one again at any time.

The bank alone is needed: no backbone is in memory, and no Lightning is imported.
"""

import fcntl
import hashlib
import shutil
from pathlib import Path
from typing import IO

from flix_lightning.adapters.bank import ADAPTER, Bank
from flix_lightning.adapters.peft import write_peft_folder
from flix_lightning.common.files import escaped, make_directory, whole_folder
from flix_lightning.inference.requests import cell_of
from flix_lightning.inference.serving.names import parse_name

IN_USE = "in-use"  # of a bank's folders; locked while a server may read them


class ComposedFolders:
    """The cells of one bank as PEFT folders, each made when it is first asked for.

    Args:
        path: a bank file, or a finished run; read again when it changes.
        cache: where the folders are kept.
        rank: of every LoRA, filled up with zeros; by default the largest active rank of a trained cell.
    """

    def __init__(self, path: Path, cache: Path, rank: int | None = None) -> None:
        self.path = path / ADAPTER if path.is_dir() else path
        self.cache, self.given_rank = cache, rank
        self._state: tuple[int, int, int] | None = None
        self.bank = self._read()

    def _read(self) -> Bank:
        """The bank as the file is now."""
        status = self.path.stat() if self.path.is_file() else None
        state = (status.st_mtime_ns, status.st_size, status.st_ino) if status else None
        if state is None or state != self._state:
            bank = Bank.read(self.path)
            content = hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]
            self.bank, self.composer, self._state = bank, bank.composer(), state
            self.folders = self.cache / content
            self._held = hold(self.folders)
        return self.bank

    def folder(self, name: str, backbone: str) -> Path:
        """The folder of a cell, composed now unless it lies there.

        Args:
            name: of the cell, see `names`.
            backbone: what `base_model_name_or_path` says.

        Raises:
            FlixError: the name has no cell, or the bank cannot be read.
        """
        asked = parse_name(name)
        bank = self._read()
        cell = cell_of(bank, asked.task, asked.language, asked.attributes)
        composer = self.composer.with_strengths(asked.strengths)
        place = hashlib.sha256(f"{backbone}\0{name}\0{self.given_rank}".encode()).hexdigest()[:16]
        folder = self.folders / f"{escaped(name)[:80]}-{place}"
        if folder.is_dir():
            return folder
        updates = bank.low_ranks(composer, cell)
        rank = self.given_rank or max(1, *(composer.active_rank([c]) for c in (cell, *bank.cells)))
        with whole_folder(folder) as partial:
            write_peft_folder(partial, updates, rank, sorted(updates), backbone, "CAUSAL_LM")
        return folder


def hold(folder: Path) -> IO[str]:
    """Keep `trim` of other servers away from a bank's folders for as long as the file returned is open."""
    make_directory(folder)
    file = (folder / IN_USE).open("w")
    fcntl.flock(file, fcntl.LOCK_SH)
    return file


def trim(cache: Path, limit: int) -> None:
    """Delete folders of banks that no server holds, oldest first, while the cache has more than `limit` bytes.

    Only before a server starts: it may read any folder again that it was ever given.
    """
    banks = [folder for folder in cache.iterdir() if (folder / IN_USE).is_file()] if cache.is_dir() else []
    sizes = {folder: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) for folder in banks}
    for folder in sorted(banks, key=lambda folder: folder.stat().st_mtime):
        if sum(sizes.values()) <= limit:
            return
        with (folder / IN_USE).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            del sizes[folder]
            shutil.rmtree(folder)
