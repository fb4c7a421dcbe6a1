"""A trained bank as one file: every feature's factors, and the words to read them by.

The file is safetensors. Its tensors are `<module path>.lora_a` (ranks, in) and `<module path>.lora_b` (ranks, out), the
rows of a feature side by side. Its metadata says in JSON whose rows these are:

    format          flix_lightning.bank/2; another number where a reader of the one before would answer otherwise
    backbone        "tiny"
    axes            ["task", "language"]
    ranks           {"task=ner": 4, "task=qa_in_lang": 4, "language=sw": 2, ...}, in the order of the rows
    scaling         1.0
    target_modules  ["down_proj", "k_proj", ...], the last parts of the module paths
    cells           [{"task": "ner", "language": "sw"}, ...], trained on
    tasks           {"ner": {"prompt": ..., "metric": ..., "max_target_tokens": ...}, ...}
    model           {"_target_": ..., "name": ...}, the config section that loads the backbone; exports have it
    prompting       {"words": {"sw": "Swahili", ...}, "max_tokens": 1024}; banks of format 1 have none: their features
                    are started from, scored and exported, but no request is put into the words of training
    versions        {"flix-lightning": ..., "torch": ..., "transformers": ...}
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from transformers import PreTrainedModel

from flix_lightning import __version__
from flix_lightning.adapters.composition import Composer, Composition
from flix_lightning.adapters.features import Feature, FeatureSpace, Featurizer
from flix_lightning.adapters.injection import adapter_state, featurized_linears
from flix_lightning.adapters.layer import gathered
from flix_lightning.adapters.peft import LowRank
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import write_whole
from flix_lightning.common.versions import version_of
from flix_lightning.data.cells import Cell
from flix_lightning.data.prompting import PLAIN, Prompting
from flix_lightning.data.tasks import Task

FORMAT = "flix_lightning.bank/2"
EARLIER = "flix_lightning.bank/1"  # without `prompting`
ADAPTER = "adapter.safetensors"  # its name in a run directory
VERSIONED = ("torch", "transformers")


@dataclass(frozen=True)
class Bank:
    """What a bank file holds; see the head of this file."""

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
    ) -> "Bank":
        """The bank that `backbone` carries, trained on `cells`."""
        return Bank(
            factors=adapter_state(backbone),
            ranks={feature: composer.allocation[feature] for feature in composer.space},
            backbone=backbone.config.name_or_path or "",
            axes=composer.featurizer.axes,
            scaling=next(iter(featurized_linears(backbone).values())).scaling,
            cells=tuple(cells),
            tasks=tasks,
            prompting=prompting,
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
            composer: of this bank's features, with the strengths to serve by.

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
        """Copy the factors of every feature that both sides know, matched by name; returns these features.

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
            odd = sorted(own.keys() ^ self.factors.keys())
            side = "this model lacks" if odd[0] in self.factors else "the bank lacks"
            raise FlixError(
                f"bank: trained on {self.backbone!r} with other modules: {len(odd)} factors differ; "
                f"{side} {odd[0]!r}. Backbone and adapter.target_modules must agree."
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
            **({"model": self.model} if self.model else {}),
            "versions": {"flix-lightning": __version__, **{name: version_of(name) for name in VERSIONED}},
        }
        metadata = {"format": FORMAT, **{k: json.dumps(v, ensure_ascii=False) for k, v in schema.items()}}
        factors = {name: factor.contiguous() for name, factor in self.factors.items()}
        write_whole(Path(path), _in_order(save(factors, metadata)))

    @staticmethod
    def read(path: str | Path) -> "Bank":
        """The bank in a file, or of a finished run's directory.

        Raises:
            FlixError: no such file, or it is no bank.
        """
        path = bank_file(Path(path))
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") not in (FORMAT, EARLIER):
                    raise FlixError(
                        f"bank: {str(path)!r} is of format {metadata.get('format')!r}, not {FORMAT!r}; it was written "
                        "by another version or another program."
                    )
                factors = {name: file.get_tensor(name) for name in file.keys()}
            return _from_schema(factors, metadata)
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise FlixError(f"bank: {str(path)!r} is damaged: {type(error).__name__}: {error}.") from error


def bank_file(path: Path) -> Path:
    """The file of a bank that is named by it or by a finished run's directory.

    Raises:
        FlixError: there is none.
    """
    path = path / ADAPTER if path.is_dir() else path
    if not path.is_file():
        raise FlixError(f"bank: there is no file {str(path)!r}; give a finished run's directory or a bank file.")
    return path


def _in_order(content: bytes) -> bytes:
    """The same file with a sorted header: safetensors writes metadata in an order that differs from run to run."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:start]), sort_keys=True, ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[start:]


def _from_schema(factors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Bank:
    schema: dict[str, Any] = {key: json.loads(value) for key, value in metadata.items() if key != "format"}
    ranks = {Feature.parse(name): rank for name, rank in schema["ranks"].items()}
    if {len(factor) for factor in factors.values()} != {sum(ranks.values())}:
        raise ValueError(f"the ranks sum to {sum(ranks.values())}, which some factor has not")
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
    """JSON's lists as the tuples they were."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in section.items()}


def _part(rows: range) -> slice:
    return slice(rows.start, rows.stop)


def _some(features: Iterable[Feature]) -> str:
    names = list(map(str, features))
    return ", ".join(names[:8]) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")
