"""What a model config gives: a transformers model with its tokenizer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from flix_lightning.common.errors import FlixError
from flix_lightning.common.targets import Trust, construct


class Backbone(NamedTuple):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def load_backbone(section: Mapping[str, Any], trust: Trust = ()) -> Backbone:
    """The backbone of a config's `model` section.

    Args:
        trust: see `construct`; by default the section may name this project's classes only.

    Raises:
        FlixError: the section names no model, or one that does not load.
    """
    return construct("model", section, Backbone, trust)


def stored_backbone(section: Mapping[str, Any], trust_remote_code: bool, trust: Trust = ()) -> Backbone:
    """The backbone of a finished run; that its trainer trusted a model's own Python code says nothing here.

    Raises:
        FlixError: the model brings code, and nobody here asked to run it.
    """
    if section.get("trust_remote_code") and not trust_remote_code:
        raise FlixError(
            f"model {section.get('name')!r} of this run brings Python code of its own; if you trust its authors, set "
            "trust_remote_code=true."
        )
    return load_backbone(section, trust)
