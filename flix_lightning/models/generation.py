"""Greedy generation: what a model with adapters, already composed, answers to a batch of prompts."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import ModelOutput

from flix_lightning.adapters.injection import banks_of
from flix_lightning.models.autocast_weights import converted_weights

SEGMENT = 16  # tokens between two looks at which rows have ended


@torch.inference_mode()
def greedy(
    backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, inputs: Mapping[str, Tensor], max_new_tokens: int
) -> list[str]:
    """The most likely continuation of each prompt, token by token.

    Args:
        inputs: `input_ids`, `attention_mask`, (rows, length) each, as `generation_batch` makes them.
    """
    tokens = greedy_tokens(backbone, inputs, max_new_tokens, tokenizer.pad_token_id, tokenizer.eos_token_id)
    return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]


@torch.inference_mode()
def greedy_tokens(
    backbone: PreTrainedModel, inputs: Mapping[str, Tensor], max_new_tokens: int, pad_id: int, eos_id: int
) -> Tensor:
    """New tokens, (rows, max_new_tokens), `pad_id` after the end of a row.

    Rows that have ended leave the batch, the composition and the key-value cache after every `SEGMENT` tokens: a batch
    costs what its answers are long, not its longest answer times its rows.
    """
    active = next((bank.active for bank in banks_of(backbone).values()), None)
    composition = active.current if active else None
    is_encoder_decoder = backbone.config.is_encoder_decoder
    answers = inputs["input_ids"].new_full((len(inputs["input_ids"]), max_new_tokens), pad_id)
    going = torch.arange(len(answers), device=answers.device)
    with converted_weights(backbone):
        state: dict[str, Any] = dict(inputs)
        if is_encoder_decoder:
            state = {"encoder_outputs": backbone.get_encoder()(**inputs), "attention_mask": inputs["attention_mask"]}
        width = 1 if is_encoder_decoder else inputs["input_ids"].shape[1]
        for start in range(0, max_new_tokens, SEGMENT):
            found = backbone.generate(
                **state,
                max_new_tokens=min(SEGMENT, max_new_tokens - start),
                do_sample=False,
                num_beams=1,
                pad_token_id=pad_id,
                eos_token_id=eos_id,
                return_dict_in_generate=True,
            )
            new = found.sequences[:, width:]
            answers[going, start : start + new.shape[1]] = new
            left = (new != eos_id).all(dim=1).nonzero().squeeze(1)
            if not len(left):
                break
            going, width = going[left], found.sequences.shape[1]
            state = _continued(state, found, left, is_encoder_decoder)
            if composition is not None and len(composition.index) == len(answers):
                active.set(composition.rows(going))
    if active:
        active.set(composition)
    return answers


def _continued(state: Mapping[str, Any], found: ModelOutput, left: Tensor, is_encoder_decoder: bool) -> dict[str, Any]:
    """What `generate` goes on from, with the rows in `left` only."""
    tokens, cache = found.sequences[left], found.past_key_values
    seen = tokens.new_ones(tokens.shape)
    if isinstance(cache, Cache):
        if len(left) < len(found.sequences):
            cache.batch_select_indices(left)
    else:
        cache = None  # of an own kind: what was read is read again
    if is_encoder_decoder:
        encoded = BaseModelOutput(last_hidden_state=state["encoder_outputs"].last_hidden_state[left])
        own = {"encoder_outputs": encoded, "attention_mask": state["attention_mask"][left]}
        return {**own, "decoder_input_ids": tokens, "decoder_attention_mask": seen, "past_key_values": cache}
    mask = state["attention_mask"][left]
    mask = torch.cat([mask, seen[:, mask.shape[1] :]], dim=1)
    return {"input_ids": tokens, "attention_mask": mask, "past_key_values": cache}
