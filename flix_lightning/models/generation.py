"""Generation: what a model with adapters, already composed, answers to a batch of prompts.

One loop for all models, with settings of its own. Nothing of a model's generation_config is taken over: no repetition
penalty, no suppressed or forced token (so that mBART's and NLLB's decoders are not forced into a target language: the
adapters say which). What a row is answered does not depend on the rows beside it.
"""

import warnings
from collections.abc import Mapping, Sequence
from inspect import signature
from itertools import count

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from flix_lightning.adapters.injection import featurized_linears
from flix_lightning.models.autocast_weights import converted_weights
from flix_lightning.models.decoder_start import decoder_start
from flix_lightning.models.key_values import key_values
from flix_lightning.models.next_token import Choose, likeliest
from flix_lightning.models.whole_states import whole_states

LOOK = 4  # tokens between two looks at which rows have ended
LEAVE = 1 / 8  # the share of rows that has to have ended before these leave: leaving costs a copy of the cache


def answers(
    backbone: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    inputs: Mapping[str, Tensor],
    limits: Sequence[int],
    choose: Choose = likeliest,
) -> list[str]:
    """The continuation of each prompt as text; see `new_tokens`."""
    tokens = new_tokens(backbone, inputs, limits, tokenizer.pad_token_id, tokenizer.eos_token_id, choose)
    return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]


@torch.inference_mode()
def new_tokens(
    backbone: PreTrainedModel,
    inputs: Mapping[str, Tensor],
    limits: Sequence[int],
    pad_id: int,
    eos_id: int,
    choose: Choose = likeliest,
) -> Tensor:
    """The continuation of each prompt, token by token, (rows, longest continuation), `pad_id` after the end of a row.

    Rows that have ended leave the batch, the composition and the key-value cache: a batch costs what its answers are
    long, not its longest answer times its rows.

    Args:
        inputs: `input_ids`, `attention_mask`, (rows, length) each, as `generation_batch` makes them.
        limits: of each row, at least 1: it ends after so many tokens, or with `eos_id`.
    """
    active = next((bank.active for bank in featurized_linears(backbone).values()), None)
    composition = active.current if active else None
    going = list(range(len(limits)))
    left = torch.tensor(limits, device=inputs["input_ids"].device)  # of each row that goes on: tokens until its limit
    found: list[tuple[list[int], Tensor]] = []
    with converted_weights(backbone), whole_states(backbone):
        reading = Reading(backbone, inputs)
        for step in count(1):
            tokens = torch.where(left > 0, choose(reading.logits(), going), pad_id)
            found.append((going, tokens))
            left = torch.where(tokens == eos_id, 0, left - 1)
            if step % LOOK == 0 or step == max(limits):
                staying = (left > 0).nonzero().squeeze(1)
                if not len(staying):
                    break
                ended = len(going) - len(staying)
                if ended and ended >= LEAVE * len(going):
                    left, tokens, going = left[staying], tokens[staying], [going[i] for i in staying.tolist()]
                    reading.keep(staying)
                    if composition is not None and len(composition.index) == len(limits):
                        active.set(composition.rows(going))
            reading.append(tokens)
    if active:
        active.set(composition)
    table = inputs["input_ids"].new_full((len(limits), len(found)), pad_id)
    for column, (rows, tokens) in enumerate(found):
        table[rows, column] = tokens
    return table


class Reading:
    """What a model has read of every row that goes on: prompt and answer so far.

    Args:
        inputs: see `new_tokens`.
    """

    def __init__(self, backbone: PreTrainedModel, inputs: Mapping[str, Tensor]) -> None:
        self.backbone, self.cache = backbone, key_values(backbone)
        takes = signature(backbone.forward).parameters
        self.options = {"use_cache": self.cache is not None, "return_dict": True}
        if "logits_to_keep" in takes:
            self.options["logits_to_keep"] = 1
        self.mask, self.encoded, self.positions = inputs["attention_mask"], None, None
        if backbone.config.is_encoder_decoder:
            outputs = backbone.get_encoder()(**inputs)
            self.encoded, self.outputs = outputs.last_hidden_state, type(outputs)
            self.tokens = self.mask.new_full((len(self.mask), 1), decoder_start(backbone.config))
        else:
            self.tokens = inputs["input_ids"]
            if "position_ids" in takes:
                self.positions = (self.mask.cumsum(dim=1) - 1).clamp(min=0)  # padding stands on the left
        if self.cache is None:
            warnings.warn(
                f"{type(backbone).__name__} keeps what it has read in a way of its own: every token is generated from "
                "the whole text before it, which is slow.",
                stacklevel=2,
            )

    def logits(self) -> Tensor:
        """(rows, vocabulary), for the next token of every row."""
        inputs = {"attention_mask": self.mask, **self.options}
        if self.encoded is None:
            inputs["input_ids"] = self.tokens
        else:
            inputs["decoder_input_ids"] = self.tokens
            inputs["encoder_outputs"] = self.outputs(last_hidden_state=self.encoded)
        if self.positions is not None:
            inputs["position_ids"] = self.positions
        if self.cache is not None:
            inputs["past_key_values"] = self.cache
        return self.backbone(**inputs).logits[:, -1]

    def append(self, tokens: Tensor) -> None:
        """One more token (rows,) for every row."""
        tokens = tokens[:, None]
        if self.encoded is None:
            self.mask = torch.cat([self.mask, torch.ones_like(tokens)], dim=1)
        if self.positions is not None:
            following = self.positions[:, -1:] + 1
            self.positions = following if self.cache else torch.cat([self.positions, following], dim=1)
        self.tokens = tokens if self.cache is not None else torch.cat([self.tokens, tokens], dim=1)

    def keep(self, rows: Tensor) -> None:
        """Go on with `rows` only, before their next token is appended."""
        for name in ("tokens", "mask", "encoded", "positions"):
            if getattr(self, name) is not None:
                setattr(self, name, getattr(self, name)[rows])
        if self.cache is not None:
            self.cache.reorder_cache(rows)
