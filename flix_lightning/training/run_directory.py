"""Where a run lies: `runs/<experiment name>/<hash of its config>`, the same for the same command; and writing there."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import plain_name
from flix_lightning.common.settings import fill
from flix_lightning.training.record_form import Config, checked_form, read_json
from flix_lightning.training.sections import Sections

# Keys for where and how a run is computed, not what: changing them continues the same run.
INCIDENTAL = (
    "runs_dir",
    "logger",
    "trust",
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
    "trainer.log_every_n_steps",
    "trainer.profiler",
    "trainer.lightning.detect_anomaly",
    "trainer.lightning.inference_mode",
)
LATER = {"model": {"vocabulary": "all"}}  # keys that earlier versions did not have, with what they did
WATCHING = ("DeviceStatsMonitor", "LearningRateMonitor", "ModelSummary", "RichModelSummary")  # Lightning's callbacks


def decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config that determines a run's result; the run that it continues is named by its hash alone."""
    config = json.loads(json.dumps(config))
    for key in INCIDENTAL:
        *groups, last = key.split(".")
        place = config
        for group in groups:
            place = place.get(group) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.pop(last, None)
    for group, keys in LATER.items():
        for key, value in keys.items():
            if isinstance(config.get(group), dict) and config[group].get(key) == value:
                del config[group][key]
    callbacks = config.pop("callbacks", {})
    if kept := {name: section for name, section in callbacks.items() if not only_watches(section)}:
        config["callbacks"] = kept
    if isinstance(parent := config.pop("continue_from", None), str):
        config["continue_from"] = Path(parent).name
    return config


def only_watches(callback: Any) -> bool:
    """Whether a section of `callbacks` names one of Lightning's that changes no result."""
    target = callback.get("_target_") if isinstance(callback, Mapping) else None
    return isinstance(target, str) and target.startswith("lightning.") and target.rpartition(".")[2] in WATCHING


def fingerprint(config: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits of the part of a config that determines a run's result."""
    return hashlib.sha256(json.dumps(decisive(config), sort_keys=True).encode()).hexdigest()[:10]


def run_directory(config: Mapping[str, Any]) -> Path:
    """
    Raises:
        FlixError: a section that is not a mapping, or a name that would lead out of `runs_dir`.
    """
    sections = fill("", Sections, config)
    return Path(sections.runs_dir) / plain_name("name", sections.name) / fingerprint(config)


def read_config(run: Path) -> dict[str, Any]:
    """The resolved config a run was started with.

    Raises:
        FlixError: no run lies there, or its config is damaged or somebody else's.
    """
    path = run / "config.json"
    if not path.is_file():
        raise FlixError(f"run: no run lies in {str(run)!r}: it has no config.json. Give runs/<name>/<hash>.")
    return checked_form(repr(str(path)), "config of a run", Config, read_json(path))
