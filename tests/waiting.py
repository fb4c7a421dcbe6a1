"""Counts where a GPU would be waited for in code that runs on a CPU, and where processes wait for one another.

What follows from a model's tensors would lie on the GPU: it is marked, mark after mark through every operation. Asking
for the value of such a tensor, or for a shape that depends on its values, would wait for the GPU. Every tensor that is
sent there in any other way than `sent` copies, from pinned memory, would too.
"""

import re
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

VALUES = ("_local_scalar_dense", "nonzero", "masked_select", "unique_consecutive", "_unique2", "unique_dim", "equal")
MEETINGS = ("all_reduce", "barrier", "all_gather", "all_gather_object", "broadcast", "reduce", "all_gather_into_tensor")


class Waits(TorchDispatchMode):
    """What would wait, within the context: place in the code -> how often.

    Args:
        on_device: tensors that would lie on the GPU, as a model's parameters do.
    """

    def __init__(self, on_device: Iterable[Tensor]) -> None:
        super().__init__()
        self.marked = WeakIdKeyDictionary()
        self.values, self.copies = Counter[str](), Counter[str]()
        for tensor in on_device:
            self.mark(tensor)

    def mark(self, tensor: Tensor) -> Tensor:
        self.marked[tensor] = True
        return tensor

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        here = any(tensor in self.marked for tensor in tensors)
        name = func.overloadpacket.__name__
        if here and (name in VALUES or (name == "index" and any(t.dtype == torch.bool for t in tensors[1:]))):
            self.values[f"{name} in {place()}"] += 1
        result = func(*args, **(kwargs or {}))
        if here:
            for tensor in tree_leaves(result):
                if isinstance(tensor, Tensor):
                    self.mark(tensor)
        return result


class Copies(TorchFunctionMode):
    """Notes tensors of the CPU that are sent to the device by `Tensor.to`, and marks them as there."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is Tensor.to and isinstance((*args, None)[1], torch.device | str) and args[0] not in self.waits.marked:
            self.waits.copies[place()] += 1
            return self.waits.mark(args[0].clone())
        return func(*args, **(kwargs or {}))


def place() -> str:
    """The innermost function of this project, of transformers or of Lightning."""
    for frame in reversed(traceback.extract_stack()):
        if found := re.search(r"(?:flix_lightning|transformers|lightning|torchmetrics)/.*", frame.filename):
            return f"{found[0]}:{frame.name}"
    return "elsewhere"


@contextmanager
def meetings() -> Iterator[Counter[str]]:
    """Collective operations within: which, and where -> how often."""
    found, originals = Counter[str](), {name: getattr(dist, name) for name in MEETINGS}

    def counted(name: str) -> Any:
        def call(*arguments, **named):
            found[f"{name} in {place()}"] += 1
            return originals[name](*arguments, **named)

        return call

    for name in MEETINGS:
        setattr(dist, name, counted(name))
    try:
        yield found
    finally:
        for name, original in originals.items():
            setattr(dist, name, original)
