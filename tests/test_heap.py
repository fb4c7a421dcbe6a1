"""The memory pool keeps what is freed: the same large block comes back without the system's help."""

import subprocess
import sys

import pytest

PROBE = """
import resource, torch
from flix_lightning.heap import keep_freed_memory
kept = keep_freed_memory() if {keep} else True
torch.ones(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(20_000_000)
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> tuple[int, int]:
    told = subprocess.run([sys.executable, "-c", PROBE.format(keep=keep)], capture_output=True, text=True, check=True)
    return tuple(map(int, told.stdout.split()))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
def test_a_large_block_is_lent_once():
    (_, without), (kept, with_it) = faults(False), faults(True)
    if not kept:
        pytest.skip("another C library than glibc")
    assert with_it < without / 10
