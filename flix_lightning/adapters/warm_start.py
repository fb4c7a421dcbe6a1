"""Where adapters start from: a trained bank, LoRAs made elsewhere; and which features train."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
from transformers import PreTrainedModel
from typing_extensions import Doc

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.features import Feature, FeatureSpace
from flix_lightning.adapters.injection import featurized_linears
from flix_lightning.adapters.peft import LowRank, read_peft_folder
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import Location, checked
from flix_lightning.data.cells import Cell

Folders = Annotated[Mapping[str, Location], Doc("axis -> value -> folder, as in {language: {sw: path}}")]


@checked("warm_start")
@dataclass(frozen=True)
class WarmStart:
    """The `warm_start` section of a config.

    Args:
        bank: a run's directory or a bank file; its features start as they are there, matched by name.
        peft: axis -> value -> the folder of a PEFT LoRA that the feature starts as.
        train: `all` features of the mixture, or only the `new` ones, which the bank lacks: the bank's features are kept
            bit for bit, used by the mixture or not, and are part of the run's bank.
        renamed_model: the bank's model may have another name here, as of a folder that was moved.

    Raises:
        FlixError: contradictory settings.
    """

    bank: Location | None = None
    peft: Mapping[str, Folders] = field(default_factory=dict)
    train: Literal["all", "new"] = "all"
    renamed_model: bool = False

    def __post_init__(self) -> None:
        if self.train == "new" and self.bank is None:
            raise FlixError("warm_start.train=new: needs warm_start.bank; new features are those that the bank lacks.")

    def read(self) -> "Start":
        """The bank and LoRAs that it names, read from disk."""
        folders = {Feature(axis, value): Path(p) for axis, values in self.peft.items() for value, p in values.items()}
        loras = {feature: read_peft_folder(folder) for feature, folder in folders.items()}
        bank = None if self.bank is None else Bank.read(Path(self.bank))
        return Start(bank, loras, self.train == "new", self.renamed_model)


class Start(NamedTuple):
    """A warm start, ready to be applied.

    Attributes:
        bank: the features to start from.
        loras: feature -> module path -> update.
        keep: the bank's features stay as they are.
        renamed: the backbone's name need not be that in the bank.
    """

    bank: Bank | None
    loras: Mapping[Feature, Mapping[str, LowRank]]
    keep: bool
    renamed: bool = False

    def composer(self, own: Composer) -> Composer:
        """`own`, with the features that are kept beside its own.

        Raises:
            FlixError: nothing new is left to train.
        """
        if not self.keep:
            return own
        if all(feature in self.bank.ranks for feature in own.space):
            raise FlixError(
                "warm_start.train=new: the bank has every feature of this mixture already, so nothing would train; "
                "widen the mixture, or set warm_start.train=all."
            )
        kept = {feature: rank for feature, rank in self.bank.ranks.items() if feature not in own.space}
        by_axis = {**{feature.axis: rank for feature, rank in kept.items()}, **own.allocation.by_axis}
        overrides = {**own.allocation.overrides, **{str(feature): rank for feature, rank in kept.items()}}
        return Composer(own.featurizer, FeatureSpace([*own.space, *kept]), RankAllocation(by_axis, overrides))

    def earlier(self, composer: Composer) -> tuple[Cell, ...]:
        """The cells that the bank was trained on, as far as their features are used."""
        return () if self.bank is None else tuple(cell for cell in self.bank.cells if _covers(composer, cell))

    def apply(self, backbone: PreTrainedModel, composer: Composer) -> tuple[Feature, ...]:
        """Fill the adapters; returns the features to keep as they are.

        Raises:
            FlixError: a bank or a LoRA that does not fit.
        """
        if self.bank is not None:
            here = backbone.config.name_or_path
            if not self.renamed and _last_part(self.bank.backbone) != _last_part(here):
                raise FlixError(
                    f"warm_start.bank: trained on backbone {self.bank.backbone!r}; this run's is {here!r}. If that is "
                    "the same model under another name, set warm_start.renamed_model=true."
                )
            self.bank.load_into(backbone, composer)
        for feature, updates in self.loras.items():
            if self.keep and feature in self.bank.ranks:
                raise FlixError(f"warm_start.peft: {feature} is kept as the bank has it (warm_start.train=new).")
            load_lora(backbone, composer, feature, updates)
        return tuple(self.bank.ranks) if self.keep else ()


class Finished(NamedTuple):
    """A finished run's own bank in place of a warm start: to be scored, not trained."""

    bank: Bank

    def composer(self, own: Composer) -> Composer:
        return self.bank.composer()

    def earlier(self, composer: Composer) -> tuple[Cell, ...]:
        return self.bank.cells

    def apply(self, backbone: PreTrainedModel, composer: Composer) -> tuple[Feature, ...]:
        self.bank.load_into(backbone, composer)
        return ()


@torch.no_grad()
def load_lora(backbone: PreTrainedModel, composer: Composer, feature: Feature, updates: Mapping[str, LowRank]) -> None:
    """Start `feature` as a LoRA of at most its rank.

    Remaining ranks, and modules that the LoRA lacks, keep their `lora_a` and get a zero `lora_b`: they change nothing
    yet and can be trained.

    Raises:
        FlixError: the feature is unknown, or a module, width or rank does not fit.
    """
    rows, banks = composer.ranks_of(feature), featurized_linears(backbone)
    for name, (a, b) in updates.items():
        if name not in banks:
            raise unknown(f"module of the LoRA for {feature}; adapter.target_modules adapts no", name, banks)
        if len(a) > len(rows):
            raise FlixError(
                f"warm_start.peft: the LoRA for {feature} has rank {len(a)}, the feature {len(rows)}; set "
                f"rank.{feature.axis}={len(a)}, or +rank.overrides.{feature.axis}.{feature.value}={len(a)}."
            )
        bank = banks[name]
        if (a.shape[1], b.shape[1]) != (bank.in_features, bank.out_features):
            raise FlixError(
                f"warm_start.peft: the LoRA for {feature} takes {a.shape[1]} to {b.shape[1]} in {name!r}; "
                f"this backbone {bank.in_features} to {bank.out_features}."
            )
    for bank in banks.values():
        bank.lora_b[rows.start : rows.stop] = 0
    for name, (a, b) in updates.items():
        used = slice(rows.start, rows.start + len(a))
        banks[name].lora_a[used], banks[name].lora_b[used] = a, b / banks[name].scaling


def _covers(composer: Composer, cell: Cell) -> bool:
    axes = set(composer.featurizer.axes) & cell.features().keys()
    return all(Feature(axis, value) in composer.space for axis in axes for value in cell.values(axis))


def _last_part(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]
