"""The start of a command: Hydra composes its config, and every user error becomes one message."""

import os
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir, version
from hydra._internal.utils import _run_hydra  # hydra.main reads sys.argv, which Lightning needs unchanged
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from flix_lightning.commands.about import about
from flix_lightning.commands.arguments import Options, overrides, quoted, readable
from flix_lightning.commands.folders import CONF
from flix_lightning.commands.main import COMMANDS
from flix_lightning.commands.refusals import explaining
from flix_lightning.commands.shell import command

VERSION = "1.3"  # of Hydra, whose defaults hold


def start(
    task: Callable[[DictConfig], Any],
    name: str,
    words: Sequence[str],
    *,
    positional: str | None = None,
    texts: Collection[str] = (),
    literal: Collection[str] = (),
    passed_on: str | None = None,
) -> None:
    """Compose the config of a command and run `task` on it.

    Args:
        task: a module-level function, so that a launcher can pickle it.
        name: of the command.
        words: of the command line after the name.
        positional, texts, literal: see `arguments.overrides`.
        passed_on: a list in the config that gets the overrides of keys which the config does not have.

    Raises:
        FlixError: an invalid command line, with the nearest match.
    """
    parser = Options()
    args = parser.parse_intermixed_args(words)
    if args.help:
        print(about(name, COMMANDS[name], [Path(args.config_dir)] if args.config_dir else []), end="")
        return
    config_name = name.replace(" ", "_")
    own = yaml.safe_load((CONF / f"{config_name}.yaml").read_text(encoding="utf8"))
    texts = () if args.multirun else texts  # a sweep lists them
    several = isinstance(own.get(positional), list)
    args.overrides = readable(overrides(args.overrides, positional, several, texts, literal))
    if passed_on is not None:
        others = [override for override in args.overrides if first_key(override) not in (*own, "hydra")]
        mine = [override for override in args.overrides if override not in others]
        args.overrides = [*mine, f"{passed_on}=[{','.join(map(quoted, others))}]"]
    version.setbase(VERSION)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them
    if not args.multirun:
        task = command(task)  # before Hydra adds a line of its own; in a sweep the other jobs go on
    with explaining(config_name):
        _run_hydra(args, parser, task, config_path=str(CONF), config_name=config_name)


def first_key(override: str) -> str:
    """`trainer` of `+trainer.max_steps=20`."""
    return re.split(r"[./@=]", override.lstrip("+~"), maxsplit=1)[0]


def composed(name: str, chosen: Sequence[str], hydra: bool = False) -> DictConfig:
    """The config of a command for these overrides.

    Args:
        hydra: with Hydra's own settings.

    Raises:
        FlixError: overrides that Hydra refuses.
    """
    GlobalHydra.instance().clear()
    with explaining(name), initialize_config_dir(str(CONF), version_base=VERSION):
        return compose(name, list(chosen), return_hydra_config=hydra)
