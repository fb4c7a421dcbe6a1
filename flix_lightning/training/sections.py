"""The sections of a training config, before any of them is read."""

from collections.abc import Mapping
from typing import Any

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import fits

SECTIONS = (
    "name", "seed", "runs_dir", "model", "benchmark", "mixture", "adapter", "rank", "feature_dropout", "data",
    "optimizer", "trainer", "logger", "warm_start", "dry_run",
)  # fmt: skip


def check_sections(config: Mapping[str, Any]) -> None:
    """
    Raises:
        FlixError: a section that is unknown or has not the shape of one.
    """
    for key, value in config.items():
        if key not in SECTIONS:
            raise unknown("config key", key, SECTIONS)
        if key not in ("name", "seed", "runs_dir", "warm_start", "dry_run") and not isinstance(value, Mapping):
            raise FlixError(f"{key}: a mapping of keys to values; got {value!r}.")
    if not isinstance(config.get("dry_run", False), bool):
        raise FlixError(f"dry_run: true or false; got {config['dry_run']!r}.")
    if not fits(config["seed"], int) or not 0 <= config["seed"] < 1 << 32:
        raise FlixError(f"seed: a whole number of at least 0, below 2^32; got {config['seed']!r}.")
