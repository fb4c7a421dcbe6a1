"""One composition of a bank as a plain LoRA, and as a merged model."""

import copy
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor, nn
from transformers import PreTrainedModel

from flix_lightning.composition import Composer
from flix_lightning.errors import FlixError
from flix_lightning.features import Cell
from flix_lightning.injection import banks_of, merge
from flix_lightning.peft_folder import LowRank, target_modules, write_peft_folder

SERVED_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM's max_lora_rank may be; 16 unless raised


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


def low_ranks(backbone: nn.Module, index: Tensor, weight: Tensor) -> dict[str, LowRank]:
    """Module path -> the update of one composition, its weights and the scaling folded into `b`."""
    return {
        name: LowRank(bank.lora_a.detach()[index], bank.lora_b.detach()[index] * (weight * bank.scaling)[:, None])
        for name, bank in banks_of(backbone).items()
    }


def served_rank(active: int) -> int:
    """The smallest rank that holds `active` ranks and that vLLM can be set to serve.

    Raises:
        FlixError: there is none.
    """
    for rank in SERVED_RANKS:
        if active <= rank:
            return rank
    raise FlixError(f"rank: {active} ranks are active, more than the {SERVED_RANKS[-1]} that vLLM serves; set rank.")


def write_lora(folder: Path, backbone: PreTrainedModel, index: Tensor, weight: Tensor, rank: int) -> None:
    """The composition as a PEFT folder, filled up to `rank`.

    Raises:
        FlixError: `rank` is less than the active rank.
    """
    if rank < len(index):
        raise FlixError(f"rank: {len(index)} ranks are active; {rank} cannot hold them.")
    updates = low_ranks(backbone, index, weight)
    task_type = "SEQ_2_SEQ_LM" if backbone.config.is_encoder_decoder else "CAUSAL_LM"
    targets = target_modules(updates, plain_linears(backbone))
    write_peft_folder(folder, updates, rank, targets, backbone.config.name_or_path, task_type)


def plain_linears(backbone: nn.Module) -> Iterable[str]:
    """The paths of all linears as they are without adapters."""
    found = (name for name, module in backbone.named_modules() if isinstance(module, nn.Linear))
    return [name.removesuffix(".base") for name in found]


def merged_model(backbone: PreTrainedModel, index: Tensor, weight: Tensor) -> PreTrainedModel:
    """A copy of the backbone with the composition added to its weights, in their dtype."""
    model = copy.deepcopy(backbone)
    merge(model, index, weight)
    return model
