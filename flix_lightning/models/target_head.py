"""The output embedding, computed only at the positions that predict target tokens.

With a vocabulary of hundreds of thousands it is the largest product of a step, and prompts and padding do not need it.
"""

from typing import Any

from torch import Tensor, nn


class TargetHead:
    """Precedes an output embedding; `places`, (places,), selects its hidden states; all of them while None."""

    def __init__(self, head: nn.Module) -> None:
        self.places: Tensor | None = None
        head.register_forward_pre_hook(self._select)

    def _select(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self.places is None:
            return None
        return (inputs[0].flatten(0, 1).index_select(0, self.places), *inputs[1:])
