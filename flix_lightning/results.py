"""The record of a run: one JSON file with everything its tables and plots are made of."""

import json
import platform
import resource
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from flix_lightning.composition import Composer
from flix_lightning.errors import FlixError
from flix_lightning.features import Cell
from flix_lightning.injection import AdapterBank
from flix_lightning.mixture import GROUPS, Mixture
from flix_lightning.run_directory import write_whole

VERSIONED = ("torch", "lightning", "transformers", "hydra-core", "babel", "numpy")


def parameters_by_axis(composer: Composer, banks: list[AdapterBank]) -> dict[str, int]:
    """Axis -> trainable parameters of its features, all banks together."""
    per_rank = sum(bank.in_features + bank.out_features for bank in banks)
    ranks = dict.fromkeys(composer.space.axes(), 0)
    for feature in composer.space:
        ranks[feature.axis] += composer.allocation[feature]
    return {axis: rank * per_rank for axis, rank in ranks.items()}


def mixing_shares(mixture: Mixture, probabilities: np.ndarray, drawn: np.ndarray) -> dict[str, dict[str, float]]:
    """Cell -> the share asked for and the share drawn."""
    realised = drawn / drawn.sum()
    return {
        str(cell): {"asked": float(p), "drawn": float(share)}
        for cell, p, share in zip(mixture.train, probabilities, realised, strict=True)
    }


def cell_rows(scores: Mapping[Cell, float], mixture: Mixture) -> list[dict[str, Any]]:
    """A row a cell: task, language, group, score."""
    return [
        {"task": cell.task, "language": cell.language, "group": mixture.group(cell), "score": round(score, 4)}
        for cell, score in scores.items()
    ]


def columns(cells: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """(task, group) -> the mean score of its cells, in the order seen, unseen combination, unseen language."""
    keys = sorted({(row["task"], row["group"]) for row in cells}, key=lambda key: (GROUPS.index(key[1]), key[0]))
    return {key: fmean(row["score"] for row in cells if (row["task"], row["group"]) == key) for key in keys}


def environment() -> dict[str, str]:
    """What the run was computed with."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    versions = {package: version(package) for package in VERSIONED}
    return {"commit": commit.stdout.strip(), "python": platform.python_version(), **versions}


def peak_memory_mib() -> float:
    """The largest resident memory of this process, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_record(run: Path, record: Mapping[str, Any]) -> None:
    write_whole(run / "record.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def read_record(run: Path) -> dict[str, Any]:
    """The record of a finished run.

    Raises:
        FlixError: the run has none: it is absent or unfinished.
    """
    path = run / "record.json"
    if not path.is_file():
        raise FlixError(f"run: {str(run)!r} holds no record.json; it is not a finished run.")
    return json.loads(path.read_text(encoding="utf8"))
