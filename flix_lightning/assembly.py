"""From the plain, resolved config to benchmark, mixture, data and model: one section, one constructor."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from flix_lightning.bank import Bank
from flix_lightning.benchmarks.benchmark import Benchmark
from flix_lightning.composition import Composer, FeatureDropout
from flix_lightning.datamodule import Batching, Mixing, MixtureDataModule
from flix_lightning.errors import FlixError, unknown
from flix_lightning.filling import fill, fits
from flix_lightning.method import Method
from flix_lightning.mixture import Mixture
from flix_lightning.models.backbone import Backbone
from flix_lightning.module import FlixModule, Optimization
from flix_lightning.ranks import RankAllocation
from flix_lightning.warm_start import Finished, WarmStart

SECTIONS = (
    "name", "seed", "runs_dir", "model", "benchmark", "mixture", "adapter", "rank", "feature_dropout", "data",
    "optimizer", "trainer", "logger", "warm_start",
)  # fmt: skip
ALLOWED_TARGETS = ("flix_lightning.", "lightning.pytorch.loggers.")


@dataclass(frozen=True)
class Experiment:
    """The objects a config stands for."""

    datamodule: MixtureDataModule
    module: FlixModule


def construct(place: str, section: Mapping[str, Any] | None, **known: Any):
    """The object that a section with a `_target_` names; None for an empty section.

    Only the project's own classes and Lightning's loggers can be named: a config, also one that came with somebody's
    run, executes nothing else.

    Raises:
        FlixError: a target that is not allowed or does not exist, or arguments it does not take.
    """
    if not section:
        return None
    path = section.get("_target_", "")
    if not isinstance(path, str) or not path.startswith(ALLOWED_TARGETS):
        raise unknown(f"{place}._target_", path, [f"{allowed}..." for allowed in ALLOWED_TARGETS])
    module, _, name = path.rpartition(".")
    try:
        target = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise FlixError(f"{place}._target_: {path!r} does not exist: {error}") from error
    return fill(place, target, without(section, "_target_"), **known)


def without(section: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in keys}


def build_mixture(config: Mapping[str, Any], benchmark: Benchmark) -> Mixture:
    section = without(config["mixture"], "name", "mixing", "task", "language")
    trainable = [cell for cell in benchmark.cells if "train" in benchmark.splits(cell)]
    return fill("mixture", Mixture.select, section, cells=benchmark.cells, trainable=trainable)


def build_composer(config: Mapping[str, Any], mixture: Mixture) -> Composer:
    method = fill("adapter", Method, without(config["adapter"], "name", "target_modules", "scaling"))
    rank, single = without(config["rank"], "overrides"), config["rank"].get("overrides") or {}
    if not fits(single, dict[str, dict]):
        raise FlixError(f"rank.overrides: axis -> value -> rank, as in {{language: {{sw: 4}}}}; got {single!r}.")
    overrides = {f"{axis}={value}": rank for axis, values in single.items() for value, rank in values.items()}
    return method.composer(mixture.train, RankAllocation(rank, overrides))


def build_experiment(
    config: Mapping[str, Any], benchmark: Benchmark, backbone: Backbone, trained: Bank | None = None
) -> Experiment:
    """Everything a run needs, from its plain config and the two parts that name their own class.

    Args:
        trained: the bank of the finished run whose config it is, to be scored; otherwise the adapters start as
            `warm_start` says.

    Raises:
        FlixError: any setting that is unknown, missing or impossible.
    """
    for key in config:
        if key not in SECTIONS:
            raise unknown("config key", key, SECTIONS)
    if not fits(config["seed"], int) or config["seed"] < 0:
        raise FlixError(f"seed: a whole number of at least 0; got {config['seed']!r}.")
    start = Finished(trained) if trained else fill("warm_start", WarmStart, config.get("warm_start") or {}).read()
    mixture = build_mixture(config, benchmark)
    adapter = config["adapter"]
    dropout = fill("feature_dropout", FeatureDropout, config["feature_dropout"], axes=tuple(adapter["dropout_axes"]))
    composer = start.composer(build_composer(config, mixture))
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
    module.hold(start.apply(module.backbone, composer))
    datamodule = MixtureDataModule(
        benchmark,
        replace(mixture, earlier=start.earlier(composer)),
        backbone.tokenizer,
        backbone.model.config.is_encoder_decoder,
        mixing,
        batching,
        config["seed"],
    )
    return Experiment(datamodule, module)
