"""Errors of Hydra and of launchers as messages for the user, with the nearest match and a remedy."""

import re
import shlex
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf

from flix_lightning.commands.arguments import OVERRIDE, quoted
from flix_lightning.commands.folders import CONF
from flix_lightning.commands.shell import message
from flix_lightning.common.errors import FlixError, unknown


@contextmanager
def explaining(config_name: str) -> Iterator[None]:
    """Raise Hydra's refusals of a config as user errors."""
    try:
        yield
    except Exception as error:
        module = module_of(error)
        if isinstance(error, HydraException) or module.startswith("hydra._internal"):
            raise explained(error, config_name) from error
        if module == "hydra.core.utils" or module.startswith("submitit"):  # raised by a job
            raise of_a_job(error) from error
        raise


def module_of(error: Exception) -> str:
    """The module that raised it: Hydra refuses some command lines with Python's exceptions."""
    return [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)][-1]


def explained(error: Exception, config_name: str) -> FlixError:
    """The message for Hydra's refusal of a command line, with the nearest match."""
    if isinstance(error, OverrideParseException):
        return FlixError(f"cannot read the override {error.override!r}. {remedy(error.override)}")
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        if choice.startswith("submitit"):
            return FlixError("hydra/launcher=slurm needs submitit: pip install 'flix-lightning[slurm]'.")
        options = error.options or [path.stem for path in (CONF / group).glob("*.yaml")]  # none for a list of choices
        return unknown(f"choice of {group}", choice, options)
    refused = re.search(r"Could not (?:override|delete) '([^'@]+)", str(error))
    if refused is None:  # Hydra's own words may be empty
        return FlixError(" ".join(str(error).split()) or message(error) or type(error).__name__)
    key, known = refused[1], list(dotted(default_config(config_name)))
    group = CONF / key
    if group.is_dir():
        return FlixError(f"{key}: this command takes no such group; its own are set as {key}=choice, once.")
    if key in known:  # the default choices have it, those of this command line do not
        return FlixError(f"{key}: not in the config that is chosen here; where it may be set, +{key}=... adds it.")
    near = get_close_matches(key, known, n=1) or [""]
    parent = near[0].rpartition(".")[0]
    return unknown("config key", key, [name for name in known if name.rpartition(".")[0] == parent])


def remedy(override: str) -> str:
    """What to type in the place of an override that Hydra cannot read."""
    parts = OVERRIDE.fullmatch(override)
    if parts is None:
        return "Settings are written key=value."
    if parts["value"].startswith(("[", "{")):
        return (
            "Quote the whole where a list or mapping holds spaces, 'mixture.languages=[sw, yo]', and in it every text "
            "with other characters than letters, digits and ./:-_ once more: 'key=[\"a, b\", c]'."
        )
    typed = f"{parts['key']}={quoted(parts['value'])}"
    try:
        OverridesParser.create().parse_override(typed)
    except HydraException:
        return "Settings are written key=value."
    return f"Quote the value, and the whole from the shell: {shlex.quote(typed)}."


def default_config(config_name: str) -> dict[str, Any]:
    """The config of a command without overrides."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return OmegaConf.to_container(compose(config_name), resolve=False)


def dotted(config: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Every key of a config by its whole path."""
    for key, value in config.items():
        yield before + str(key)
        if isinstance(value, Mapping):
            yield from dotted(value, f"{before}{key}.")


def of_a_job(error: Exception) -> Exception:
    """The error of a failed job of a SLURM sweep: a user error unchanged, any other with the place of the logs."""
    if message(error) is not None:
        return error
    last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
    return FlixError(f"a job of the sweep failed: {last[0]} The jobs' logs lie in <runs_dir>/slurm/<job>.")
