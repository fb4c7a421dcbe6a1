"""The rows that a test pass answered, from all processes."""

from collections.abc import Sequence

from torch import distributed

from flix_lightning.data.cells import Cell
from flix_lightning.data.predictions import Prediction


def gathered(own: Sequence[Prediction], cells: Sequence[Cell]) -> list[Prediction]:
    """What all processes predicted, in the order of `cells` and of their rows; empty but in the first process.

    Args:
        own: this process's; no row is in two processes' lists.
        cells: all that were scored.
    """
    parts: list[Sequence[Prediction]] | None = [own]
    if distributed.is_available() and distributed.is_initialized():
        parts = [()] * distributed.get_world_size() if distributed.get_rank() == 0 else None
        distributed.gather_object(own, parts)
    order = {cell: place for place, cell in enumerate(cells)}
    return sorted((one for part in parts or () for one in part), key=lambda one: (order[one.cell], one.row))
