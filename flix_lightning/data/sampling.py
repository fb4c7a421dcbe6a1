"""The examples of the global batch of a step: a pure function of (seed, sizes, probabilities, step).

It does not depend on world size, micro-batches, workers and restarts, and any step is found in O(log steps) time.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

MAX_DRAWS = 500_000_000  # numpy draws from urns of up to 10^9


class Draws(NamedTuple):
    """Examples by cell number and row number, (batch,) each."""

    cells: np.ndarray
    rows: np.ndarray


class Urn:
    """Cells drawn without replacement from an urn that holds each in proportion to its probability.

    Draws are halved recursively: the number of draws of each cell in the first half of a block is hypergeometric,
    seeded by the block. So the number of draws of every cell before any window is known without enumerating them, and
    realised proportions are closer to the requested ones than with independent draws.

    Args:
        probabilities: (cells,), summing to 1.
        window: draws in the smallest block.
        seed: of every split.
    """

    def __init__(self, probabilities: np.ndarray, window: int, seed: int) -> None:
        self.levels = max(0, (MAX_DRAWS // window).bit_length() - 1)
        self.window, self.seed = window, seed
        self._full = _apportion(probabilities, window << self.levels)
        self._first_half = lru_cache(maxsize=4 * (self.levels + 1))(self._split)

    def _split(self, urn: int, level: int, block: int) -> np.ndarray:
        """The counts of the first half of a block of 2^level windows."""
        generator = np.random.default_rng([self.seed, urn, level, block])
        counts = self._block(urn, level, block)
        return generator.multivariate_hypergeometric(counts, int(counts.sum()) // 2, method="marginals")

    def _block(self, urn: int, level: int, block: int) -> np.ndarray:
        if level == self.levels:
            return self._full
        first = self._first_half(urn, level + 1, block // 2)
        return first if block % 2 == 0 else self._block(urn, level + 1, block // 2) - first

    def counts(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        """How often each cell is drawn before `window` and in it, (cells,) each."""
        urn, place = divmod(window, 1 << self.levels)
        before = self._full * urn
        for level in range(self.levels, 0, -1):
            block = place >> level
            if place >> (level - 1) & 1:
                before = before + self._first_half(urn, level, block)
        return before, self._block(urn, 0, place)


def _apportion(probabilities: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers that sum to `total`, by largest remainder."""
    exact = np.asarray(probabilities, dtype=np.float64) * total
    counts = np.floor(exact).astype(np.int64)
    short = total - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:short]] += 1
    return counts


def permuted(places: np.ndarray, size: int, key: int) -> np.ndarray:
    """The images of `places` under a seeded permutation of range(size), which is never stored.

    A Feistel network permutes the next power of four; an image outside the range is permuted again until it is inside.
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)

    def once(values: np.ndarray) -> np.ndarray:
        left, right = values >> np.uint64(half), values & mask
        for turn in range(6):
            mixed = _mix(right + np.uint64((key + turn * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF))
            left, right = right, left ^ (mixed & mask)
        return (left << np.uint64(half)) | right

    values = once(np.asarray(places, dtype=np.uint64))
    while (outside := values >= size).any():
        values[outside] = once(values[outside])
    return values.astype(np.int64)


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def batches_within(lengths: Sequence[tuple[int, ...]], rows: int, tokens: int | None = None) -> list[slice]:
    """Cut rows into batches, in their order.

    Args:
        lengths: of each row's parts; every part is padded to the longest of the batch.
        rows: the most in a batch.
        tokens: the most in a batch; a longer row is a batch of its own.
    """
    starts, longest = [0], (0,)
    for place, parts in enumerate(lengths):
        count = place - starts[-1] + 1
        longest = tuple(map(max, zip(longest, parts))) if count > 1 else parts
        if count > rows or (tokens is not None and count > 1 and count * sum(longest) > tokens):
            starts.append(place)
            longest = parts
    return [slice(*ends) for ends in pairwise([*starts, len(lengths)])] if lengths else []


class GlobalBatches:
    """The global batch of every step.

    Each cell is traversed in seeded permutations: no example repeats within a pass over its cell. The draws of `bucket`
    steps are sorted by length, cut into batches and shuffled, which keeps padding small.

    Args:
        sizes: training examples of each cell.
        probabilities: (cells,), the sampling probabilities.
        batch_size: examples of a step, all processes together.
        seed: of the order.
        bucket: steps whose batches are made together; 1 does not look at lengths.
        length: (cell number, row number) -> length, needed when `bucket` is above 1.
        chunk: a cell with more rows is traversed in chunks of this many, in order, each with permutations of its own.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        probabilities: np.ndarray,
        batch_size: int,
        seed: int,
        bucket: int = 1,
        length: Callable[[int, int], int] | None = None,
        chunk: int | None = None,
    ) -> None:
        self.sizes, self.batch_size, self.seed, self.bucket, self.length = sizes, batch_size, seed, bucket, length
        self.chunk = chunk
        self.urn = Urn(probabilities, batch_size * bucket, seed)
        self._window = lru_cache(maxsize=2)(self._make_window)

    def __getitem__(self, step: int) -> Draws:
        window, place = divmod(step, self.bucket)
        return self._window(window)[place]

    def drawn(self, steps: int) -> np.ndarray:
        """How often each cell is drawn in the first `steps` steps, (cells,)."""
        whole, rest = divmod(steps, self.bucket)
        counts = self.urn.counts(whole)[0]
        for step in range(steps - rest, steps):
            counts = counts + np.bincount(self[step].cells, minlength=len(counts))
        return counts

    def _make_window(self, window: int) -> list[Draws]:
        before, here = self.urn.counts(window)
        drawn = [c for c in range(len(here)) if here[c]]
        cells = np.repeat(drawn, here[drawn])
        rows = np.concatenate([self._rows(c, int(before[c]), int(here[c])) for c in drawn])
        generator = np.random.default_rng([self.seed, window, 0xBA7C])
        order = generator.permutation(len(cells))
        if self.bucket > 1:
            lengths = np.array([self.length(c, r) for c, r in zip(cells[order], rows[order])])
            order = order[np.argsort(lengths, kind="stable")]
        batches = order.reshape(self.bucket, self.batch_size)[generator.permutation(self.bucket)]
        return [Draws(cells[batch], rows[batch]) for batch in batches]

    def _rows(self, cell: int, start: int, count: int) -> np.ndarray:
        """The rows start .. start + count of a cell's traversal."""
        size = self.sizes[cell]
        chunk = size if self.chunk is None else min(self.chunk, size)
        passes, inside = np.divmod(np.arange(start, start + count), size)
        chunks, places = np.divmod(inside, chunk)
        rows = np.empty(count, dtype=np.int64)
        for turn, number in set(zip(passes.tolist(), chunks.tolist())):
            here = (passes == turn) & (chunks == number)
            part = f"/{number}" if number else ""
            digest = hashlib.sha256(f"{self.seed}/{cell}/{turn}{part}".encode()).digest()
            key, first = int.from_bytes(digest[:8], "little"), number * chunk
            rows[here] = first + permuted(places[here], min(chunk, size - first), key)
        return rows
