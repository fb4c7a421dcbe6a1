"""The corrections of a calibration run: its settings, and its file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.calibration import Correction, calibrated_composer
from flix_lightning.adapters.composition import Composer
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Count, Location, checked
from flix_lightning.data.cells import Cell

CORRECTIONS = "calibration.safetensors"  # in the run's directory; the bank stays where it is


@checked("adapter")
@dataclass(frozen=True)
class Calibration:
    """What is corrected, and how.

    Args:
        bank: a finished run, or a bank file.
        rank: of a correction (LC++); None for a bias (LC).
        shared: one correction for all composite cells; otherwise one for each.
    """

    bank: Location
    rank: Count | None = None
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
        FlixError: the run is not a finished calibration run.
    """
    if not (run / CORRECTIONS).is_file():
        raise FlixError(f"run: {str(run)!r} holds no {CORRECTIONS}; it is not a finished calibration run.")
    return load_file(run / CORRECTIONS)
