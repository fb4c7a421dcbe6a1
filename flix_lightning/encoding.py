"""From prompt and target to token ids, for encoder-decoder and decoder-only backbones."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

IGNORE = -100  # the label that transformers' losses leave out
PROMPT_END = "\n"  # between prompt and target of a decoder-only model


class Encoded(NamedTuple):
    """Token ids of one example; `target` ends with the end-of-text token."""

    prompt: list[int]
    target: list[int]


def encode(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], targets: Sequence[str], is_encoder_decoder: bool
) -> list[Encoded]:
    """Tokenise pairs. A decoder-only prompt keeps the tokenizer's begin token and ends in `PROMPT_END`."""
    eos = tokenizer.eos_token_id
    if is_encoder_decoder:
        sources = tokenizer(list(prompts)).input_ids
    else:
        sources = tokenizer([prompt + PROMPT_END for prompt in prompts]).input_ids
        sources = [ids[:-1] if ids and ids[-1] == eos else ids for ids in sources]
    bodies = tokenizer(list(targets), add_special_tokens=False).input_ids
    return [Encoded(source, [*body, eos]) for source, body in zip(sources, bodies, strict=True)]


# Widths are rounded up to this: few shapes keep compiled kernels and the CPU's bf16 primitives in their caches.
WIDTH_MULTIPLE = 16


def pad(rows: Sequence[Sequence[int]], value: int, side: str = "right") -> Tensor:
    """Rows of different lengths as one (rows, width) tensor, width the longest row's, rounded up."""
    width = -(-max(map(len, rows)) // WIDTH_MULTIPLE) * WIDTH_MULTIPLE
    fill = [[value] * (width - len(row)) for row in rows]
    joined = [[*f, *row] if side == "left" else [*row, *f] for row, f in zip(rows, fill)]
    return torch.tensor(joined, dtype=torch.long)


def training_batch(rows: Sequence[Encoded], pad_id: int, is_encoder_decoder: bool) -> dict[str, Tensor]:
    """Inputs and labels of a training step; the loss falls on target tokens only.

    Returns:
        `input_ids`, `attention_mask`, `labels`: (rows, length) each, padded on the right.
    """
    if is_encoder_decoder:
        inputs, labels = [row.prompt for row in rows], [row.target for row in rows]
    else:
        inputs = [row.prompt + row.target for row in rows]
        labels = [[IGNORE] * len(row.prompt) + row.target for row in rows]
    ones = [[1] * len(row) for row in inputs]
    return {"input_ids": pad(inputs, pad_id), "attention_mask": pad(ones, 0), "labels": pad(labels, IGNORE)}


def generation_batch(rows: Sequence[Encoded], pad_id: int, is_encoder_decoder: bool) -> dict[str, Tensor]:
    """Prompts to generate from, (rows, length) each; decoder-only prompts are padded on the left."""
    side = "right" if is_encoder_decoder else "left"
    prompts = [row.prompt for row in rows]
    ones = [[1] * len(prompt) for prompt in prompts]
    return {"input_ids": pad(prompts, pad_id, side), "attention_mask": pad(ones, 0, side)}
