"""Every method of the study, made from one seed's trained runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flix_lightning.adapters.bank import Bank
from flix_lightning.data.benchmarks.benchmark import Benchmark, Example
from flix_lightning.data.cells import JOIN, Cell
from flix_lightning.evaluation.compositional.merges import MERGES, Merge, concat, hub_merge, merged_bank
from flix_lightning.evaluation.compositional.serving import Served, bare, composed, in_context, steps
from flix_lightning.evaluation.compositional.weights import EQUAL, PENALTY, Weights, chosen_weights, sobol
from flix_lightning.inference.model import FlixModel
from flix_lightning.models.backbone import Backbone

SHOTS = 5  # composite training rows that weights are chosen on
CANDIDATES = 40  # pairs of weights that LoraHub tries


@dataclass(frozen=True)
class Setting:
    """What the methods of one seed are made from.

    Args:
        benchmark: with composite cells.
        fresh: gives the bare backbone.
        experts: the bank of the single tasks' features.
        seed: of LoraHub's candidates.
    """

    benchmark: Benchmark
    fresh: Callable[[], Backbone]
    experts: Bank
    seed: int

    @property
    def cells(self) -> list[Cell]:
        """The composite cells."""
        return [cell for cell in self.benchmark.cells if JOIN in cell.task]

    def shots(self, count: int) -> dict[Cell, Sequence[Example]]:
        """Composite cell -> its first training rows."""
        return {cell: self.benchmark.examples(cell, "train")[:count] for cell in self.cells}

    def model(self, bank: Bank) -> FlixModel:
        """A bank on a backbone of its own."""
        return FlixModel(self.fresh(), bank, "cpu")

    def merged(self, merge: Merge, weights: Weights | Mapping[Cell, Weights]) -> Served:
        """One adapter a composite task; `weights` for all tasks, or by cell."""
        weights = weights if isinstance(weights, Mapping) else dict.fromkeys(self.cells, weights)
        return Served(self.model(merged_bank(self.experts, self.cells, merge, weights)), (composed,))

    def chosen(self, merge: Merge, candidates: Sequence[Weights], penalty: float = 0.0) -> Served:
        """One adapter a composite task, its weights the best on a few rows."""
        return self.merged(
            merge, chosen_weights(self.experts, self.fresh, merge, candidates, self.shots(SHOTS), penalty)
        )


def untrained(setting: Setting) -> Iterator[tuple[str, Callable[[], Served]]]:
    """Name -> the method, of all that need no training beside the experts'; made when called."""
    experts = setting.experts
    yield "no adapter", lambda: Served(setting.model(experts), (bare,))
    example = {cell: shots[0] for cell, shots in setting.shots(1).items()}
    yield "in-context example", lambda: Served(setting.model(experts), (in_context(example),))
    yield "main task only", lambda: setting.merged(concat, (1.0, 0.0))
    yield "auxiliary task only", lambda: setting.merged(concat, (0.0, 1.0))
    for name, merge in MERGES.items():
        yield f"{name} merge", lambda merge=merge: setting.chosen(merge, EQUAL)
    yield "LoraHub", lambda: setting.chosen(hub_merge, sobol(CANDIDATES, setting.seed), PENALTY)
    yield "multi-step", lambda: Served(setting.model(experts), steps(setting.benchmark))


def finished(run: Path) -> Callable[[], Served]:
    """A finished run, calibrated or not, as a method."""
    return lambda: Served(FlixModel.from_run(run, "cpu"), (composed,))
