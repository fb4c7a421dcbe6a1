"""The mixture: which cells train, which are scored zero-shot, and how often each is drawn."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from flix_lightning.errors import FlixError, unknown
from flix_lightning.features import Cell

Group = Literal["seen", "unseen combination", "unseen language", "unseen task"]
GROUPS: tuple[Group, ...] = ("seen", "unseen combination", "unseen language", "unseen task")
ALL = "all"


@dataclass(frozen=True)
class Mixture:
    """The cells that train, and those of the same study that are only scored."""

    train: tuple[Cell, ...]
    zero_shot: tuple[Cell, ...] = ()

    @staticmethod
    def select(
        cells: Sequence[Cell],
        tasks: str | Sequence[str] = ALL,
        languages: str | Sequence[str] = ALL,
        train: Mapping[str, Sequence[str]] | None = None,
        trainable: Collection[Cell] | None = None,
    ) -> "Mixture":
        """A mixture as a rule over a benchmark's cells.

        Args:
            cells: the benchmark's cells.
            tasks, languages: what the study is about; `all`, or names.
            train: task -> the languages it trains in, where these are not all; the task's other cells are zero-shot.
            trainable: the cells that have training rows, all of them when not given; the others are zero-shot.

        Raises:
            FlixError: a name that the benchmark has not, or nothing left to train.
        """
        all_tasks, all_languages = {c.task for c in cells}, {c.language for c in cells}
        tasks = _chosen("mixture.tasks", tasks, all_tasks)
        languages = _chosen("mixture.languages", languages, all_languages)
        chosen = [c for c in cells if c.task in tasks and c.language in languages]
        only = dict(train or {})
        for task, names in only.items():
            if task not in all_tasks:
                raise unknown("mixture.train: task", task, all_tasks)
            for name in names:
                if Cell(task, name) not in {Cell(c.task, c.language) for c in cells}:
                    raise unknown(
                        f"mixture.train.{task}: language", name, {c.language for c in cells if c.task == task}
                    )
        trained = tuple(c for c in chosen if c.language in only.get(c.task, languages))
        if trainable is not None:
            for cell in trained:
                if cell.task in only and cell not in trainable:
                    raise FlixError(f"mixture.train.{cell.task}: {cell.language} has no training rows.")
            trained = tuple(c for c in trained if c in trainable)
        if not trained:
            raise FlixError("mixture: no cell of the benchmark is left to train on; widen mixture.tasks or .languages.")
        return Mixture(trained, tuple(c for c in chosen if c not in set(trained)))

    @property
    def cells(self) -> tuple[Cell, ...]:
        return self.train + self.zero_shot

    def group(self, cell: Cell) -> Group:
        """How `cell` stands to training: only an unseen combination has all of its features trained."""
        if cell in self.train:
            return "seen"
        if not self._trained("language", cell):
            return "unseen language"
        return "unseen combination" if self._trained("task", cell) else "unseen task"

    def _trained(self, axis: str, cell: Cell) -> bool:
        return set(cell.values(axis)) <= {value for trained in self.train for value in trained.values(axis)}


def _chosen(place: str, names: str | Sequence[str], allowed: set[str]) -> set[str]:
    if names == ALL:
        return allowed
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in allowed:
            raise unknown(place, name, [*allowed, ALL])
    return set(names)


def sampling_probabilities(
    sizes: Sequence[int], temperature: float = 1.0, cap: int | None = None, scale: float = 1.0
) -> np.ndarray:
    """Sampling probabilities (cells,) from the cells' numbers of training examples.

    A mixing rate is min(n * scale, cap)^(1 / temperature), as in seqio: temperature 1 is proportional, infinity
    uniform.

    Raises:
        FlixError: temperature, cap or scale not above 0.
    """
    for name, value in {"temperature": temperature, "cap": cap, "scale": scale}.items():
        if value is not None and not value > 0:
            raise FlixError(f"mixture.{name}: must be above 0; got {value!r}.")
    if min(sizes) < 1:
        raise FlixError(f"mixture: every training cell needs at least 1 example; the smallest has {min(sizes)}.")
    rates = np.asarray(sizes, dtype=np.float64) * scale
    rates = rates if cap is None else np.minimum(rates, cap)
    rates = (rates / rates.max()) ** (1 / temperature)
    return rates / rates.sum()
