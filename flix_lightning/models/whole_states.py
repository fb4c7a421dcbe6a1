"""Hidden states for the output embedding in one piece of memory.

Models that are asked for the last position's logits cut it out of (rows, length, width). On a CPU, PyTorch multiplies
such a slice row by row and copies the weight for each: in bfloat16 it takes hundreds of times as long.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel


@contextmanager
def whole_states(model: PreTrainedModel) -> Iterator[None]:
    """Within, the output embedding's input is contiguous; the logits are the same but for rounding."""
    head = model.get_output_embeddings()
    handle = head.register_forward_pre_hook(_contiguous) if head is not None else None
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()


def _contiguous(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].contiguous(), *inputs[1:])
