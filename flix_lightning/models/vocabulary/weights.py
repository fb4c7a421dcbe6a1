"""A model with fewer tokens: the rows of its embeddings and of its output layer that are kept, all else as it was.

Whether it was right is tried, whatever the architecture: the smaller model has to give a row of tokens the same logits.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from flix_lightning.common.errors import FlixError
from flix_lightning.models.decoder_start import decoder_start
from flix_lightning.models.positions import is_table

TOLERANCE = 0.02  # of the largest logit; a wrong row is off by as much as logits differ
PROBED = 16  # tokens, at least, that the logits are compared on


def named_ids(model: PreTrainedModel) -> set[int]:
    """The tokens that the model's configs name, such as its padding."""
    found = set[int]()
    _renumber(model, lambda number: found.add(number) or number)
    return {number for number in found if 0 <= number < model.get_input_embeddings().num_embeddings}


@torch.no_grad()
def cut_weights(model: PreTrainedModel, kept: Sequence[int]) -> None:
    """Keep the tokens `kept`, in order and `named_ids` among them; token `kept[i]` gets the id i.

    Raises:
        FlixError: the smaller model computes something else.
    """
    rows, new = torch.tensor(kept, device=model.device), {old: number for number, old in enumerate(kept)}
    row = kept[:: max(1, len(kept) // PROBED)]
    before = _logits(model, row)[..., rows]
    whole = model.get_input_embeddings().num_embeddings
    _take_rows(model, rows, whole)
    _renumber(model, lambda number: new.get(number, number))
    try:
        after = _logits(model, [new[number] for number in row])
    except (RuntimeError, IndexError) as error:
        raise refused(model, " ".join(str(error).split())) from error
    if before.shape != after.shape or (before - after).abs().max() > TOLERANCE * before.abs().max():
        raise refused(model, "without them it gives the others other scores")


def refused(model: PreTrainedModel, why: str) -> FlixError:
    return FlixError(
        f"model.vocabulary=used: {type(model).__name__} cannot do without its other tokens: {why}; set "
        "model.vocabulary=all."
    )


def _take_rows(model: PreTrainedModel, rows: Tensor, whole: int) -> None:
    """Cut every tensor that has a row for each of `whole` tokens; one that several modules share stays shared."""
    taken: dict[int, nn.Parameter] = {}

    def cut(tensor: nn.Parameter) -> nn.Parameter:
        if id(tensor) not in taken:
            taken[id(tensor)] = nn.Parameter(tensor.index_select(0, rows), tensor.requires_grad)
        return taken[id(tensor)]

    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise refused(model, "its output layer is no plain linear")
    places = {old: number for number, old in enumerate(rows.tolist())}
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Embedding) and module.num_embeddings == whole and not is_table(name):
            module.weight, module.num_embeddings = cut(module.weight), len(rows)
        elif module is head:
            module.weight, module.out_features = cut(module.weight), len(rows)
            if module.bias is not None:
                module.bias = cut(module.bias)
        for key, buffer in module.named_buffers(recurse=False):
            if buffer.shape == (1, whole):  # BART's `final_logits_bias`
                module.register_buffer(key, buffer[:, rows])
        if getattr(module, "vocab_size", None) == whole:
            module.vocab_size = len(rows)
        padding = getattr(module, "padding_idx", None)
        if padding is not None and places.get(padding) != padding:
            if is_table(name):
                raise refused(model, f"its positions are counted from the id of its padding, {padding}")
            module.padding_idx = places.get(padding)
    for config in _configs(model.config):
        if getattr(config, "vocab_size", None) == whole:
            config.vocab_size = len(rows)


def _renumber(model: PreTrainedModel, number: Callable[[int], int]) -> None:
    """Give the tokens that the model's configs name other ids."""
    for config in [*_configs(model.config), model.generation_config]:
        for key, value in list(vars(config).items()) if config is not None else ():
            if key.endswith("_token_id") and type(value) is int:
                setattr(config, key, number(value))
            elif key.endswith("_token_id") and isinstance(value, list):
                setattr(config, key, [number(one) for one in value])


def _configs(config: PretrainedConfig) -> Iterator[PretrainedConfig]:
    """A config and those inside it."""
    yield config
    for inner in vars(config).values():
        if isinstance(inner, PretrainedConfig):
            yield from _configs(inner)


def _logits(model: PreTrainedModel, row: Sequence[int]) -> Tensor:
    """(1, row or 1, vocabulary)."""
    ids = torch.tensor([row], device=model.device)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        start = ids.new_full((1, 1), decoder_start(model.config))
        inputs["decoder_input_ids"] = torch.cat([start, ids], dim=1)
    training = model.training
    try:
        return model.eval()(**inputs, use_cache=False).logits.float()
    finally:
        model.train(training)
