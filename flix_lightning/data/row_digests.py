"""Digests of the rows of a cell's split: equal for equal examples in the same order, wherever they are stored."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache

from flix_lightning.data.benchmarks.benchmark import Benchmark
from flix_lightning.data.cells import Cell
from flix_lightning.data.tokens.store import Caching, TokenStore

DIGITS = 16  # hexadecimal ones of a digest
Place = tuple[Cell, str]  # a cell and a split


def short(text: str) -> str:
    """The first `DIGITS` of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


class RowDigests:
    """Digests of the examples of a benchmark.

    Args:
        benchmark: the source of examples.
        caching: where digests are kept, beside the tokens of the same rows.
    """

    def __init__(self, benchmark: Benchmark, caching: Caching) -> None:
        self.benchmark, self.caching = benchmark, caching
        self.fingerprint, self.digest = cache(self._fingerprint), cache(self._digest)

    def _fingerprint(self, cell: Cell, split: str) -> str | None:
        """The benchmark's, shortened; found without reading the rows."""
        found = self.benchmark.fingerprint(cell, split)
        return None if found is None else short(repr((cell, split, found)))

    def _digest(self, cell: Cell, split: str) -> str:
        """Of ids, prompts and targets, in order; reads them all."""
        rows = hashlib.sha256()
        for example in self.benchmark.stream(cell, split):
            rows.update(json.dumps(example).encode())
        return rows.hexdigest()[:DIGITS]

    def all(self, places: Sequence[Place]) -> dict[Place, str]:
        """The digest of every one of `places`, not read again where rows of the same fingerprints were read before."""
        known = [place for place in places if self.fingerprint(*place) is not None]
        found: dict[Place, str] = {}
        store = TokenStore(self.caching)
        if known and store.shares:
            key = short(json.dumps([self.fingerprint(*place) for place in known]))
            digests = store.text(f"{key}.digests", lambda: "\n".join(self.digest(*p) for p in known))
            found = dict(zip(known, digests.split(), strict=True))
        return {place: found.get(place) or self.digest(*place) for place in places}
