"""From the plain, resolved config to benchmark, mixture, data and model: one section, one constructor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from flix_lightning.benchmarks.benchmark import Benchmark
from flix_lightning.composition import Composer, FeatureDropout
from flix_lightning.datamodule import Batching, Mixing, MixtureDataModule
from flix_lightning.errors import FlixError, unknown
from flix_lightning.method import Method
from flix_lightning.mixture import Mixture
from flix_lightning.models.backbone import Backbone
from flix_lightning.module import FlixModule, Optimization
from flix_lightning.ranks import RankAllocation


@dataclass(frozen=True)
class Experiment:
    """The objects a config stands for."""

    datamodule: MixtureDataModule
    module: FlixModule


def fill(place: str, target: Callable, section: Mapping[str, Any], **known: Any):
    """`target(**section)`, with unknown and missing keys told by their place in the config."""
    parameters = {name: p for name, p in signature(target).parameters.items() if name not in known}
    for key in section:
        if key not in parameters:
            raise unknown("config key", f"{place}.{key}", [f"{place}.{name}" for name in parameters])
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in section:
            raise FlixError(f"config key {place}.{name} is missing.")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in section.items()}
    return target(**values, **known)


def without(section: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in keys}


def build_mixture(config: Mapping[str, Any], benchmark: Benchmark) -> Mixture:
    section = without(config["mixture"], "name", "mixing", "task", "language")
    return fill("mixture", Mixture.select, section, cells=benchmark.cells)


def build_composer(config: Mapping[str, Any], mixture: Mixture) -> Composer:
    method = fill("adapter", Method, without(config["adapter"], "name", "target_modules", "scaling"))
    rank = config["rank"]
    return method.composer(mixture.train, RankAllocation(without(rank, "overrides"), rank.get("overrides") or {}))


def build_experiment(config: Mapping[str, Any], benchmark: Benchmark, backbone: Backbone) -> Experiment:
    """Everything a run needs, from its plain config and the two parts that name their own class.

    Raises:
        FlixError: any setting that is unknown, missing or impossible.
    """
    mixture = build_mixture(config, benchmark)
    adapter = config["adapter"]
    dropout = fill("feature_dropout", FeatureDropout, config["feature_dropout"], axes=tuple(adapter["dropout_axes"]))
    composer = build_composer(config, mixture)
    mixing = fill("mixture.mixing", Mixing, config["mixture"]["mixing"])
    batching = fill("data", Batching, config["data"])
    optimization = fill("optimizer", Optimization, config["optimizer"])
    module = FlixModule(
        *backbone,
        tasks=benchmark.tasks,
        composer=composer,
        dropout=dropout,
        optimization=optimization,
        max_steps=config["trainer"]["max_steps"],
        seed=config["seed"],
        target_modules=adapter["target_modules"],
        scaling=adapter["scaling"],
    )
    datamodule = MixtureDataModule(
        benchmark, mixture, backbone.tokenizer, backbone.model.config.is_encoder_decoder, mixing, batching, config["seed"]
    )
    return Experiment(datamodule, module)
