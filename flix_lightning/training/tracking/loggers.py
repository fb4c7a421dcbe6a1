"""Loggers of other libraries, bound to a run's directory: continuing the run continues what was logged."""

import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import Text
from flix_lightning.common.targets import Trust, construct

MODES = ("online", "offline", "shared", "disabled", "dryrun")  # of W&B


def wandb_logger(
    save_dir: Path, project: Text, group: Text, offline: bool | None = None, entity: Text | None = None
) -> WandbLogger:
    """Weights & Biases. The run's id there is the hash that names its directory, so that a requeued job goes on in it.

    Args:
        save_dir: the run's directory.
        project, entity: of the run; entity is the user or team.
        group: of runs shown together: a sweep, or the seeds of an experiment.
        offline: keep the run on disk, for `wandb sync`; null: if there is neither a key nor a WANDB_MODE.

    Raises:
        FlixError: a WANDB_MODE that W&B does not know.
    """
    if (mode := os.environ.get("WANDB_MODE", "online")) not in MODES:
        raise unknown("WANDB_MODE in the environment", mode, MODES)
    if offline is None:
        offline = "WANDB_MODE" not in os.environ and not has_wandb_key()
    folder = save_dir.resolve()  # a process of W&B's writes there, which may stand elsewhere
    name, config_hash = folder.parent.name, folder.name
    chosen = {} if not offline else {"mode": "offline"}
    return WandbLogger(
        name=f"{name}/{config_hash}", id=config_hash, save_dir=folder, project=project, group=group, entity=entity,
        job_type="train", **chosen,
    )  # fmt: skip


def has_wandb_key() -> bool:
    """Whether W&B would find a key, in the environment or in the file of `wandb login`."""
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname
    files = (Path(os.environ.get("NETRC", os.path.expanduser(f"~/{name}"))) for name in (".netrc", "_netrc"))
    try:
        found = any(netrc.netrc(path).authenticators(host) for path in files if path.is_file())
    except netrc.NetrcParseError:
        found = False
    return found or bool(os.environ.get("WANDB_API_KEY"))


def tensorboard_logger(save_dir: Path) -> TensorBoardLogger:
    """TensorBoard's event files, in `tensorboard/` of the run's directory.

    Raises:
        FlixError: TensorBoard is not installed.
    """
    try:
        return TensorBoardLogger(save_dir, name="", version="tensorboard", default_hp_metric=False)
    except ModuleNotFoundError as error:
        raise FlixError("logger=tensorboard: TensorBoard is not installed; pip install tensorboard.") from error


def make_loggers(sections: Mapping[str, Any], save_dir: Path, trust: Trust = ()) -> list[Logger]:
    """The loggers of a config's `logger` section, name -> section.

    Args:
        save_dir: the run's directory, for those that take it.
        trust: see `construct`.

    Raises:
        FlixError: a section that names no logger, or arguments it does not take.
    """
    if not all(isinstance(section, Mapping) for section in sections.values()):
        raise FlixError(
            f"logger: name -> a mapping with a _target_, as in {{mine: {{_target_: ...}}}}; got {sections!r}."
        )
    return [
        construct(f"logger.{name}", section, Logger, trust, save_dir=save_dir) for name, section in sections.items()
    ]
