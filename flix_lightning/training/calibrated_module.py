"""A calibration run: the bank of another run is frozen, its corrections train."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from flix_lightning.adapters.calibration import calibrate, size
from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.corrections import CORRECTIONS, corrections_state, load_corrections
from flix_lightning.adapters.injection import featurized_linears
from flix_lightning.common.files import write_whole
from flix_lightning.data.cells import Cell
from flix_lightning.training.module import FlixModule


class CalibratedModule(FlixModule):
    """A `FlixModule` that holds a trained bank, and after `calibrate` trains corrections of it only."""

    def calibrate(self, composer: Composer, biases: bool) -> None:
        """Freeze the adapters and add corrections, the composer's last ranks."""
        self.bank_ranks, self.composer = self.composer.total_rank, composer
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.active, self.corrections = calibrate(self.backbone, composer.total_rank - self.bank_ranks, biases)
        self.banks = list(featurized_linears(self.backbone).values())

    def setup(self, stage: str) -> None:
        """No working set: the corrections are small, and the bank takes no gradient."""

    def factors(self) -> list[nn.Parameter]:
        return [p for correction in self.corrections.values() for p in correction.parameters()]

    def factor_rows(self) -> dict[str, slice]:
        return {self.composer.featurizer.axes[-1]: slice(None)}

    def feature_rows(self) -> dict[str, int]:
        axis, space = self.composer.featurizer.axes[-1], self.composer.space
        return {str(feature): self.composer.allocation[feature] for feature in space if feature.axis == axis}

    def _trainable(self, rows: Tensor) -> Tensor:
        return rows[rows >= self.bank_ranks] - self.bank_ranks

    def trained_state(self) -> dict[str, Tensor]:
        return corrections_state(self.corrections)

    def load_trained_state(self, state: Mapping[str, Tensor]) -> None:
        load_corrections(self.corrections, state)

    def parameters_by_axis(self) -> dict[str, int]:
        return {self.composer.featurizer.axes[-1]: size(self.corrections.values())}

    def write(self, run: Path, cells: Iterable[Cell], model: Mapping[str, Any]) -> None:
        write_whole(run / CORRECTIONS, save(self.trained_state()))
