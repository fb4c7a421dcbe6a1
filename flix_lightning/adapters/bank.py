"""A trained bank: every feature's factors, with what is needed to use them; `bank_file` has its format."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from flix_lightning.adapters.bank_file import ADAPTER, read_bank_file, write_bank_file
from flix_lightning.adapters.composition import Composer, Composition
from flix_lightning.adapters.features import Feature, FeatureSpace, Featurizer
from flix_lightning.adapters.injection import adapter_state, featurized_linears
from flix_lightning.adapters.layer import gathered
from flix_lightning.adapters.peft import LowRank
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import whole_folder
from flix_lightning.data.cells import Cell
from flix_lightning.data.prompting import PLAIN, Prompting
from flix_lightning.data.tasks import Task


@dataclass(frozen=True)
class Bank:
    """What a bank file holds; see `bank_file`."""

    factors: Mapping[str, Tensor]
    ranks: Mapping[Feature, int]
    backbone: str
    axes: tuple[str, ...]
    scaling: float
    cells: tuple[Cell, ...]
    tasks: Mapping[str, Task]
    prompting: Prompting | None = PLAIN
    model: Mapping[str, Any] | None = None

    @staticmethod
    def of(
        backbone: PreTrainedModel,
        composer: Composer,
        tasks: Mapping[str, Task],
        cells: Iterable[Cell],
        prompting: Prompting | None = PLAIN,
        model: Mapping[str, Any] | None = None,
    ) -> "Bank":
        """The bank that `backbone` carries, trained on `cells`; `model` is the section of a config that loads it."""
        return Bank(
            factors=adapter_state(backbone),
            ranks={feature: composer.allocation[feature] for feature in composer.space},
            backbone=backbone.config.name_or_path or "",
            axes=composer.featurizer.axes,
            scaling=next(iter(featurized_linears(backbone).values())).scaling,
            cells=tuple(cells),
            tasks=tasks,
            prompting=prompting,
            model=model,
        )

    @property
    def modules(self) -> list[str]:
        """The paths of the adapted modules."""
        return [name.removesuffix(".lora_a") for name in self.factors if name.endswith(".lora_a")]

    def composer(self) -> Composer:
        """Cells -> composition, for exactly this bank's features and ranks."""
        by_axis = {feature.axis: rank for feature, rank in self.ranks.items()}
        allocation = RankAllocation(by_axis, {str(feature): rank for feature, rank in self.ranks.items()})
        return Composer(Featurizer(self.axes), FeatureSpace(self.ranks), allocation)

    def rows(self) -> dict[Feature, range]:
        """Feature -> its rows of the factors."""
        found, start = {}, 0
        for feature, rank in self.ranks.items():
            found[feature] = range(start, start + rank)
            start += rank
        return found

    def low_ranks(self, composer: Composer, cell: Cell) -> dict[str, LowRank]:
        """Module path -> the update that serves a cell, weights and scaling folded in; no backbone is needed.

        Args:
            composer: of this bank's features, with the strengths to apply.

        Raises:
            FlixError: none of the cell's features is known.
        """
        rows = self.rows()
        served = [(row, weight) for _, feature, weight in composer.serving(cell) for row in rows[feature]]
        if not served:
            names = ", ".join(map(str, composer.featurizer(cell)))
            raise FlixError(
                f"bank: nothing serves {cell}: none of its features is known, or all are left out ({names})."
            )
        composition = Composition(*map(torch.tensor, zip(*served)))
        pairs = {name: (self.factors[f"{name}.lora_a"], self.factors[f"{name}.lora_b"]) for name in self.modules}
        return {name: LowRank(*gathered(*pair, composition, self.scaling)) for name, pair in pairs.items()}

    @torch.no_grad()
    def load_into(self, backbone: PreTrainedModel, composer: Composer) -> list[Feature]:
        """Copy the factors of the features that bank and model share, matched by name; returns these features.

        Raises:
            FlixError: other modules, widths, scaling or ranks, or no feature in common. Nothing is copied then.
        """
        own = adapter_state(backbone)
        self._check_modules(own, next(iter(featurized_linears(backbone).values())).scaling)
        rows = self.rows()
        shared = [feature for feature in composer.space if feature in rows]
        if not shared:
            raise FlixError(
                f"bank: none of its features is one of this model's. It has {_some(rows)}; this model has "
                f"{_some(composer.space)}."
            )
        for feature in shared:
            if len(rows[feature]) != composer.allocation[feature]:
                raise FlixError(
                    f"bank: feature {feature} has rank {len(rows[feature])} there and {composer.allocation[feature]} "
                    f"here; set rank.{feature.axis}={len(rows[feature])}, or "
                    f"+rank.overrides.{feature.axis}.{feature.value}={len(rows[feature])}."
                )
        for name, factor in own.items():
            for feature in shared:
                factor[_part(composer.ranks_of(feature))] = self.factors[name][_part(rows[feature])]
        return shared

    def _check_modules(self, own: Mapping[str, Tensor], scaling: float) -> None:
        if own.keys() != self.factors.keys():
            differing = sorted(own.keys() ^ self.factors.keys())
            side = "this model lacks" if differing[0] in self.factors else "the bank lacks"
            raise FlixError(
                f"bank: trained on {self.backbone!r} with other modules: {len(differing)} factors differ; "
                f"{side} {differing[0]!r}. Backbone and adapter.target_modules must agree."
            )
        for name, factor in own.items():
            if factor.shape[1:] != self.factors[name].shape[1:]:
                raise FlixError(
                    f"bank: {name!r} has width {self.factors[name].shape[1]} there and {factor.shape[1]} here; it was "
                    f"trained on another backbone, {self.backbone!r}."
                )
        if scaling != self.scaling:
            raise FlixError(f"bank: trained with adapter.scaling={self.scaling}; this model has {scaling}.")

    def write(self, path: str | Path) -> None:
        """Write the file whole or not at all.

        Raises:
            FlixError: the file system refuses.
        """
        endings = sorted({name.rpartition(".")[2] for name in self.modules})
        schema = {
            "backbone": self.backbone,
            "axes": self.axes,
            "ranks": {str(feature): rank for feature, rank in self.ranks.items()},
            "scaling": self.scaling,
            "target_modules": endings,
            "cells": [{"task": c.task, "language": c.language, **dict(c.attributes)} for c in self.cells],
            "tasks": {name: _without_name(task) for name, task in self.tasks.items()},
            "prompting": self.prompting and asdict(self.prompting),
            "model": self.model,
        }
        write_bank_file(Path(path), self.factors, schema)

    def write_folder(self, folder: Path) -> Path:
        """Write the bank as a folder of its own, whole or not at all; returns it.

        Raises:
            FlixError: something other than a bank lies there.
        """
        with whole_folder(folder) as partial:
            self.write(partial / ADAPTER)
        return folder

    @staticmethod
    def read(path: str | Path) -> "Bank":
        """The bank in a file, or of a finished run's directory.

        Raises:
            FlixError: no such file, or it is no bank.
        """
        return read_bank_file(Path(path), _from_schema)


