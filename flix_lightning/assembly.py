"""From the plain, resolved config to benchmark, mixture, data and model: one section, one constructor."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from flix_lightning.bank import Bank
from flix_lightning.benchmarks.benchmark import Benchmark
from flix_lightning.calibrated import CalibratedModule, Calibration, read_corrections
from flix_lightning.composition import Composer, FeatureDropout
from flix_lightning.datamodule import Batching, Mixing, MixtureDataModule
from flix_lightning.errors import FlixError, unknown
from flix_lightning.features import Cell
from flix_lightning.filling import fill, fits
from flix_lightning.method import Method
from flix_lightning.mixture import Mixture
from flix_lightning.models.backbone import Backbone
from flix_lightning.models.positions import check_positions
from flix_lightning.module import FlixModule
from flix_lightning.optimization import Optimization
from flix_lightning.prompting import Prompting
from flix_lightning.ranks import RankAllocation
from flix_lightning.sections import check_sections
from flix_lightning.tokens.store import Caching
from flix_lightning.warm_start import Finished, WarmStart

# section -> where its classes and functions lie, and what they have to give
TARGETS: dict[str, tuple[tuple[str, ...], type]] = {
    "model": (("flix_lightning.models.",), Backbone),
    "benchmark": (("flix_lightning.benchmarks.",), Benchmark),
    "logger": (("flix_lightning.tracking.", "lightning.pytorch.loggers."), Logger),
}


@dataclass(frozen=True)
class Experiment:
    """The objects a config stands for."""

    datamodule: MixtureDataModule
    module: FlixModule


def construct(place: str, section: Mapping[str, Any] | None, **known: Any):
    """The object that a section with a `_target_` names; None for an empty section.

    A config, also one that came with somebody's run, makes models, benchmarks and loggers of the project's own or of
    Lightning's, and calls nothing else.

    Raises:
        FlixError: a target that is not allowed or does not exist, or arguments it does not take.
    """
    if not section:
        return None
    if not isinstance(section, Mapping):
        raise FlixError(f"{place}: a mapping with a _target_; got {section!r}.")
    path, (allowed, kind) = section.get("_target_", ""), TARGETS[place]
    if not isinstance(path, str) or not path.startswith(allowed):
        raise unknown(f"{place}._target_", path, [f"{prefix}..." for prefix in allowed])
    module, _, name = path.rpartition(".")
    try:
        target = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise FlixError(f"{place}._target_: {path!r} does not exist: {error}") from error
    if not _gives(target, kind):
        raise FlixError(f"{place}._target_: {path!r} gives no {kind.__name__}.")
    return fill(place, target, without(section, "_target_"), **known)


def _gives(target: Any, kind: type) -> bool:
    """Whether calling `target` makes a `kind`: by its bases, or by its annotation if it is a function."""
    if kind is Benchmark:  # a protocol: its classes are told by where they are defined
        return isinstance(target, type) and target.__module__.startswith(TARGETS["benchmark"][0])
    made = target if isinstance(target, type) else getattr(target, "__annotations__", {}).get("return")
    return isinstance(made, type) and issubclass(made, kind)


def stored_model(section: Mapping[str, Any], trust_remote_code: bool) -> Backbone:
    """The backbone of a finished run; that its trainer trusted a model's own Python code says nothing here.

    Raises:
        FlixError: the model brings code, and nobody here asked to run it.
    """
    if section.get("trust_remote_code") and not trust_remote_code:
        raise FlixError(
            f"model {section.get('name')!r} of this run brings Python code of its own; if you trust its authors, set "
            "trust_remote_code=true."
        )
    return construct("model", section)


def without(section: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in keys}


def build_mixture(config: Mapping[str, Any], benchmark: Benchmark) -> Mixture:
    section = without(config["mixture"], "name", "mixing", "task", "language")
    trainable = [cell for cell in benchmark.cells if "train" in benchmark.splits(cell)]
    return fill("mixture", Mixture.select, section, cells=benchmark.cells, trainable=trainable)


def build_method(config: Mapping[str, Any]) -> Method:
    return fill("adapter", Method, without(config["adapter"], "name"))


def build_composer(config: Mapping[str, Any], mixture: Mixture) -> Composer:
    rank, single = without(config["rank"], "overrides"), config["rank"].get("overrides") or {}
    if not fits(single, dict[str, dict]):
        raise FlixError(f"rank.overrides: axis -> value -> rank, as in {{language: {{sw: 4}}}}; got {single!r}.")
    overrides = {f"{axis}={value}": rank for axis, values in single.items() for value, rank in values.items()}
    return build_method(config).composer(mixture.train, RankAllocation(rank, overrides))


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
    check_sections(config)
    mixture = build_mixture(config, benchmark)
    if "bank" in config["adapter"]:
        module, earlier = _calibrated(config, benchmark, backbone, mixture)
    else:
        module, earlier = _adapted(config, benchmark, backbone, mixture, trained)
    module.optimization.check_axes(module.factor_rows())
    mixing = fill("mixture.mixing", Mixing, config["mixture"]["mixing"])
    batching = fill("data", Batching, without(config["data"], "cache"))
    studied = {cell.task: benchmark.tasks[cell.task] for cell in mixture.cells}
    check_positions(backbone.model, studied.values(), batching.max_prompt_tokens)
    caching = fill("data.cache", Caching, config["data"].get("cache", {}))
    datamodule = MixtureDataModule(
        benchmark,
        replace(mixture, earlier=earlier),
        backbone.tokenizer,
        backbone.model.config.is_encoder_decoder,
        mixing,
        batching,
        config["seed"],
        caching,
    )
    return Experiment(datamodule, module)


def _adapted(
    config: Mapping[str, Any], benchmark: Benchmark, backbone: Backbone, mixture: Mixture, trained: Bank | None
) -> tuple[FlixModule, tuple[Cell, ...]]:
    """The module that trains adapters, and the cells that these were trained on earlier."""
    method = build_method(config)
    start = Finished(trained) if trained else fill("warm_start", WarmStart, config.get("warm_start") or {}).read()
    dropout = fill("feature_dropout", FeatureDropout, config["feature_dropout"], axes=method.dropout_axes)
    composer = start.composer(build_composer(config, mixture))
    earlier = start.earlier(composer)
    tasks = {cell.task: start.bank.tasks[cell.task] for cell in earlier if cell.task in start.bank.tasks}
    prompting = Prompting.of(benchmark, config["data"]["max_prompt_tokens"])
    module = FlixModule(
        *backbone,
        tasks={**tasks, **benchmark.tasks},
        composer=composer,
        dropout=dropout,
        optimization=fill("optimizer", Optimization, config["optimizer"]),
        max_steps=config["trainer"]["max_steps"],
        seed=config["seed"],
        target_modules=method.target_modules,
        scaling=method.scaling,
        prompting=prompting.after(start.bank.prompting if earlier else None),
    )
    module.hold(start.apply(module.backbone, composer))
    return module, earlier


def _calibrated(
    config: Mapping[str, Any], benchmark: Benchmark, backbone: Backbone, mixture: Mixture
) -> tuple[FlixModule, tuple[Cell, ...]]:
    """The module that trains corrections of a frozen bank, and the cells that the bank was trained on.

    Raises:
        FlixError: a warm start, which such a run has not.
    """
    calibration = fill("adapter", Calibration, without(config["adapter"], "name"))
    if config.get("warm_start"):
        raise FlixError("warm_start: a calibration starts from adapter.bank and takes no other start.")
    bank = calibration.read()
    composer, start = bank.composer(), Finished(bank)
    module = CalibratedModule(
        *backbone,
        tasks=benchmark.tasks,
        composer=composer,
        dropout=FeatureDropout(0.0),
        optimization=fill("optimizer", Optimization, config["optimizer"]),
        max_steps=config["trainer"]["max_steps"],
        seed=config["seed"],
        target_modules=bank.modules,
        scaling=bank.scaling,
    )
    start.apply(module.backbone, composer)
    module.calibrate(calibration.composer(composer, mixture.train), calibration.rank is None)
    return module, start.earlier(composer)


def build_finished(run: Path, config: Mapping[str, Any], benchmark: Benchmark, backbone: Backbone) -> Experiment:
    """`build_experiment` with what a finished run has trained, to be scored."""
    if "bank" not in config["adapter"]:
        return build_experiment(config, benchmark, backbone, Bank.read(run))
    experiment = build_experiment(config, benchmark, backbone)
    experiment.module.load_trained_state(read_corrections(run))
    return experiment
