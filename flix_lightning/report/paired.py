"""How far apart two settings are: differences paired by seed, cell and row, their 95 % interval, and a verdict.

The difference D is the reported one: of corpus scores of a cell, averaged over seeds, over the cells of a column, over
columns. Its variance has a part for every column and one for the seeds:

    V_k: of the column's mean over resamples, in which its cells are drawn with replacement, and in each cell drawn its
         rows, the same ones for both settings and all seeds; corpus scores are computed anew from rows' statistics
    V_s: s^2 / S, with s the standard deviation over S seeds of the seed's own difference
    V  = sum_k V_k / K^2 + V_s            D +- t(0.975, f) sqrt(V)
    f  = V^2 / (sum_k (V_k / K^2)^2 / f_k + V_s^2 / (S - 1)),  f_k: cells - 1; of a column of one cell, rows - 1

The two-stage bootstrap is that of Davison and Hinkley (1997), section 3.8, somewhat wide on purpose; the parts of the
crossed factors, rows and seeds, add up as in Owen's (2007) pigeonhole bootstrap, with Student's t in the place of
resampled seeds, which are too few; f is Satterthwaite's (1946). One seed has no V_s: its interval is about two runs,
not two settings.
The smallest detectable difference is the distance from a bound that is found in four of five such experiments,
(t(0.975, f) + t(0.8, f)) sqrt(V) (Bloom, 1995).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import variance

import numpy as np
from scipy import stats

from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.data.pair_statistics import STATISTICS, PairStatistics
from flix_lightning.report.side_by_side import Rows, shared_cells

RESAMPLES = 1000
LEVEL, POWER = 0.95, 0.8
AT_ONCE = 10_000_000  # numbers of rows' weights in memory
Seeds = Mapping[int, Rows]  # seed -> a run's rows


@dataclass(frozen=True)
class Column:
    """A column of a table: the mean over `cells`, which runs of both settings were scored on."""

    ours: Seeds
    theirs: Seeds
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Difference:
    """Ours minus theirs, in points.

    Attributes:
        mean: over seeds, columns and cells.
        by_seed: seed -> its own difference.
        cells, rows: how many, of all columns together.
        error: the standard error, the root of V.
        freedom: the degrees of freedom f.
    """

    mean: float
    by_seed: Mapping[int, float]
    cells: int
    rows: int
    error: float
    freedom: float

    def _quantile(self, p: float) -> float:
        return float(stats.t.ppf(p, self.freedom)) * self.error if self.error else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """That of 95 %."""
        half = self._quantile((1 + LEVEL) / 2)
        return self.mean - half, self.mean + half

    @property
    def smallest(self) -> float:
        """The smallest detectable difference."""
        return self._quantile((1 + LEVEL) / 2) + self._quantile(POWER)

    def verdict(self, bound: float = 0.0) -> str:
        """`holds` when the interval lies above the bound, `fails` when below it, else `undecided`."""
        low, high = self.interval
        return "holds" if low > bound else "fails" if high < bound else "undecided"


def difference(columns: Sequence[Column], resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """Two settings' difference in the mean over columns.

    Args:
        columns: at least one.
        resamples: of the bootstrap.
        seed: of its draws.

    Raises:
        FlixError: no seed or no cell is in both settings, their rows are not the same, or a metric's statistics are not
            known here.
    """
    seeds = sorted(set.intersection(*({*column.ours} & {*column.theirs} for column in columns)))
    if not seeds:
        raise FlixError("a paired difference: no seed is in the runs of both settings.")
    generator = np.random.default_rng(seed)
    found = [column_differences(column, seeds, resamples, generator) for column in columns]
    of_columns = np.mean([own for own, *_ in found], axis=0)
    over_columns = [spread / len(columns) ** 2 for _, spread, *_ in found]
    over_seeds = variance(of_columns.tolist()) / len(seeds) if len(seeds) > 1 else 0.0
    whole = sum(over_columns) + over_seeds
    parts = [part**2 / own for part, (_, _, own, _) in zip(over_columns, found, strict=True)]
    parts += [over_seeds**2 / (len(seeds) - 1)] if over_seeds else []
    return Difference(
        mean=float(of_columns.mean()),
        by_seed=dict(zip(seeds, of_columns.tolist(), strict=True)),
        cells=sum(len(column.cells) for column in columns),
        rows=sum(rows for *_, rows in found),
        error=float(np.sqrt(whole)),
        freedom=whole**2 / sum(parts) if whole else np.inf,
    )


def column_differences(
    column: Column, seeds: Sequence[int], resamples: int, generator: np.random.Generator
) -> tuple[np.ndarray, float, int, int]:
    """(seeds,) differences of a column, their mean's variance over resamples, its degrees of freedom, its rows."""
    sides = [side[one] for side in (column.ours, column.theirs) for one in seeds]
    runs = [{cell: rows[cell] for cell in column.cells if cell in rows} for rows in sides]
    shared = set(shared_cells(runs))
    if missing := [str(cell) for cell in column.cells if cell not in shared]:
        raise FlixError(f"a paired difference: not all runs were scored on {', '.join(missing)}.")
    picked = generator.integers(len(column.cells), size=(resamples, len(column.cells)))
    own, drawn, rows = [], np.zeros(resamples), 0
    for place, cell in enumerate(column.cells):
        metric, numbers = statistics_of(cell, runs)
        own.append(gaps(metric, numbers, np.ones((1, len(numbers))))[0])
        times = (picked == place).sum(axis=1)
        means = resampled(metric, numbers, int(times.sum()), generator)
        drawn += np.bincount(np.repeat(np.arange(resamples), times), weights=means, minlength=resamples)
        rows += len(numbers)
    freedom = len(column.cells) - 1 or max(rows - 1, 1)
    return np.mean(own, axis=0), float(np.var(drawn / len(column.cells), ddof=1)), freedom, rows


def statistics_of(cell: Cell, runs: Sequence[Rows]) -> tuple[PairStatistics, np.ndarray]:
    """The cell's metric, and (rows, runs, width), what each row adds to each run's score.

    Raises:
        FlixError: a metric of the user's own.
    """
    name = runs[0][cell][0].metric
    if name not in STATISTICS:
        raise FlixError(
            f"{cell} is scored by {name}, whose parts are not known here; they are of {', '.join(STATISTICS)}."
        )
    of = STATISTICS[name].of
    return STATISTICS[name], np.array(
        [[of(one.prediction, one.target) for one in same] for same in zip(*(rows[cell] for rows in runs), strict=True)],
        dtype=np.float64,
    )


def gaps(metric: PairStatistics, numbers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(draws, seeds): the first half of runs minus the second, each draw's rows weighted by (draws, rows)."""
    scores = metric.score(np.tensordot(weights, numbers, axes=1))
    ours, theirs = np.split(scores, 2, axis=1)
    return ours - theirs


def resampled(metric: PairStatistics, numbers: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """(draws,): the mean gap over seeds, each time of as many rows, drawn with replacement."""
    rows, found = len(numbers), [np.zeros(0)]
    for start in range(0, draws, size := max(1, AT_ONCE // rows)):
        weights = generator.multinomial(rows, np.full(rows, 1 / rows), size=min(size, draws - start))
        found.append(gaps(metric, numbers, weights.astype(np.float64)).mean(axis=1))
    return np.concatenate(found)
