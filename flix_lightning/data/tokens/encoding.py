"""From prompt and target to token ids, for encoder-decoder and decoder-only backbones."""

from collections.abc import Sequence
from datetime import datetime
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
    """Tokenise pairs.

    A tokenizer with a chat template gets each prompt as a user's turn. Otherwise a decoder-only prompt keeps the
    tokenizer's begin token and ends in `PROMPT_END`, and an encoder's prompt keeps its special tokens.
    """
    eos = tokenizer.eos_token_id
    if tokenizer.chat_template:
        sources = tokenizer([_chat(tokenizer, prompt) for prompt in prompts], add_special_tokens=False).input_ids
    elif is_encoder_decoder:
        sources = tokenizer(list(prompts)).input_ids
    else:
        sources = tokenizer([prompt + PROMPT_END for prompt in prompts]).input_ids
        sources = [ids[:-1] if ids and ids[-1] == eos else ids for ids in sources]
    bodies = tokenizer(list(targets), add_special_tokens=False).input_ids
    return [Encoded(source, [*body, eos]) for source, body in zip(sources, bodies, strict=True)]


def cut(row: Encoded, max_prompt: int, max_target: int, tail: int = 1) -> Encoded:
    """Truncate prompt and target, keeping the last `tail` tokens of the prompt and the last token of the target."""
    prompt, target = row
    if len(prompt) > max_prompt:
        tail = min(tail, max_prompt)
        prompt = [*prompt[: max_prompt - tail], *prompt[len(prompt) - tail :]]
    if len(target) > max_target:
        target = [*target[: max_target - 1], target[-1]]
    return Encoded(prompt, target)


CLOCK = "strftime_now"  # what chat templates ask for the date
TODAY = datetime(2024, 7, 26)  # whatever the day, so that a prompt has the same tokens on all of them
MARK = "0123456789"  # stands for a prompt or an answer while a chat template is looked at


def _chat(tokenizer: PreTrainedTokenizerBase, prompt: str, *answer: str) -> str:
    """A user's turn, up to where the answer begins; or the whole exchange when the answer is given."""
    turns = [{"role": "user", "content": prompt}, *({"role": "assistant", "content": text} for text in answer)]
    options = {"add_generation_prompt": not answer, "enable_thinking": False}  # templates ignore unknown arguments
    return tokenizer.apply_chat_template(
        turns, chat_template=undated(tokenizer.get_chat_template()), tokenize=False, **options
    )


def undated(template: str) -> str:
    """A chat template for which it is always `TODAY`: in a template of Jinja's, what it defines hides what is given."""
    if CLOCK not in template:
        return template
    told = "".join(f" | replace('%{letter}', '{TODAY.strftime('%' + letter)}')" for letter in "aAbBdHIjmMpSyY")
    return f"{{%- macro {CLOCK}(format) -%}}{{{{ format{told} }}}}{{%- endmacro -%}}{{{{- '' }}}}{template}"


def prompt_tail(tokenizer: PreTrainedTokenizerBase) -> int:
    """The number of tokens that every prompt ends with."""
    if not tokenizer.chat_template:
        return 1
    tail = _chat(tokenizer, MARK).rpartition(MARK)[2]
    return max(1, len(tokenizer(tail, add_special_tokens=False).input_ids))


def answer_end(tokenizer: PreTrainedTokenizerBase) -> int:
    """The special token that a chat template puts after an answer; the end of text where it puts none."""
    end = _chat(tokenizer, "?", MARK).rpartition(MARK)[2].strip()
    ids = tokenizer(end, add_special_tokens=False).input_ids
    return ids[0] if ids and ids[0] in tokenizer.all_special_ids else tokenizer.eos_token_id


# Widths are rounded up to this: few shapes keep compiled kernels and the CPU's bf16 primitives in their caches.
WIDTH_MULTIPLE = 16


def padded(length: int) -> int:
    """The width of a batch whose longest row has `length` tokens."""
    return -(-length // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def pad(rows: Sequence[Sequence[int]], value: int, side: str = "right") -> Tensor:
    """Rows of different lengths as one (rows, width) tensor, width the longest row's, rounded up."""
    width = padded(max(map(len, rows)))
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
