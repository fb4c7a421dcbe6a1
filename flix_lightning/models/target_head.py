"""The output embedding computed at the positions that predict target tokens, and nowhere else.

With a vocabulary of hundreds of thousands it is the largest product of a step, and prompts and padding need none of it.
"""

from typing import Any

from torch import Tensor, nn


class TargetHead:
    """Stands before an output embedding; `places`, (places,), says which hidden states it gets; all while None."""

    def __init__(self, head: nn.Module) -> None:
        self.places: Tensor | None = None
        head.register_forward_pre_hook(self._select)

    def _select(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self.places is None:
            return None
        return (inputs[0].flatten(0, 1).index_select(0, self.places), *inputs[1:])
