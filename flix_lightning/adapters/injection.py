"""Adapt the linears of a transformers model, freeze the rest, and take the adapters' state in and out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.layer import FeaturizedLinear
from flix_lightning.adapters.probe import adaptable, is_linear
from flix_lightning.common.errors import FlixError

ALL_LINEAR = "all-linear"  # every linear but the output embedding: attention and feed-forward projections


def target_names(backbone: PreTrainedModel, target_modules: str | Sequence[str]) -> list[str]:
    """The linears that `target_modules` names: `all-linear`, or endings of module paths such as `q_proj`.

    Raises:
        FlixError: an ending that no linear has.
    """
    head = backbone.get_output_embeddings()
    linears = [name for name, module in backbone.named_modules() if is_linear(module) and module is not head]
    if not linears:
        raise FlixError(f"{type(backbone).__name__} has no linear layer to adapt.")
    if target_modules == ALL_LINEAR:
        return linears
    endings = [target_modules] if isinstance(target_modules, str) else list(target_modules)
    if not endings:
        raise FlixError(f"adapter.target_modules: none named. Allowed: {ALL_LINEAR!r}, or endings of module paths.")
    for ending in endings:
        if not any(_matches(name, ending) for name in linears):
            kinds = ", ".join(sorted({name.rpartition(".")[2] for name in linears}))
            raise FlixError(
                f"adapter.target_modules: {ending!r} matches no linear layer of {type(backbone).__name__}. "
                f"Allowed: {ALL_LINEAR!r}, or endings of module paths, such as: {kinds}."
            )
    return [name for name in linears if any(_matches(name, ending) for ending in endings)]


def _matches(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")


def inject(
    backbone: PreTrainedModel,
    ranks: int,
    active: ActiveComposition,
    target_modules: str | Sequence[str] = ALL_LINEAR,
    scaling: float = 1.0,
) -> list[FeaturizedLinear]:
    """Freeze `backbone` and wrap its target linears in place, each with `ranks` ranks; returns the banks.

    It also switches LayerDrop off (M2M100 and others), so that all adapters learn at every step.

    Raises:
        FlixError: the model is adapted already, has no such targets, or an adapter would be wrong there.
    """
    if featurized_linears(backbone):
        raise FlixError(f"this {type(backbone).__name__} is adapted already; load a fresh one.")
    names = adaptable(backbone, target_names(backbone, target_modules))
    backbone.requires_grad_(False)
    for module in backbone.modules():
        if hasattr(module, "layerdrop"):
            module.layerdrop = 0.0  # type: ignore[assignment]
    banks = []
    for name in names:
        parent, _, child = name.rpartition(".")
        linear = backbone.get_submodule(name)
        bank = FeaturizedLinear(linear, ranks, active, scaling)  # type: ignore[arg-type]    # `target_names` looked
        setattr(backbone.get_submodule(parent), child, bank)
        banks.append(bank)
    return banks


def featurized_linears(backbone: nn.Module) -> dict[str, FeaturizedLinear]:
    """Module path -> bank."""
    return {name: module for name, module in backbone.named_modules() if isinstance(module, FeaturizedLinear)}


def adapter_state(backbone: nn.Module) -> dict[str, Tensor]:
    """The factors alone, as `<module path>.lora_a` and `.lora_b`."""
    return {
        f"{name}.{factor}": getattr(bank, factor).detach()
        for name, bank in featurized_linears(backbone).items()
        for factor in ("lora_a", "lora_b")
    }


@torch.no_grad()
def load_adapter_state(backbone: nn.Module, state: dict[str, Tensor]) -> None:
    """Put factors back.

    Raises:
        FlixError: names or shapes that are not this model's.
    """
    own = adapter_state(backbone)
    if own.keys() != state.keys():
        differing = sorted(own.keys() ^ state.keys())
        raise FlixError(
            f"these adapters belong to another model: {len(differing)} module names differ, first {differing[0]!r}."
        )
    for name, tensor in own.items():
        if tensor.shape != state[name].shape:
            raise FlixError(
                f"adapter {name!r} has shape {tuple(state[name].shape)}; this model and rank allocation need "
                f"{tuple(tensor.shape)}."
            )
    for name, tensor in own.items():
        tensor.copy_(state[name])


@torch.no_grad()
def merge(backbone: nn.Module, index: Tensor, weight: Tensor) -> None:
    """Replace every bank in place by the plain linear of one composition: (active rank,) places and weights.

    Raises:
        FlixError: the frozen weights are quantized.
    """
    for name, bank in featurized_linears(backbone).items():
        if not bank.weight.is_floating_point():
            raise FlixError(f"{name}: quantized weights cannot be merged into; load with model.quantization=null.")
        parent, _, child = name.rpartition(".")
        setattr(backbone.get_submodule(parent), child, bank.merged(index, weight))
