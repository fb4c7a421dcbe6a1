"""The file of a bank: every feature's factors, and the metadata that describes them.

The file is safetensors. Its tensors are `<module path>.lora_a` (ranks, in) and `<module path>.lora_b` (ranks, out), the
rows of a feature contiguous. Its metadata is JSON:

    format          flix_lightning.bank/2; a new number wherever an older reader would give other answers
    backbone        "tiny"
    axes            ["task", "language"]
    ranks           {"task=ner": 4, "task=qa_in_lang": 4, "language=sw": 2, ...}, in the order of the rows
    scaling         1.0
    target_modules  ["down_proj", "k_proj", ...], the last parts of the module paths
    cells           [{"task": "ner", "language": "sw"}, ...], trained on
    tasks           {"ner": {"prompt": ..., "metric": ..., "max_target_tokens": ...}, ...}
    prompting       {"words": {"sw": "Swahili", ...}, "max_tokens": 1024}; absent in format 1: such banks are scored,
                    exported and started from, but take no requests, whose prompts they cannot word
    model           {"_target_": ..., "name": ...}, the `model` section that loads the backbone, or null
    versions        {"flix-lightning": ..., "torch": ..., "transformers": ...}
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from flix_lightning import __version__
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole
from flix_lightning.common.versions import version_of

FORMAT = "flix_lightning.bank/2"
EARLIER = "flix_lightning.bank/1"  # without `prompting`
ADAPTER = "adapter.safetensors"  # its name in the folder of a run or of a bank
VERSIONED = ("torch", "transformers")

Made = TypeVar("Made")


def write_bank_file(path: Path, factors: Mapping[str, Tensor], schema: Mapping[str, Any]) -> None:
    """Write factors, and what the head of this file lists besides, whole or not at all.

    Raises:
        FlixError: the file system refuses.
    """
    versions = {"flix-lightning": __version__, **{name: version_of(name) for name in VERSIONED}}
    words = {key: json.dumps(value, ensure_ascii=False) for key, value in {**schema, "versions": versions}.items()}
    content = save({name: factor.contiguous() for name, factor in factors.items()}, {"format": FORMAT, **words})
    write_whole(path, _in_order(content))


def read_bank_file(path: Path, build: Callable[[Mapping[str, Tensor], Mapping[str, Any]], Made]) -> Made:
    """What `build` makes of a file's factors and schema.

    Args:
        path: a bank file, or the folder of a bank or of a finished run.

    Raises:
        FlixError: no such file, or it is no bank.
    """
    path = bank_file(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") not in (FORMAT, EARLIER):
                raise FlixError(
                    f"bank: {str(path)!r} is of format {metadata.get('format')!r}, not {FORMAT!r}; it was written "
                    "by another version or another program."
                )
            factors = {name: file.get_tensor(name) for name in file.keys()}
        return build(factors, {key: json.loads(value) for key, value in metadata.items() if key != "format"})
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise FlixError(f"bank: {str(path)!r} is damaged: {type(error).__name__}: {error}.") from error


def bank_file(path: Path) -> Path:
    """The file of a bank that is named by it, or by the folder of a bank or of a finished run.

    Raises:
        FlixError: there is none.
    """
    path = path / ADAPTER if path.is_dir() else path
    if not path.is_file():
        raise FlixError(f"bank: there is no file {str(path)!r}; give a bank file, its folder, or a finished run's.")
    return path


def is_bank(path: Path) -> bool:
    """Whether a bank lies there as a file, or as a folder that is not a run's."""
    return path.is_file() or ((path / ADAPTER).is_file() and not (path / "config.json").is_file())


def _in_order(content: bytes) -> bytes:
    """The same file with a sorted header: safetensors writes metadata in an order that differs from run to run."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:start]), sort_keys=True, ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[start:]
