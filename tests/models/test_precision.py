"""The number format that `auto` becomes, on simulated machines and on this one as it is told to be."""

import os
import platform
import subprocess
import sys

import pytest
import torch

from flix_lightning.common.errors import FlixError
from flix_lightning.models import precision
from flix_lightning.models.precision import AUTO, FULL, MIXED, check_precision, computed_in, precision_here
from tests.configs import ROOT


@pytest.fixture
def machine(monkeypatch):
    """Makes this machine one with GPUs of the given capabilities, and a CPU whose bf16 product takes so many times
    the float32 one's time.
    """

    def make(*capabilities: tuple[int, int], bf16: float = 1.0, mps: bool = False) -> list:
        timed = []

        def seconds(dtype: torch.dtype) -> float:
            timed.append(dtype)
            return 1e-5 * (bf16 if dtype == torch.bfloat16 else 1.0)

        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(capabilities))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda n: capabilities[n])
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(precision, "product_seconds", seconds)
        precision._faster_on_this_cpu.cache_clear()
        return timed

    yield make
    precision._faster_on_this_cpu.cache_clear()


def test_a_cpu_follows_the_clock_and_is_timed_once(machine):
    timed = machine(bf16=80.0)
    assert [precision_here(AUTO) for _ in range(3)] == [FULL] * 3
    assert len(timed) == 2
    machine(bf16=0.3)
    assert precision_here(AUTO) == precision_here(AUTO, "cpu") == MIXED
    machine(bf16=1.0)
    assert precision_here(AUTO) == FULL, "no gain, no rounding"


@pytest.mark.parametrize(
    "capabilities, expected",
    [([(7, 5)], FULL), ([(8, 0)], MIXED), ([(9, 0)], MIXED), ([(8, 6), (7, 0)], FULL), ([(8, 0), (9, 0)], MIXED)],
)
def test_a_gpu_follows_its_capability_whatever_the_cpu(machine, capabilities, expected):
    for bf16 in (0.3, 80.0):
        timed = machine(*capabilities, bf16=bf16)
        assert precision_here(AUTO) == precision_here(AUTO, "gpu") == precision_here(AUTO, "cuda") == expected
        assert not timed
        assert precision_here(AUTO, "cpu") == (MIXED if bf16 < 1 else FULL), "the CPU is asked for"


def test_apples_gpu_computes_in_float32(machine):
    machine(mps=True, bf16=0.3)
    assert precision_here(AUTO) == FULL


@pytest.mark.parametrize("asked", [FULL, MIXED])
def test_what_is_asked_for_is_taken(machine, asked):
    machine((7, 5), bf16=80.0)
    assert precision_here(asked) == asked


HAS_BF16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the names are of x86's instructions")
@pytest.mark.parametrize("isa, expected", [("AVX2", FULL), ("DEFAULT", MIXED if HAS_BF16 else FULL)])
def test_the_clock_follows_what_the_cpu_has_and_is_told_to_be(isa, expected):
    code = "from flix_lightning.models.precision import precision_here; print(precision_here('auto', 'cpu'))"
    around = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=around, capture_output=True, text=True)
    assert done.stdout.split() == [expected], done.stderr


def test_the_number_of_threads_stays():
    before = torch.get_num_threads()
    precision._faster_on_this_cpu.cache_clear()
    precision_here(AUTO, "cpu")
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("value, message", [
    ("bf16-true", "bf16-true.*model.dtype=bfloat16"), ("16-mixed", "loss scaling"), ("16-true", "overflow"),
    ("bf16mixed", "did you mean 'bf16-mixed'"), (32, "unknown trainer.precision '32'.*32-true"), (None, "unknown"),
    (["auto"], "unknown"),
])  # fmt: skip
def test_other_formats_are_refused_with_the_reason(value, message):
    with pytest.raises(FlixError, match=message):
        check_precision("trainer.precision", value)
    for known in precision.PRECISIONS:
        check_precision("trainer.precision", known)


def test_products_are_computed_in_the_format():
    x = torch.randn(3, 3)
    for name, dtype in ((FULL, torch.float32), (MIXED, torch.bfloat16)):
        with computed_in(name, "cpu"):
            assert (x @ x).dtype == dtype
