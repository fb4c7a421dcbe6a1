"""The number format of a model's products; `auto` is the one that this machine computes fast."""

import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

from flix_lightning.common.errors import FlixError, unknown

AUTO, FULL, MIXED = "auto", "32-true", "bf16-mixed"
PRECISIONS = (AUTO, FULL, MIXED)
REFUSED = {
    "bf16-true": "it keeps adapters and optimizer in bfloat16 too, where small updates vanish and AdamW's counts stop "
    "at 256; for frozen weights in bfloat16 set model.dtype=bfloat16 with bf16-mixed.",
    "16-mixed": "its loss scaling leaves out steps whose gradients overflow, so that a step is no longer what its seed "
    "and number say; use 32-true, or bf16-mixed where the machine has it.",
    "16-true": "adapters and optimizer in float16 overflow; use 32-true, or bf16-mixed where the machine has it.",
}
SIZE, TURNS = 128, 5  # of the product that is timed: microseconds if bfloat16 is fast, else a millisecond
FAST_BF16 = (8, 0)  # a GPU's compute capability


def check_precision(place: str, precision: object) -> None:
    """
    Raises:
        FlixError: not one of `PRECISIONS`; with the reason if Lightning has it.
    """
    if str(precision) in REFUSED:
        raise FlixError(f"{place}: {precision!r} is refused: {REFUSED[str(precision)]}")
    if precision not in PRECISIONS:
        raise unknown(place, precision, PRECISIONS)


def precision_here(precision: str, accelerator: str = AUTO) -> str:
    """What `precision` stands for on this machine: `auto` is bfloat16 products where they are fast, else float32.

    Args:
        accelerator: Lightning's name of the kind of device.
    """
    if precision != AUTO:
        return precision
    return MIXED if bf16_is_fast(device_kind(accelerator)) else FULL


def device_kind(accelerator: str = AUTO) -> str:
    """The kind of device that Lightning uses for this accelerator: `cuda`, `mps` or `cpu`."""
    if accelerator in (AUTO, "gpu", "mps") and torch.backends.mps.is_available():
        return "mps"
    if accelerator in (AUTO, "gpu", "cuda") and torch.cuda.is_available():
        return "cuda"
    return "cpu"


def bf16_is_fast(kind: str) -> bool:
    """Whether products in bfloat16 are faster than in float32 on all devices of a kind."""
    if kind == "cuda":
        return all(torch.cuda.get_device_capability(n) >= FAST_BF16 for n in range(torch.cuda.device_count()))
    return kind == "cpu" and _faster_on_this_cpu()


@cache
def _faster_on_this_cpu() -> bool:
    """By measurement: an instruction set may be present and disabled, or of no gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # beside another busy process, several threads would measure the waiting for one another
    try:
        return product_seconds(torch.bfloat16) < product_seconds(torch.float32)
    finally:
        torch.set_num_threads(threads)


def product_seconds(dtype: torch.dtype) -> float:
    """The shortest time of a small product; the first one, which prepares kernels, is left out."""
    left, right = (torch.ones(SIZE, SIZE, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(TURNS + 1):
        began = time.perf_counter()
        torch.mm(left, right)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def computed_in(precision: str, kind: str) -> AbstractContextManager[None]:
    """Within, products on devices of a kind are computed in a number format, one of a run's."""
    return torch.autocast(kind, torch.bfloat16) if precision == MIXED else nullcontext()
