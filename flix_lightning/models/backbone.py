"""What a model config gives: a transformers model with its tokenizer."""

from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Backbone(NamedTuple):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
