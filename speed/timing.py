"""Measuring side by side: every contestant once in each round, so that what else the machine does hits all alike."""

import gc
import os
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch

from speed.device import device, finished


def interleaved(
    contestants: Mapping[str, Callable[[], Any]], rounds: int, children: bool = False
) -> dict[str, dict[str, list[float]]]:
    """Name -> {"cpu": seconds of processor time of each round, "wall": seconds on the clock}, one warm-up left out.

    Args:
        children: contestants start processes of their own, whose time it is.
    """
    found = {name: {"cpu": [], "wall": []} for name in contestants}
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            cpu, wall = _processor_time(children), time.perf_counter()
            run()
            finished()
            if turn:
                found[name]["cpu"].append(_processor_time(children) - cpu)
                found[name]["wall"].append(time.perf_counter() - wall)
    return found


def _processor_time(children: bool) -> float:
    used = os.times()
    return used.children_user + used.children_system if children else time.process_time()


def ratios(one: list[float], other: list[float]) -> dict[str, float]:
    """Round by round, one / other: median and extremes."""
    each = sorted(a / b for a, b in zip(one, other, strict=True))
    return {"median": median(each), "low": each[0], "high": each[-1]}


def peak_mib(run: Callable[[], Any]) -> float:
    """The most memory of the device that `run` holds beyond what is there before, in MiB.

    On a CPU `run` is called in a child process of its own; a process that uses a GPU has none.
    """
    if device().type == "cuda":
        gc.collect()
        torch.cuda.reset_peak_memory_stats()
        start = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - start) / 2**20
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        gc.collect()
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak starts anew
        start = _status("VmRSS")
        run()
        os.write(writing, f"{(_status('VmHWM') - start) / 1024:.1f}".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        told = answer.read()
    os.waitpid(child, 0)
    return float(told)


def _status(key: str) -> int:
    """KiB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))
