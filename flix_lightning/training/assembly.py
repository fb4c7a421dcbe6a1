"""From the plain, resolved config to benchmark, mixture, data and model: one section, one constructor."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from typing_extensions import Doc

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.corrections import Calibration, read_corrections
from flix_lightning.adapters.dropout import FeatureDropout
from flix_lightning.adapters.method import Method
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.adapters.warm_start import Finished, WarmStart
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Count, check, fill, without
from flix_lightning.common.targets import COMPOSED
from flix_lightning.data.benchmarks.benchmark import Benchmark
from flix_lightning.data.cells import Cell
from flix_lightning.data.datamodule import Batching, Mixing, MixtureDataModule
from flix_lightning.data.metrics import make_metric
from flix_lightning.data.mixture import Mixture, build_mixture
from flix_lightning.data.prompting import Prompting
from flix_lightning.data.tokens.store import Caching
from flix_lightning.models.backbone import Backbone
from flix_lightning.models.positions import check_positions
from flix_lightning.training.calibrated_module import CalibratedModule
from flix_lightning.training.module import FlixModule
from flix_lightning.training.optimizer import Optimization
from flix_lightning.training.sections import Sections
from flix_lightning.training.used_vocabulary import cut_vocabulary

Ranks = Annotated[Mapping[str, Count], Doc("axis -> value -> rank, as in {language: {sw: 4}}")]


@dataclass(frozen=True)
class Experiment:
    """The objects a config stands for."""

    datamodule: MixtureDataModule
    module: FlixModule
    vocabulary: tuple[int, int] | None = None  # tokens of the backbone in the run, and of all, where it was cut


def build_method(config: Mapping[str, Any]) -> Method:
    return fill("adapter", Method, without(config["adapter"], "name"))


def build_composer(config: Mapping[str, Any], mixture: Mixture) -> Composer:
    single = check("rank.overrides", Mapping[str, Ranks] | None, config["rank"].get("overrides")) or {}
    overrides = {f"{axis}={value}": rank for axis, values in single.items() for value, rank in values.items()}
    allocation = RankAllocation(without(config["rank"], "overrides"), overrides)
    return build_method(config).composer(mixture.train, allocation)


def build_experiment(
    config: Mapping[str, Any], benchmark: Benchmark, backbone: Backbone, trained: Bank | None = None
) -> Experiment:
    """The data module and model of a run, from its plain config, its benchmark and its backbone.

    Args:
        trained: the bank of the finished run with this config, to be scored; without it the adapters start as
            `warm_start` says.

    Raises:
        FlixError: any setting that is unknown, missing or impossible.
    """
    fill("", Sections, config)
    for name, task in benchmark.tasks.items():
        make_metric(f"benchmark.tasks.{name}.metric", task.metric, COMPOSED)  # trusted with its benchmark
    mixture = build_mixture(config, benchmark)
    whole = backbone.tokens  # the model is cut in place
    backbone = cut_vocabulary(config, benchmark, mixture, backbone)
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
    return Experiment(datamodule, module, None if backbone.tokens == whole else (backbone.tokens, whole))


def _adapted(
    config: Mapping[str, Any], benchmark: Benchmark, backbone: Backbone, mixture: Mixture, trained: Bank | None
) -> tuple[FlixModule, tuple[Cell, ...]]:
    """The module that trains adapters, and the cells that they were trained on before."""
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
        FlixError: a warm start, which a calibration cannot have.
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
