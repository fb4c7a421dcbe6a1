"""LoRA folders composed from a bank on demand and kept: a server may read one again at any time.

The bank alone is needed: no backbone is in memory, and no Lightning is imported. Folders lie in the cache under the
content of their bank, so a bank that is replaced leaves those that a server was given as they are.
"""

import fcntl
import hashlib
import os
import shutil
from pathlib import Path
from threading import Lock
from typing import IO, NamedTuple

from filelock import FileLock

from flix_lightning import __version__
from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.bank_file import bank_file
from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.peft import CONFIG, WEIGHTS, write_peft_folder
from flix_lightning.adapters.unseen import TASK_ONLY, UnseenLanguage
from flix_lightning.common.files import escaped, make_directory, whole_folder
from flix_lightning.inference.serving.names import read_name

IN_USE = "in-use"  # of a bank's folders; locked while a server may read them
COMPOSING = "composing"  # locked by the process that adds a folder


class Loaded(NamedTuple):
    """A bank as its file was at one moment: when that was, and where its composed folders lie."""

    state: tuple[int, int, int]
    bank: Bank
    composer: Composer
    folders: Path


class ComposedFolders:
    """The cells of one bank as PEFT folders, each made when it is first asked for.

    Args:
        path: a bank file, or a finished run; read when a cell is asked for, and again when it has changed.
        cache: where the folders are kept.
        unseen_language: what serves languages that the bank does not know.
    """

    def __init__(self, path: Path, cache: Path, unseen_language: UnseenLanguage = TASK_ONLY) -> None:
        self.path, self.cache, self.unseen_language = path, cache, unseen_language
        self._loaded: Loaded | None = None
        self._held: dict[Path, IO[bytes]] = {}
        self._lock = Lock()

    def bank(self) -> Bank:
        """The bank as its file is now.

        Raises:
            FlixError: it cannot be read.
        """
        with self._lock:
            return self._read().bank

    def folder(self, name: str, backbone: str) -> Path:
        """The folder of a cell, composed now unless it lies there.

        Args:
            name: of the cell, see `names`.
            backbone: what `base_model_name_or_path` says.

        Raises:
            FlixError: the name has no cell, nothing serves it, or the bank cannot be read.
        """
        with self._lock:
            _, bank, composer, folders = self._read()
            cell, strengths = read_name(bank, name)
            composer = self.unseen_language.serve(composer.with_strengths(strengths), [cell])
            updates = bank.low_ranks(composer, cell)
            key = "\0".join([backbone, name, self.unseen_language.stand_in, __version__])
            folder = folders / f"{escaped(name)[:40]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
            self._hold(folders)
            with FileLock(folders / COMPOSING):  # servers share a cache
                if not all((folder / file).is_file() for file in (CONFIG, WEIGHTS)):
                    shutil.rmtree(folder, ignore_errors=True)
                    rank = len(next(iter(updates.values())).a)
                    with whole_folder(folder) as partial:
                        write_peft_folder(partial, updates, rank, sorted(updates), backbone, "CAUSAL_LM")
        return folder

    def _read(self) -> Loaded:
        """The bank as the file is now."""
        state = self._state()
        if self._loaded is None or state != self._loaded.state:
            bank = Bank.read(self.path)
            content = hashlib.sha256(bank_file(self.path).read_bytes()).hexdigest()[:16]
            if self._state() != state:  # replaced meanwhile
                return self._read()
            self._loaded = Loaded(state, bank, bank.composer(), self.cache / content)
        return self._loaded

    def _state(self) -> tuple[int, int, int]:
        status = bank_file(self.path).stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _hold(self, folders: Path) -> None:
        """Keep `trim` of other servers away from a bank's folders while this process lives."""
        place = folders / IN_USE
        held = self._held.get(folders)
        while held is None or not place.exists() or not os.path.samestat(os.fstat(held.fileno()), place.stat()):
            make_directory(folders)
            held = self._held[folders] = place.open("wb")
            fcntl.flock(held, fcntl.LOCK_SH)


def trim(cache: Path, limit: int) -> None:
    """Delete folders of banks that no server holds, the longest unused first, while the cache has more than `limit`
    bytes.

    Only before a server starts: it may read any folder again that it was ever given.
    """
    banks = [folder for folder in cache.iterdir() if (folder / IN_USE).is_file()] if cache.is_dir() else []
    sizes = {folder: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) for folder in banks}
    for folder in sorted(banks, key=lambda folder: (folder / IN_USE).stat().st_mtime):
        if sum(sizes.values()) <= limit:
            return
        with (folder / IN_USE).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            del sizes[folder]
            shutil.rmtree(folder)
