"""Calibrated toy backbones with corrections that do something."""

import torch

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.calibration import calibrate, calibrated_composer
from flix_lightning.adapters.injection import inject
from flix_lightning.data.cells import Cell
from tests.toy import TOYS, fill, toy_composer

COMPOSITE = [Cell("ner+qa", "sw"), Cell("parse+qa", "sw")]


def calibrated(family: str = "llama", rank: int | None = None, shared: bool = False, scaling: float = 1.0):
    """A toy backbone with filled, calibrated FLix adapters: backbone, holder, composer, corrections."""
    backbone, plain = TOYS[family](), toy_composer()
    active = ActiveComposition(plain.total_rank)
    fill(inject(backbone, plain.total_rank, active, scaling=scaling))
    composer = calibrated_composer(plain, COMPOSITE, rank, shared)
    active, corrections = calibrate(backbone, composer.total_rank - plain.total_rank, biases=rank is None)
    return backbone, active, composer, corrections


def shift(corrections, size: float = 0.3) -> None:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for correction in corrections.values():
            for parameter in correction.parameters():
                parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
