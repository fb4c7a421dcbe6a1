"""Whether a bank fits the model that a server has. vLLM itself serves a LoRA of other widths without a word."""

import logging
from collections.abc import Mapping
from functools import cache

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from flix_lightning.adapters.bank import Bank
from flix_lightning.common.errors import FlixError

Widths = Mapping[str, tuple[int, int]]  # module path -> inputs, outputs


def check_fit(bank: Bank, model: str, logger: logging.Logger) -> None:
    """
    Args:
        model: its name on the hub or its folder; of it the config alone is read.
        logger: told of a model whose shape cannot be known here.

    Raises:
        FlixError: the bank adapts modules that the model has not, or of other widths.
    """
    try:
        widths = linears(model)
    except (OSError, ValueError) as error:  # a model with Python code of its own
        logger.warning("whether the bank fits %r is not known: %s", model, " ".join(str(error).split())[:200])
        return
    for name in bank.modules:
        own = bank.factors[f"{name}.lora_a"].shape[1], bank.factors[f"{name}.lora_b"].shape[1]
        if widths.get(name) != own:
            raise FlixError(
                f"bank: trained on {bank.backbone!r}, where {name!r} is {own[0]} x {own[1]}; in {model!r} it is "
                + ("absent." if name not in widths else "{} x {}.".format(*widths[name]))
            )


@cache
def linears(model: str) -> Widths:
    """Those of a causal language model that has no weights yet.

    Raises:
        OSError, ValueError: transformers cannot tell its shape.
    """
    config = AutoConfig.from_pretrained(model)
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(config)
    found = {}
    for name, module in built.named_modules():
        if isinstance(module, nn.Linear | Conv1D):
            shape = tuple(module.weight.shape)
            found[name] = shape if isinstance(module, Conv1D) else shape[::-1]
    return found