def _from_schema(factors: Mapping[str, Tensor], schema: Mapping[str, Any]) -> Bank:
    ranks = {Feature.parse(name): rank for name, rank in schema["ranks"].items()}
    if {len(factor) for factor in factors.values()} != {sum(ranks.values())}:
        raise ValueError(f"the ranks sum to {sum(ranks.values())}, and some factor has another number of rows")
    return Bank(
        factors=factors,
        ranks=ranks,
        backbone=schema["backbone"],
        axes=tuple(schema["axes"]),
        scaling=schema["scaling"],
        cells=tuple(Cell(c.pop("task"), c.pop("language"), tuple(c.items())) for c in map(dict, schema["cells"])),
        tasks={name: Task(name=name, **_tuples(task)) for name, task in schema["tasks"].items()},
        prompting=Prompting.read(schema["prompting"]) if schema.get("prompting") else None,
        model=schema.get("model"),
    )


def _without_name(task: Task) -> dict[str, Any]:
    return {key: value for key, value in asdict(task).items() if key != "name"}


def _tuples(section: Mapping[str, Any]) -> dict[str, Any]:
    """Lists read from JSON, as tuples again."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in section.items()}


def _part(rows: range) -> slice:
    return slice(rows.start, rows.stop)


def _some(features: Iterable[Feature]) -> str:
    names = list(map(str, features))
    return ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")
