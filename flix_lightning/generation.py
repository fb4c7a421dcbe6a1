"""Greedy generation: what a model with adapters, already composed, answers to a batch of prompts."""

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase


@torch.inference_mode()
def greedy(
    backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, inputs: Mapping[str, Tensor], max_new_tokens: int
) -> list[str]:
    """The most likely continuation of each prompt, token by token.

    Args:
        inputs: `input_ids`, `attention_mask`, (rows, length) each, as `generation_batch` makes them.
    """
    tokens = backbone.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    if not backbone.config.is_encoder_decoder:
        tokens = tokens[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]
