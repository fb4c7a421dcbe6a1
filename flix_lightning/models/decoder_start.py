"""The decoder inputs of an encoder-decoder: a start token, then the target; the same in training and in generation."""

import torch
from torch import Tensor
from transformers import PretrainedConfig

from flix_lightning.common.errors import FlixError
from flix_lightning.data.tokens.encoding import IGNORE


def decoder_start(config: PretrainedConfig) -> int:
    """The token that a decoder starts from: the config's `decoder_start_token_id`, else its begin of text.

    Raises:
        FlixError: the config names neither.
    """
    decoder = config.get_text_config(decoder=True)
    for place, name in ((config, "decoder_start_token_id"), (decoder, "bos_token_id")):
        if getattr(place, name, None) is not None:
            return getattr(place, name)
    raise FlixError(f"model: the config of this {config.model_type} model has no decoder_start_token_id; add it.")


def decoder_inputs(labels: Tensor, config: PretrainedConfig) -> Tensor:
    """What the decoder reads to predict `labels`, (rows, length), padded with `IGNORE` after the end of a row."""
    start = labels.new_full((len(labels), 1), decoder_start(config))
    inputs = torch.cat([start, labels[:, :-1]], dim=1)
    return inputs.masked_fill(inputs == IGNORE, 0)  # any token: it predicts no label
