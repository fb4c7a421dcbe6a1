"""Where a run lies: `runs/<experiment name>/<hash of its config>`, the same for the same command; and writing there."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import plain_name
from flix_lightning.training.sections import check_sections

# Keys that say where and how a run is computed, not what: changing them continues the same run.
INCIDENTAL = (
    "runs_dir",
    "run_dir",
    "logger",
    "dry_run",
    "data.micro_batch_size",
    "data.eval_batch_size",
    "data.eval_batch_tokens",
    "data.workers",
    "data.cache",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.progress",
    "trainer.checkpoint_every",
    "trainer.keep_checkpoints",
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
    """
    Raises:
        FlixError: a section that is not one, or a name that would lead out of `runs_dir`.
    """
    check_sections(config)
    if not isinstance(config["runs_dir"], str):
        raise FlixError(f"runs_dir: a path; got {config['runs_dir']!r}.")
    return Path(config["runs_dir"]) / plain_name("name", config["name"]) / fingerprint(config)


def read_config(run: Path) -> dict[str, Any]:
    """The resolved config a run was started with.

    Raises:
        FlixError: no run lies there.
    """
    path = run / "config.json"
    if not path.is_file():
        raise FlixError(f"run: no run lies in {str(run)!r}: it has no config.json. Give runs/<name>/<hash>.")
    return json.loads(path.read_text(encoding="utf8"))
