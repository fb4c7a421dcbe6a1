"""The output embedding computed at the positions that predict target tokens, and nowhere else.

With a vocabulary of hundreds of thousands it is the largest product of a step, and prompts and padding need none of it.
"""

from typing import Any

import torch
from torch import Tensor, nn

from flix_lightning.tokens.encoding import IGNORE

COUNT_MULTIPLE = 64  # the number of places is rounded up to this: few shapes keep compiled kernels


def target_places(labels: Tensor, is_encoder_decoder: bool) -> Tensor:
    """Where target tokens are predicted, and what they are.

    Args:
        labels: (rows, length), `IGNORE` outside targets; found on the CPU, where nothing has to be waited for.

    Returns:
        (2, places): places in the flattened rows of hidden states, and the labels there; padded with `IGNORE`.
    """
    flat = labels.flatten()
    at = (flat != IGNORE).nonzero().squeeze(1)
    spare = -len(at) % COUNT_MULTIPLE
    places = at if is_encoder_decoder else at - 1  # a decoder predicts the next token
    return torch.stack([nn.functional.pad(places, (0, spare)), nn.functional.pad(flat[at], (0, spare), value=IGNORE)])


class TargetHead:
    """Stands before an output embedding; `places`, (places,), says which hidden states it gets; all while None."""

    def __init__(self, head: nn.Module) -> None:
        self.places: Tensor | None = None
        head.register_forward_pre_hook(self._select)

    def _select(self, _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self.places is None:
            return None
        return (inputs[0].flatten(0, 1).index_select(0, self.places), *inputs[1:])
