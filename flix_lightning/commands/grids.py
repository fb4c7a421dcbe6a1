"""The runs of an experiment: every combination of the values that it lists under `hydra.sweeper.params`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from flix_lightning.commands.folders import CONF
from flix_lightning.commands.hydra_shell import VERSION, composed
from flix_lightning.commands.refusals import explaining
from flix_lightning.commands.shell import resolved

EXPERIMENTS = CONF / "experiment"
BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"  # other sweepers choose values as they go


@dataclass(frozen=True)
class Planned:
    """One run of a study.

    Args:
        study: the experiment's name.
        overrides: of `flix train`, the experiment's own first.
        config: plain and resolved.
    """

    study: str
    overrides: tuple[str, ...]
    config: dict[str, Any]


def names() -> list[str]:
    """Of all experiments, whether or not they list runs."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))


def combinations(study: str, more: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """The overrides of `flix train` for every run of an experiment; none where it lists none.

    Args:
        more: overrides for every run.
    """
    base = (f"experiment={study}", *more)
    sweeper = composed("train", base, hydra=True).hydra.sweeper
    if sweeper["_target_"] != BASIC or not sweeper.get("params"):
        return []
    return [(*base, *chosen) for chosen in product(*listed(OmegaConf.to_container(sweeper.params, resolve=False)))]


def planned(study: str, more: Sequence[str] = ()) -> list[Planned]:
    """The runs of an experiment with their configs."""
    overrides = combinations(study, more)
    GlobalHydra.instance().clear()
    with explaining("train"), initialize_config_dir(str(CONF), version_base=VERSION):
        return [Planned(study, chosen, resolved(compose("train", list(chosen)))) for chosen in overrides]


def listed(params: dict[str, Any]) -> list[list[str]]:
    """`{"seed": "0,1"}` -> `[["seed=0", "seed=1"]]`, as Hydra reads it."""
    parser = OverridesParser.create()
    found = []
    for key, values in params.items():
        override = parser.parse_override(f"{key}={values}")
        swept = override.sweep_string_iterator() if override.is_sweep_override() else [values]
        found.append([f"{key}={value}" for value in swept])
    return found
