"""The working set of a step: the rows that its examples use, of every bank, in small tensors of a fixed shape.

The gradients of a bank with thousands of features are as large as the bank and nearly all zero; the cost of clearing,
clipping, all-reducing and stepping would follow the bank's size. Instead a step copies the rows of its global batch
here and trains on these; the optimizer writes the rows back. Every process and micro-batch of the step has the same
rows, since they follow from the global batch; shapes never change, so a compiled model is compiled once.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from flix_lightning.adapters.composition import Composition
from flix_lightning.adapters.layer import FeaturizedLinear


class WorkingSet:
    """The working rows of all banks of a model.

    Args:
        banks: their whole factors are no longer trained directly, and keep their values.
        examples: of a global batch.
        width: the largest active rank of an example; every composition gets this many columns.

    Attributes:
        rows: (used,), in rising order: the rows of the banks that are copied here.
    """

    def __init__(self, banks: Iterable[FeaturizedLinear], examples: int, width: int) -> None:
        self.banks, self.width = list(banks), width
        self.rows: Tensor | None = None
        for bank in self.banks:
            bank.work_on(examples * width)

    def wholes(self) -> dict[nn.Parameter, Tensor]:
        """Trained parameter -> the factor whose rows it holds, in the order of the banks."""
        return {working: whole for bank in self.banks for working, whole in bank.working_factors()}

    @torch.no_grad()
    def load(self, whole: Composition) -> Composition:
        """Copy the rows of a global batch's composition here; returns the composition over them.

        Raises:
            ValueError: more rows than fit.
        """
        self.rows = whole.index.unique()
        for working, factor in self._pairs():
            if len(self.rows) > len(working):
                raise ValueError(f"{len(self.rows)} rows do not fit into a working set of {len(working)}")
            rows = self.rows.to(factor.device, non_blocking=True)
            torch.index_select(factor, 0, rows, out=working.data[: len(rows)])
        return Composition(self.places(whole.index), whole.weight).padded(self.width)

    def places(self, rows: Tensor) -> Tensor:
        """The indices here of rows of the banks."""
        return torch.searchsorted(self.rows, rows)

    def _pairs(self) -> Iterator[tuple[nn.Parameter, Tensor]]:
        return (pair for bank in self.banks for pair in bank.working_factors())
