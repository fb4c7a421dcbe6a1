"""One composition of a bank as a plain LoRA, and as a merged model."""

import copy
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from flix_lightning.adapters.calibration import CALIBRATION
from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.injection import featurized_linears, merge
from flix_lightning.adapters.peft import LowRank, target_modules, write_peft_folder
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell

LOW_RANK = "calibration of low rank (adapter=calibration_pp)"
BIAS_FLAGS = ("attention_bias", "mlp_bias")  # settings by which transformers' configs give linears biases
SERVED_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # allowed values of vLLM's max_lora_rank; 16 by default


def one_composition(composer: Composer, cell: Cell) -> tuple[Tensor, Tensor]:
    """The places and weights, (active rank,) each, that serve `cell`.

    Raises:
        FlixError: no feature of the cell is known: the bare backbone would be left.
    """
    index, weight = (row[0] for row in composer.compose([cell]))
    if not weight.any():
        raise FlixError(
            f"cells: nothing to export for {cell}: the bank has none of its features "
            f"({', '.join(map(str, composer.featurizer(cell)))})."
        )
    return index[weight != 0], weight[weight != 0]


@torch.no_grad()
def low_ranks(backbone: nn.Module, index: Tensor, weight: Tensor) -> dict[str, LowRank]:
    """Module path -> the update of one composition, its weights and the scaling folded in.

    Raises:
        FlixError: see `check_lora`.
    """
    check_lora(backbone, index, weight)
    return {name: LowRank(*bank.low_rank(index, weight)) for name, bank in featurized_linears(backbone).items()}


def check_lora(backbone: nn.Module, index: Tensor, weight: Tensor) -> None:
    """
    Raises:
        FlixError: a bias is part of the composition.
    """
    if has_bias(backbone, index, weight):
        raise FlixError(
            "to: 'peft' cannot hold this calibration (LC), which is a bias; a LoRA has none. Allowed: 'merged', "
            f"or a {LOW_RANK}."
        )


@torch.no_grad()
def has_bias(backbone: nn.Module, index: Tensor, weight: Tensor) -> bool:
    """Whether a composition adds a bias to an output."""
    return any(bank.shift(index, weight) is not None for bank in featurized_linears(backbone).values())


def served_rank(active: int) -> int:
    """The smallest rank that holds `active` ranks and that vLLM can be set to serve.

    Raises:
        FlixError: there is none.
    """
    for rank in SERVED_RANKS:
        if active <= rank:
            return rank
    raise FlixError(
        f"lora_rank: {active} ranks are active, more than the {SERVED_RANKS[-1]} that vLLM serves; set lora_rank."
    )


def write_lora(
    folder: Path, backbone: PreTrainedModel, index: Tensor, weight: Tensor, rank: int, base: str | None = None
) -> None:
    """The composition as a PEFT folder, filled up to `rank`.

    Args:
        base: what `base_model_name_or_path` says; by default the backbone's name.

    Raises:
        FlixError: `rank` is less than the active rank, or more than any layer's width.
    """
    widest = max(max(bank.in_features, bank.out_features) for bank in featurized_linears(backbone).values())
    if rank > max(widest, len(index)):
        raise FlixError(f"lora_rank: at most {widest}, the width of the widest layer; got {rank}.")
    if rank < len(index):
        raise FlixError(f"lora_rank: {len(index)} ranks are active; {rank} cannot hold them.")
    updates = low_ranks(backbone, index, weight)
    task_type = "SEQ_2_SEQ_LM" if backbone.config.is_encoder_decoder else "CAUSAL_LM"
    targets = target_modules(updates, plain_linears(backbone))
    write_peft_folder(folder, updates, rank, targets, base or backbone.config.name_or_path, task_type)


def plain_linears(backbone: nn.Module) -> Iterable[str]:
    """The paths of all linears in the model without adapters."""
    found = (name for name, module in backbone.named_modules() if isinstance(module, nn.Linear))
    return [name.removesuffix(".base") for name in found]


def merged_model(backbone: PreTrainedModel, index: Tensor, weight: Tensor) -> PreTrainedModel:
    """A copy of the backbone with the composition added to its weights, in their dtype.

    Raises:
        FlixError: a bias is part of the composition, and the backbone's architecture has no place for it.
    """
    model, biases = copy.deepcopy(backbone), has_bias(backbone, index, weight)
    merge(model, index, weight)
    model._modules.pop(CALIBRATION, None)  # it is in the weights now
    if biases:
        _declare_biases(model)
    return model


def _declare_biases(model: PreTrainedModel) -> None:
    """Say in the config that linears have biases; without it a reader would leave them out."""
    for flag in BIAS_FLAGS:
        if hasattr(model.config, flag):
            setattr(model.config, flag, True)
    with torch.device("meta"):
        read = type(model)(copy.deepcopy(model.config)).state_dict()
    if homeless := sorted(model.state_dict().keys() ^ read.keys()):
        raise FlixError(
            f"to: 'merged' cannot hold this calibration (LC): its biases and those that {type(model).__name__} "
            f"has a place for differ, first in {homeless[0]!r}. Allowed: a {LOW_RANK}."
        )
