"""Speed is measured on the device that there is: every contestant runs on one that is not the CPU.

`meta` stands for it, whose tensors have a device and no values: a product of tensors on different devices fails.
Generation is left out: it goes on by the values of its tokens.
"""

from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from speed import contestants, parts, paths, timing
from speed.contestants import STEPS
from speed.shapes import SHAPES, measured_on

COPIES = ("copy_", "_to_copy")


class OneDevice(TorchDispatchMode):
    """Within, no operation mixes devices; the value of a `meta` tensor is 0 where it is asked for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor) and value.dim()]
        if name not in COPIES:
            assert len({tensor.device for tensor in tensors}) < 2, f"{name} mixes devices"
        if name == "_local_scalar_dense" and args[0].is_meta:
            return 0
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch):
    for module in (contestants, parts, paths):
        monkeypatch.setattr(module, "device", lambda: torch.device("meta"))
        monkeypatch.setattr(module, "computed", nullcontext)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)  # it knows no `meta`
    # torch's fused AdamW, too, refuses it
    monkeypatch.setattr(contestants, "_adamw", lambda model: torch.optim.SGD(model.parameters(), 1e-3))


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_a_training_step_is_taken_on_the_device(name):
    with OneDevice():
        assert STEPS[name](SHAPES["tiny"])().is_meta


@pytest.mark.slow
@pytest.mark.parametrize("part", ["features", "paths"])
def test_a_part_is_measured_on_the_device(part):
    with OneDevice():
        assert parts.PARTS[part](SHAPES["tiny"], 1, quick=True)["seconds"]


def test_time_is_taken_when_the_device_has_finished(monkeypatch):
    order = []
    monkeypatch.setattr(timing, "finished", lambda: order.append("finished"))
    timing.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=1)
    assert order == ["a", "finished", "b", "finished"] * 2


def test_a_large_shape_is_measured_on_a_gpu_unless_it_is_asked_for():
    assert set(measured_on("cuda")) - set(measured_on("cpu")) == {"qwen3_0.6b"}
