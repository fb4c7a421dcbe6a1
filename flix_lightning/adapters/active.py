"""What adapted layers read at a step: the composition of its batch, in forms that are fast to compute with."""

from typing import NamedTuple

import torch
from torch import Tensor

from flix_lightning.adapters.composition import Composition


class UsedRanks(NamedTuple):
    """The ranks that a batch uses, once each.

    Attributes:
        rows: (used,), places in the row of all ranks.
        places: (batch, active rank), places in `rows`; `flat` is the same in one row.
        starts: (batch,), where each example begins in `flat`.
        weight: (batch, active rank), the composition's in bfloat16.
    """

    rows: Tensor
    places: Tensor
    flat: Tensor
    starts: Tensor
    weight: Tensor


class ActiveComposition:
    """The current composition, read by all adapted layers of a model; set at the start of a step and left set.

    It is no context manager, since gradient checkpointing recomputes activations in the backward pass, after the
    forward has returned.
    """

    # Up to this multiple of the active rank, one product is cheaper than gathering each example's own factors: over all
    # ranks; and for single tokens in bfloat16 on a CPU, over those that the batch uses. `python -m speed --parts
    # paths` measures both: the first crosses over between 2 and 4, the second is still ahead at 64, the most tried.
    WIDE_UP_TO = 2
    USED_UP_TO = 64

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self.version = 0
        self.current: Composition | None = None
        self.wide: Tensor | None = None
        self.used: UsedRanks | None = None
        self.working = False
        self._converted: tuple[Tensor, int, Tensor] | None = None

    def converted(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """`x` in another number format: in training once for all linears in a row that read it, as q, k and v do."""
        if x.dtype == dtype or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return x.to(dtype)
        if self._converted is None or self._converted[0] is not x or self._converted[1] != x._version:
            self._converted = (x, x._version, x.to(dtype))
        return self._converted[2]

    def set(self, composition: Composition | None, working: bool = False) -> None:
        """Serve `composition` from now on; `None` switches every adapter off.

        Args:
            working: its places are those of the banks' working rows, not of all ranks.
        """
        self.version += 1
        self._converted = None
        self.current, self.wide, self.used, self.working = composition, None, None, working
        if composition is not None and composition.index.device.type == "cpu" and not working:
            rows, places = composition.index.unique(return_inverse=True)
            if len(rows) <= self.USED_UP_TO * places.shape[1]:
                starts = torch.arange(0, places.numel(), places.shape[1])
                self.used = UsedRanks(rows, places, places.flatten(), starts, composition.weight.bfloat16())
        if composition is not None and not working and self.ranks <= self.WIDE_UP_TO * composition.index.shape[1]:
            gate = composition.weight.new_zeros(len(composition.index), self.ranks)
            self.wide = gate.scatter_add_(1, composition.index, composition.weight)
