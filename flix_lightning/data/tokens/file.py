"""Tokenised rows in one memory-mapped file, which is written whole or not at all.

    | tokens of row 0: prompt, target | row 1 | ... | where each prompt and target ends | facts (JSON) | tail |

Only the parts that are read are loaded into memory, and processes that map the same file share them.
"""

import json
import os
import shutil
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from uuid import uuid4

import numpy as np

from flix_lightning.data.tokens.encoding import Encoded

TAIL = struct.Struct("<Q8s")  # bytes of the facts, and MAGIC
MAGIC = b"FLIXTOK1"
FLUSH = 10_000  # rows written at once


class DamagedFile(Exception):
    """Not a file of tokens, or not a whole one."""


class TokenFile(Sequence[Encoded]):
    """The rows of one file.

    Attributes:
        truncated: how many of them were longer than the limits, and cut.

    Raises:
        DamagedFile: the file is not one that `write_token_file` has finished.
    """

    def __init__(self, path: Path) -> None:
        size = path.stat().st_size
        if size < TAIL.size:
            raise DamagedFile(path)
        mapped = np.memmap(path, dtype=np.uint8, mode="r")
        facts_size, magic = TAIL.unpack(mapped[-TAIL.size :].tobytes())
        if magic != MAGIC or facts_size > size - TAIL.size:
            raise DamagedFile(path)
        facts = json.loads(mapped[size - TAIL.size - facts_size : -TAIL.size].tobytes())
        self._rows, self.truncated = facts["rows"], facts["truncated"]
        width = np.dtype(facts["dtype"]).itemsize * facts["tokens"]
        start = _aligned(width)
        if start + 16 * self._rows + facts_size + TAIL.size != size:
            raise DamagedFile(path)
        self._tokens = np.asarray(mapped[:width]).view(facts["dtype"])
        self._ends = np.asarray(mapped[start : start + 16 * self._rows]).view(np.uint64)

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row):
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        start, middle, end = self._places(row)
        return Encoded(self._tokens[start:middle].tolist(), self._tokens[middle:end].tolist())

    def length(self, row: int) -> int:
        """Tokens of prompt and target together."""
        start, _, end = self._places(row)
        return end - start

    def _places(self, row: int) -> tuple[int, int, int]:
        """Where the prompt begins, where it ends, where the target ends."""
        row = int(row) + (len(self) if row < 0 else 0)
        if not 0 <= row < len(self):
            raise IndexError(row)
        start = int(self._ends[2 * row - 1]) if row else 0
        return start, int(self._ends[2 * row]), int(self._ends[2 * row + 1])


def _aligned(size: int) -> int:
    return -(-size // 8) * 8


def write_token_file(path: Path, rows: Iterable[tuple[Encoded, bool]], largest_id: int) -> None:
    """Write rows, each with whether it was cut; memory does not grow with their number.

    Args:
        path: of the file once it is complete; an existing one is replaced.
        rows: read once.
        largest_id: no token is above it.
    """
    dtype = np.dtype("<u2" if largest_id <= np.iinfo(np.uint16).max else "<u4")
    partial = path.with_name(f"{path.name}.{uuid4().hex}.partial")
    total = count = truncated = 0
    try:
        with partial.open("wb") as out, TemporaryFile(dir=path.parent) as places:
            tokens: list[int] = []
            ends: list[int] = []

            def flush() -> None:
                out.write(np.array(tokens, dtype=dtype).tobytes())
                places.write(np.array(ends, dtype="<u8").tobytes())
                tokens.clear()
                ends.clear()

            for count, (row, was_cut) in enumerate(rows, start=1):
                tokens += row.prompt
                tokens += row.target
                total += len(row.prompt) + len(row.target)
                ends += (total - len(row.target), total)
                truncated += was_cut
                if count % FLUSH == 0:
                    flush()
            flush()
            out.write(b"\0" * (_aligned(out.tell()) - out.tell()))
            places.seek(0)
            shutil.copyfileobj(places, out)
            facts = {"rows": count, "tokens": total, "truncated": truncated, "dtype": dtype.str}
            content = json.dumps(facts).encode()
            out.write(content + TAIL.pack(len(content), MAGIC))
            out.flush()
            os.fsync(out.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
