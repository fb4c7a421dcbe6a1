"""Faults of a model's files: pointers in place of files, weights truncated, missing or of another shape."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel

from flix_lightning.common.errors import FlixError

POINTER = b"version https://git-lfs.github.com/spec/"


def damage(folder: Path) -> str | None:
    """A fault of the folder's files, and what to do; None if there is none, or no such folder."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and _begins(path, POINTER):
            return f"{str(path)!r} is a pointer of Git LFS, not the file itself; `git lfs pull` in its folder gets it."
        if path.suffix == ".safetensors":
            try:
                with safe_open(path, "pt"):
                    pass
            except SafetensorError as error:
                return f"{str(path)!r} is not whole ({error}); download it again."
    return None


def check_whole(name: str, model: PreTrainedModel, found: Mapping[str, Any]) -> None:
    """
    Args:
        found: transformers' loading information.

    Raises:
        FlixError: parameters that the files do not hold, which would stay random, or hold in other shapes.
    """
    parameters = dict(model.named_parameters())
    if other := sorted(found["mismatched_keys"]):
        key, stored, wanted = other[0]
        raise FlixError(
            f"model.name {name!r} cannot be loaded: {key!r} is {tuple(stored)} in its weights and {tuple(wanted)} by "
            f"its config.json ({len(other)} such); config and weights belong to different models."
        )
    if missing := sorted(set(found["missing_keys"]) & parameters.keys()):
        raise FlixError(
            f"model.name {name!r} cannot be loaded: its weights lack {len(missing)} of {len(parameters)} parameters, "
            f"first {missing[0]!r}; they are incomplete, or of another architecture than its config.json."
        )


def _begins(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start
