"""How far apart two settings are: differences paired by seed, cell and row, their 95 % interval, and a verdict.

Where predictions were not kept, `over_seeds` gives the t interval over seeds: honest, and wide with few of them.

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
from typing import NamedTuple

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
        cells, rows: how many, of all columns together; none where scores of seeds are all that is known.
        error: the standard error, the root of V; infinite where nothing is known of it.
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

    @property
    def evidence(self) -> str:
        """What the interval rests on. One of rows of one seed is about two runs, not about two settings."""
        return ("rows" if self.rows else "seeds only") + ", one seed" * (len(self.by_seed) == 1)

    def told(self) -> tuple[str, str, str]:
        """Difference, interval and smallest detectable difference for a table; no numbers for what is infinite."""
        points = signed(self.mean)
        if not np.isfinite(self.error):
            return points, "unknown", "unknown"
        return points, " to ".join(map(signed, self.interval)), f"{self.smallest:.1f}"

    def verdict(self, bound: float = 0.0) -> str:
        """`holds` when the interval lies above the bound, `fails` when below it, else `undecided`."""
        low, high = self.interval
        return "holds" if low > bound else "fails" if high < bound else "undecided"


def signed(points: float) -> str:
    """With its sign, to a tenth; zero is positive."""
    return f"{round(points, 1) + 0.0:+.1f}"


class Measured(NamedTuple):
    """A column's differences and what is known of them.

    Attributes:
        by_seed: (seeds,).
        variance: V_k, of the mean over seeds.
        freedom: f_k.
        cells, rows: how many.
    """

    by_seed: np.ndarray
    variance: float
    freedom: int
    cells: int
    rows: int


def difference(columns: Sequence[Column], resamples: int = RESAMPLES) -> Difference:
    """Two settings' difference in the mean over columns.

    Args:
        columns: at least one.
        resamples: of the bootstrap.

    Raises:
        FlixError: no seed or no cell is in both settings, their rows are not the same, or a metric's statistics are not
            known here.
    """
    seeds = sorted(set.intersection(*({*column.ours} & {*column.theirs} for column in columns)))
    if not seeds:
        raise FlixError("a paired difference: no seed is in the runs of both settings.")
    return together(seeds, [measured(column, seeds, resamples) for column in columns])


def together(seeds: Sequence[int], columns: Sequence[Measured]) -> Difference:
    """The difference in the mean over columns that were measured on the same seeds."""
    by_seed = np.mean([column.by_seed for column in columns], axis=0)
    over_columns = [column.variance / len(columns) ** 2 for column in columns]
    over_seeds = variance(by_seed.tolist()) / len(seeds) if len(seeds) > 1 else 0.0
    whole = sum(over_columns) + over_seeds
    parts = [part**2 / column.freedom for part, column in zip(over_columns, columns, strict=True)]
    parts += [over_seeds**2 / (len(seeds) - 1)] if over_seeds else []
    return Difference(
        mean=float(by_seed.mean()),
        by_seed=dict(zip(seeds, by_seed.tolist(), strict=True)),
        cells=sum(column.cells for column in columns),
        rows=sum(column.rows for column in columns),
        error=float(np.sqrt(whole)),
        freedom=whole**2 / sum(parts) if whole else np.inf,
    )


def over_seeds(by_seed: Mapping[int, float]) -> Difference:
    """The difference where no rows are at hand: its interval is Student's, over seeds; one seed has none."""
    points, seeds = list(by_seed.values()), len(by_seed)
    error = float(np.sqrt(variance(points) / seeds)) if seeds > 1 else np.inf
    return Difference(float(np.mean(points)), dict(by_seed), 0, 0, error, max(seeds - 1, 1))


def measured(column: Column, seeds: Sequence[int], resamples: int = RESAMPLES) -> Measured:
    """The difference in one column, the same at every call.

    Raises:
        FlixError: as `difference`.
    """
    generator = np.random.default_rng(0)
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
    return Measured(
        by_seed=np.mean(own, axis=0),
        variance=float(np.var(drawn / len(column.cells), ddof=1)),
        freedom=len(column.cells) - 1 or max(rows - 1, 1),
        cells=len(column.cells),
        rows=rows,
    )


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
