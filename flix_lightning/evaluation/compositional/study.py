"""The records of the study in one JSON file: one a method and seed, kept as soon as it is known, never made twice."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flix_lightning.common.files import write_whole
from flix_lightning.data.cells import JOIN
from flix_lightning.evaluation.compositional.methods import Setting
from flix_lightning.evaluation.compositional.records import deciding, read_records
from flix_lightning.evaluation.compositional.serving import Served, composed, latency_ratio, scores
from flix_lightning.training.environment import environment

BYTES = 4  # of a stored parameter


class Study:
    """What one seed's methods scored.

    Args:
        file: of the records, of all seeds.
        setting: what the methods are made from.
        precision: the number format that its runs train in.
        overrides: what the user typed to change the study.
    """

    def __init__(self, file: Path, setting: Setting, precision: str, overrides: Sequence[str] = ()) -> None:
        self.file, self.setting, self.overrides = file, setting, deciding(overrides)
        self.precision = precision
        file.parent.mkdir(parents=True, exist_ok=True)

    def record(
        self,
        method: str,
        make: Callable[[], Served],
        added: int = 0,
        stored: int = 0,
        known: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Score a method and keep its record.

        Args:
            method: its name in the table.
            added: parameters that a composite task has beside the experts'.
            stored: parameters kept beside the experts' for all composite tasks together.
            known: rows of a training run's record with the test scores of the composite tasks among them.
        """
        records = [*read_records(self.file), self._measured(method, make(), added, stored, known)]
        write_whole(self.file, json.dumps(records, indent=1) + "\n")

    def _measured(
        self, method: str, served: Served, added: int, stored: int, known: Sequence[Mapping[str, Any]] | None
    ) -> Mapping[str, Any]:
        cells = self.setting.cells
        examples = [self.setting.benchmark.examples(cell, "test")[0] for cell in cells]
        plain = Served(self.setting.model(self.setting.experts), (composed,))
        if known is None:
            known = [{"task": c.task, "score": s} for c, s in scores(served, self.setting.benchmark, cells).items()]
        return {
            "method": method,
            "seed": self.setting.seed,
            "precision": self.precision,
            "overrides": self.overrides,
            "passes": len(served.passes),
            "added_parameters": added,
            "stored_bytes": stored * BYTES,
            "latency_ratio": round(latency_ratio(served, plain, cells, examples), 3),
            "cells": [{"task": r["task"], "score": round(r["score"], 4)} for r in known if JOIN in r["task"]],
            "environment": environment(),
        }
