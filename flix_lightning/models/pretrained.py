"""Any transformers backbone, encoder-decoder or decoder-only, by name or local path."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from flix_lightning.errors import FlixError, unknown
from flix_lightning.models.backbone import Backbone

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_pretrained(name: str, dtype: str = "float32", attention: str | None = None) -> Backbone:
    """A pretrained model and its tokenizer.

    Args:
        name: on the model hub, or a local folder.
        dtype: of the frozen weights.
        attention: transformers' `attn_implementation`; its own choice when not given.

    Raises:
        FlixError: the model cannot be found or read, or the dtype is unknown.
    """
    if dtype not in DTYPES:
        raise unknown("model.dtype", dtype, DTYPES)
    try:
        config = AutoConfig.from_pretrained(name)
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = kind.from_pretrained(name, dtype=DTYPES[dtype], attn_implementation=attention)
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise FlixError(f"model.name {name!r} cannot be loaded: {error}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Backbone(model, tokenizer)
