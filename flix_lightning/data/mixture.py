"""The mixture: which cells train, which are scored zero-shot, and how often each is drawn."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Lt

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import Positive, checked, fill, without
from flix_lightning.data.benchmarks.benchmark import Benchmark
from flix_lightning.data.cells import Cell

GROUPS = ("seen", "unseen combination", "unseen language", "unseen task")  # and `unseen <axis>` for further axes
ALL = "all"

Names = str | tuple[str, ...]


@dataclass(frozen=True)
class Mixture:
    """The cells that train, and those of the same study that are only scored.

    Args:
        earlier: cells that the bank was trained on before; they count as seen.
    """

    train: tuple[Cell, ...]
    zero_shot: tuple[Cell, ...] = ()
    earlier: tuple[Cell, ...] = ()

    @staticmethod
    def select(
        cells: Sequence[Cell],
        tasks: Names = ALL,
        languages: Names | Mapping[str, tuple[str, ...]] = ALL,
        train: Mapping[str, tuple[str, ...]] | None = None,
        where: Mapping[str, Names] | None = None,
        held_out: tuple[Mapping[str, Names], ...] = (),
        trainable: Collection[Cell] | None = None,
    ) -> "Mixture":
        """A mixture as a rule over a benchmark's cells.

        Args:
            cells: the benchmark's cells.
            tasks, languages: what the study is about; `all`, or names; for languages also task -> names, for the tasks
                where these are not all.
            train: task -> the languages it trains in, where these are not all; the task's other cells are zero-shot.
            where: axis -> the values that the study is about, for any axis of the cells.
            held_out: each an axis -> value(s), all of which a cell must have to be zero-shot.
            trainable: the cells that have training rows, all of them when not given; the others are zero-shot.

        Raises:
            FlixError: a name that the benchmark does not have, or nothing left to train.
        """
        by_task, names = (languages, ALL) if isinstance(languages, Mapping) else ({}, languages)
        studied_tasks = _chosen("mixture.tasks", tasks, {c.task for c in cells})
        studied_languages = _chosen("mixture.languages", names, {c.language for c in cells})
        studied, trained = ({c.task: studied_languages for c in cells} for _ in range(2))
        studied.update(_by_task("mixture.languages", by_task, cells))
        trained.update(_by_task("mixture.train", train or {}, cells))
        about = _values("mixture.where", where or {}, cells)
        held = [_values(f"mixture.held_out.{i}", rule, cells) for i, rule in enumerate(held_out)]

        chosen = [c for c in cells if c.task in studied_tasks and c.language in studied[c.task] and _matches(c, about)]
        kept = [c for c in chosen if c.language in trained[c.task] and not any(_matches(c, rule) for rule in held)]
        able = set(cells if trainable is None else trainable)
        for cell in kept:
            if cell.task in (train or {}) and cell not in able:
                raise FlixError(f"mixture.train.{cell.task}: {cell.language} has no training rows.")
        kept = [c for c in kept if c in able]
        if not kept:
            raise FlixError("mixture: no cell of the benchmark is left to train on; widen mixture.tasks or .languages.")
        return Mixture(tuple(kept), tuple(c for c in chosen if c not in set(kept)))

    @property
    def cells(self) -> tuple[Cell, ...]:
        return self.train + self.zero_shot

    def group(self, cell: Cell) -> str:
        """How `cell` relates to training. All features of an unseen combination are trained.

        Where several are untrained, the group is named after the language, else the task, else the first further axis.
        """
        if cell in self._trained[0]:
            return "seen"
        for axis in ("language", "task", *dict(cell.attributes)):
            if not set(cell.values(axis)) <= self._trained[1].get(axis, set()):
                return f"unseen {axis}"
        return "unseen combination"

    @cached_property
    def _trained(self) -> tuple[frozenset[Cell], dict[str, set[str]]]:
        """The cells that train or trained, and axis -> the values that they have on it."""
        values: dict[str, set[str]] = {}
        for cell in self.train + self.earlier:
            for axis in cell.features():
                values.setdefault(axis, set()).update(cell.values(axis))
        return frozenset(self.train + self.earlier), values


def in_order(groups: Iterable[str]) -> list[str]:
    """The groups, once each, in the order of tables: seen, unseen combination, unseen language, unseen task, others."""
    return sorted(set(groups), key=lambda group: (GROUPS.index(group) if group in GROUPS else len(GROUPS), group))


def _by_task(place: str, rule: Mapping[str, Sequence[str]], cells: Sequence[Cell]) -> dict[str, set[str]]:
    """Task -> languages, checked to be ones that the benchmark has together."""
    tasks = {c.task for c in cells}
    for task, names in rule.items():
        if task not in tasks:
            raise unknown(f"{place}: task", task, tasks)
        have = {c.language for c in cells if c.task == task}
        for name in names:
            if name not in have:
                raise unknown(f"{place}.{task}: language", name, have)
    return {task: set(names) for task, names in rule.items()}


def _values(place: str, rule: Mapping[str, Names], cells: Sequence[Cell]) -> dict[str, set[str]]:
    """Axis -> values, checked to be ones that the benchmark's cells have."""
    have: dict[str, set[str]] = {}
    for cell in cells:
        for axis in cell.features():
            have.setdefault(axis, set()).update(cell.values(axis))
    for axis in rule:
        if axis not in have:
            raise unknown(f"{place}: axis", axis, have)
    return {axis: _chosen(f"{place}.{axis}", names, have[axis]) for axis, names in rule.items()}


def _matches(cell: Cell, rule: Mapping[str, set[str]]) -> bool:
    return all(not values.isdisjoint(cell.values(axis)) for axis, values in rule.items())


def _chosen(place: str, names: Names, allowed: set[str]) -> set[str]:
    if names == ALL:
        return allowed
    chosen = [names] if isinstance(names, str) else list(names)
    for name in chosen:
        if name not in allowed:
            raise unknown(place, name, [*allowed, ALL])
    return set(chosen)


@checked("mixture.mixing")
def sampling_probabilities(
    sizes: np.ndarray | Sequence[int],
    temperature: Annotated[float, Gt(0)] = 1.0,
    cap: Annotated[int, Gt(0), Lt(1 << 63)] | None = None,
    scale: Annotated[Positive, Lt(1 << 63)] = 1.0,
) -> np.ndarray:
    """Sampling probabilities (cells,) from the cells' numbers of training examples.

    A mixing rate is min(n * scale, cap)^(1 / temperature), as in seqio: temperature 1 is proportional, infinity
    uniform.

    Raises:
        FlixError: a temperature, cap or scale that is not above 0, an infinite scale, or a cell without examples.
    """
    if min(sizes) < 1:
        raise FlixError(f"mixture: every training cell needs at least 1 example; the smallest has {min(sizes)}.")
    rates = np.asarray(sizes, dtype=np.float64) * scale
    rates = rates if cap is None else np.minimum(rates, cap)
    rates = (rates / rates.max()) ** (1 / temperature)
    return rates / rates.sum()


def build_mixture(config: Mapping[str, Any], benchmark: Benchmark) -> Mixture:
    """The mixture of a whole config over the cells of its benchmark.

    Raises:
        FlixError: a setting of `mixture` that is unknown or impossible.
    """
    section = without(config["mixture"], "name", "mixing", "task", "language")
    trainable = [cell for cell in benchmark.cells if "train" in benchmark.splits(cell)]
    return fill("mixture", Mixture.select, section, cells=benchmark.cells, trainable=trainable)
