"""The corrections of a calibration run, put behind the bank that they correct."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flix_lightning.adapters.calibration import calibrate
from flix_lightning.adapters.corrections import Calibration, load_corrections, read_corrections
from flix_lightning.data.benchmarks.benchmark import load_benchmark
from flix_lightning.data.mixture import build_mixture
from flix_lightning.data.prompting import Prompting

if TYPE_CHECKING:
    from flix_lightning.inference.model import FlixModel


def add_corrections(
    model: "FlixModel", calibration: Calibration, config: Mapping[str, Any], run: Path, trust: Sequence[str]
) -> None:
    """Make a model of the bank one of the run, which also knows the run's tasks and cells.

    Args:
        calibration: of the run, whose bank the model has.
        config: of the run.

    Raises:
        FlixError: the run is unfinished, or its corrections belong to another backbone or other tasks.
    """
    benchmark = load_benchmark(config["benchmark"], trust)
    cells = build_mixture(config, benchmark).train
    composer = calibration.composer(model.composer, cells)
    rows = composer.total_rank - model.composer.total_rank
    model.active, corrections = calibrate(model.backbone, rows, calibration.rank is None)
    load_corrections(corrections, read_corrections(run))
    model.composer, known = composer, dict.fromkeys((*model.bank.cells, *cells))
    prompting = Prompting.of(benchmark, config["data"]["max_prompt_tokens"]).after(model.bank.prompting)
    tasks = {**model.bank.tasks, **benchmark.tasks}
    model.bank = replace(model.bank, tasks=tasks, cells=tuple(known), prompting=prompting)
