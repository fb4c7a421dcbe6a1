"""A LoRA in the folder that Hugging Face PEFT writes and reads, and that vLLM serves.

One low-rank update for each adapted linear, `lora_A` (r, in) and `lora_B` (out, r), with y = x W^T + alpha/r x A^T B^T.
Only what every reader supports is written: one rank for all modules, padded with zeros, no patterns, no further modules
saved, the scale folded into the factors and therefore alpha = r.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from flix_lightning.common.errors import FlixError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
UNREAD = ("rank_pattern", "alpha_pattern", "modules_to_save", "use_dora", "layer_replication", "fan_in_fan_out")


class LowRank(NamedTuple):
    """One linear's update, x -> x a^T b: `a` (r, in) and `b` (r, out), any scale folded in."""

    a: Tensor
    b: Tensor


def target_modules(adapted: Collection[str], linears: Collection[str]) -> list[str]:
    """The last parts of the adapted modules' paths if these match no other linear; else the whole paths."""
    endings = sorted({name.rpartition(".")[2] for name in adapted})
    meant = {name for name in linears if name.rpartition(".")[2] in endings}
    return endings if meant == set(adapted) else sorted(adapted)


def write_peft_folder(
    folder: Path, updates: Mapping[str, LowRank], rank: int, targets: Sequence[str], backbone: str, task_type: str
) -> None:
    """Write adapter_config.json and adapter_model.safetensors.

    Args:
        folder: exists.
        updates: module path -> update of at most `rank`.
        rank: of every module in the folder.
        targets: see `target_modules`.
        backbone: the name under which the reader finds the base model.
        task_type: PEFT's, `CAUSAL_LM` or `SEQ_2_SEQ_LM`.
    """
    tensors = {}
    for name, (a, b) in updates.items():
        missing = rank - len(a)
        tensors[f"{PREFIX}{name}.lora_A.weight"] = functional.pad(a, (0, 0, 0, missing)).contiguous()
        tensors[f"{PREFIX}{name}.lora_B.weight"] = functional.pad(b, (0, 0, 0, missing)).T.contiguous()
    config = {
        "peft_type": "LORA",
        "task_type": task_type,
        "base_model_name_or_path": backbone,
        "r": rank,
        "lora_alpha": rank,
        "target_modules": list(targets),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "inference_mode": True,
    }
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf8")


def read_peft_folder(folder: Path) -> dict[str, LowRank]:
    """Module path -> update, the scale folded into `b`.

    Raises:
        FlixError: no LoRA in safetensors lies there, or one with parts that a plain low-rank update does not have.
    """
    config = _read_config(folder)
    rank, alpha = config.get("r"), config.get("lora_alpha", 8)
    if not isinstance(rank, int) or rank < 1 or isinstance(alpha, bool) or not isinstance(alpha, int | float):
        raise FlixError(f"{folder / CONFIG}: r and lora_alpha must be numbers above 0; got {rank!r} and {alpha!r}.")
    scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise FlixError(f"{folder / WEIGHTS} cannot be read: {error}. Adapters are read from safetensors.") from error
    factors: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        module, dot, factor = name.removesuffix(".weight").rpartition(".")
        if not (name.startswith(PREFIX) and name.endswith(".weight") and dot and factor in ("lora_A", "lora_B")):
            raise FlixError(f"{folder / WEIGHTS}: {name!r} is not a lora_A or lora_B of a linear layer.")
        factors.setdefault(module.removeprefix(PREFIX), {})[factor] = tensor.float()
    for module, pair in factors.items():
        if len(pair) < 2 or len(pair["lora_A"]) != rank or pair["lora_B"].shape[1] != rank:
            raise FlixError(f"{folder / WEIGHTS}: module {module!r} needs both factors in rank {rank}.")
    return {module: LowRank(pair["lora_A"], scale * pair["lora_B"].T) for module, pair in factors.items()}


def _read_config(folder: Path) -> Mapping[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise FlixError(f"no PEFT adapter can be read from {str(folder)!r}: {error}.") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else config
        raise FlixError(f"{folder / CONFIG}: peft_type is {kind!r}; only LORA can be read.")
    unsupported = [key for key in UNREAD if config.get(key)]
    if config.get("bias", "none") != "none":
        unsupported.append("bias")
    if unsupported:
        raise FlixError(
            f"{folder / CONFIG}: {', '.join(unsupported)} cannot be read; a feature is a plain low-rank update."
        )
    return config
