"""Where a run lies: `runs/<experiment name>/<hash of its config>`, the same for the same command."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flix_lightning.errors import FlixError

# Keys that say where and how a run is computed, not what: changing them continues the same run.
INCIDENTAL = (
    "runs_dir",
    "run_dir",
    "logger",
    "data.micro_batch_size",
    "data.eval_batch_size",
    "data.workers",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.progress",
    "trainer.checkpoint_every",
    "trainer.gradient_checkpointing",
)


def fingerprint(config: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits of what decides a run's result."""
    config = json.loads(json.dumps(config))
    for key in INCIDENTAL:
        *groups, last = key.split(".")
        place = config
        for group in groups:
            place = place.get(group, {})
        place.pop(last, None)
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:10]


def run_directory(config: Mapping[str, Any]) -> Path:
    return Path(config["runs_dir"]) / config["name"] / fingerprint(config)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf8")
    partial.replace(path)


def read_config(run: Path) -> dict[str, Any]:
    """The resolved config a run was started with.

    Raises:
        FlixError: no run lies there.
    """
    path = run / "config.json"
    if not path.is_file():
        raise FlixError(f"run: no run lies in {str(run)!r}: it has no config.json. Give runs/<name>/<hash>.")
    return json.loads(path.read_text(encoding="utf8"))
