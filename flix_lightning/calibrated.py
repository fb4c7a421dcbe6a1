"""A calibration run: the bank of another run is frozen, its corrections train."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from flix_lightning.bank import Bank
from flix_lightning.calibration import Correction, calibrate, calibrated_composer, size
from flix_lightning.composition import Composer
from flix_lightning.errors import FlixError
from flix_lightning.features import Cell
from flix_lightning.injection import banks_of
from flix_lightning.module import FlixModule
from flix_lightning.run_directory import write_whole

CORRECTIONS = "calibration.safetensors"  # in the run's directory; the bank stays where it is


@dataclass(frozen=True)
class Calibration:
    """What is corrected, and how.

    Args:
        bank: a finished run, or a bank file.
        rank: of a correction (LC++); None for a bias (LC).
        shared: one correction for all composite cells; otherwise one for each.
    """

    bank: str
    rank: int | None = None
    shared: bool = False

    def read(self) -> Bank:
        """The bank; raises FlixError where there is none."""
        try:
            return Bank.read(Path(self.bank))
        except FlixError as error:
            raise FlixError(f"adapter.{error}") from None  # the message begins with "bank:"

    def composer(self, bank: Composer, cells: Sequence[Cell]) -> Composer:
        """See `calibrated_composer`."""
        return calibrated_composer(bank, cells, self.rank, self.shared)


class CalibratedModule(FlixModule):
    """A `FlixModule` that holds a trained bank, and after `calibrate` trains corrections of it only."""

    def calibrate(self, composer: Composer, biases: bool) -> None:
        """Freeze the adapters as they are and put corrections, the composer's last ranks, beside them."""
        self.bank_ranks, self.composer = self.composer.total_rank, composer
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.active, self.corrections = calibrate(self.backbone, composer.total_rank - self.bank_ranks, biases)
        self.banks = list(banks_of(self.backbone).values())

    def setup(self, stage: str) -> None:
        """No working set: the corrections are small, and the bank takes no gradient."""

    def factors(self) -> list[nn.Parameter]:
        return [p for correction in self.corrections.values() for p in correction.parameters()]

    def factor_rows(self) -> dict[str, slice]:
        return {self.composer.featurizer.axes[-1]: slice(None)}

    def _trainable(self, rows: Tensor) -> Tensor:
        return rows[rows >= self.bank_ranks] - self.bank_ranks

    def trained_state(self) -> dict[str, Tensor]:
        return corrections_state(self.corrections)

    def load_trained_state(self, state: Mapping[str, Tensor]) -> None:
        load_corrections(self.corrections, state)

    def parameters_by_axis(self) -> dict[str, int]:
        return {self.composer.featurizer.axes[-1]: size(self.corrections.values())}

    def write(self, run: Path, cells: Iterable[Cell]) -> None:
        write_whole(run / CORRECTIONS, save(self.trained_state()))


def corrections_state(corrections: Mapping[str, Correction]) -> dict[str, Tensor]:
    """Corrections as `<projection type>.lora_b` (and `.lora_a`)."""
    return {
        f"{kind}.{name}": parameter.detach()
        for kind, correction in corrections.items()
        for name, parameter in correction.named_parameters()
    }


@torch.no_grad()
def load_corrections(corrections: Mapping[str, Correction], state: Mapping[str, Tensor]) -> None:
    """Put corrections back.

    Raises:
        FlixError: they belong to another backbone, or other composite tasks.
    """
    own = corrections_state(corrections)
    for name in sorted(own.keys() | state.keys()):
        if name not in own or name not in state or own[name].shape != state[name].shape:
            raise FlixError(f"{CORRECTIONS} belongs to another backbone or other tasks: {name!r} differs.")
    for name, tensor in own.items():
        tensor.copy_(state[name])


def read_corrections(run: Path) -> dict[str, Tensor]:
    """Of a finished calibration run.

    Raises:
        FlixError: the run is none, or unfinished.
    """
    if not (run / CORRECTIONS).is_file():
        raise FlixError(f"run: {str(run)!r} holds no {CORRECTIONS}; it is no finished calibration run.")
    return load_file(run / CORRECTIONS)
