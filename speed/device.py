"""Where speed is measured and in which number format: on a GPU where there is one, in the format that a run takes."""

import platform
from contextlib import AbstractContextManager

import torch

from flix_lightning.models.precision import AUTO, computed_in, device_kind, precision_here


def device() -> torch.device:
    return torch.device(device_kind())


def computed() -> AbstractContextManager[None]:
    """Within, products are in the number format that `trainer.precision=auto` stands for here."""
    return computed_in(precision_here(AUTO), device_kind())


def finished() -> None:
    """Wait until the device has done all that it was given."""
    if device_kind() != "cpu":
        getattr(torch, device_kind()).synchronize()


def environment() -> str:
    name = torch.cuda.get_device_name() if device_kind() == "cuda" else f"{platform.machine()} {device_kind().upper()}"
    return f"{name}, {torch.get_num_threads()} thread(s), {precision_here(AUTO)}, torch {torch.__version__}"
