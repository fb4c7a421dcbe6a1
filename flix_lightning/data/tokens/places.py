"""Where target tokens are predicted, so that the output embedding is computed there and nowhere else."""

import torch
from torch import Tensor, nn

from flix_lightning.data.tokens.encoding import IGNORE

COUNT_MULTIPLE = 64  # the number of places is rounded up to this: few shapes keep compiled kernels


def target_places(labels: Tensor, is_encoder_decoder: bool) -> Tensor:
    """Where target tokens are predicted, and what they are.

    Args:
        labels: (rows, length), `IGNORE` outside targets; on the CPU, so that no device is waited for.

    Returns:
        (2, places): places in the flattened rows of hidden states, and the labels there; padded with `IGNORE`.
    """
    flat = labels.flatten()
    at = (flat != IGNORE).nonzero().squeeze(1)
    spare = -len(at) % COUNT_MULTIPLE
    places = at if is_encoder_decoder else at - 1  # a decoder predicts the next token
    return torch.stack([nn.functional.pad(places, (0, spare)), nn.functional.pad(flat[at], (0, spare), value=IGNORE)])
