"""The runs of an experiment: every combination of the values that it lists under `hydra.sweeper.params`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from flix_lightning.commands.arguments import quoted
from flix_lightning.commands.folders import CONF
from flix_lightning.commands.hydra_shell import VERSION, composed
from flix_lightning.commands.refusals import explaining
from flix_lightning.commands.shell import resolved

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"  # other sweepers choose values as they go


@dataclass(frozen=True)
class Planned:
    """One run of a study.

    Args:
        study: the experiment's name.
        words: of `flix train`, the experiment's own first.
        config: plain and resolved.
    """

    study: str
    words: tuple[str, ...]
    config: dict[str, Any]


def names(folders: Sequence[str] = ()) -> list[str]:
    """Of all experiments, whether or not they list runs.

    Args:
        folders: of the user's, searched for experiments too.
    """
    return sorted({path.stem for home in (CONF, *map(Path, folders)) for path in (home / "experiment").glob("*.yaml")})


def combinations(study: str, more: Sequence[str] = (), folders: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """The overrides of `flix train` for every run of an experiment; empty if it lists none.

    Args:
        more: overrides for every run; one of what the experiment lists stands in the place of its values there.
        folders: of the user's, searched for configs too.
    """
    own = (f"experiment={study}", *searching(folders))
    sweeper = composed("train", own, hydra=True).hydra.sweeper
    if sweeper["_target_"] != BASIC or not sweeper.get("params"):
        return []
    params = OmegaConf.to_container(sweeper.params, resolve=False)
    assert isinstance(params, dict)
    base = [f"experiment={study}"]
    for word in more:
        key, _, value = word.partition("=")
        if key in params:
            params[key] = value
        else:
            base.append(word)
    return [(*base, *chosen) for chosen in product(*listed(params))]


def planned(study: str, more: Sequence[str] = (), folders: Sequence[str] = ()) -> list[Planned]:
    """The runs of an experiment with their configs; arguments as of `combinations`."""
    runs = combinations(study, more, folders)
    options = [word for folder in folders for word in ("--config-dir", folder)]
    GlobalHydra.instance().clear()
    with explaining("train"), initialize_config_dir(str(CONF), version_base=VERSION):
        return [
            Planned(study, (*options, *chosen), resolved(compose("train", [*chosen, *searching(folders)])))
            for chosen in runs
        ]


def searching(folders: Sequence[str]) -> list[str]:
    """Hydra's override for further folders of configs."""
    return [f"hydra.searchpath=[{','.join(quoted(f'file://{folder}') for folder in folders)}]"] if folders else []


def listed(params: dict[str, Any]) -> list[list[str]]:
    """`{"seed": "0,1"}` -> `[["seed=0", "seed=1"]]`, as Hydra reads it."""
    parser = OverridesParser.create()
    found = []
    for key, values in params.items():
        override = parser.parse_override(f"{key}={values}")
        swept = override.sweep_string_iterator() if override.is_sweep_override() else [values]
        found.append([f"{key}={value}" for value in swept])
    return found
