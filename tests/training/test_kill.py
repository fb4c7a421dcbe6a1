"""kill -9 of a training process at random moments; `--kills 20` does it 20 times."""

import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from flix_lightning.training.results import read_record
from tests.training.test_resume import PLACES, result, run_small

FORK = get_context("fork")  # the libraries are imported once: a start costs nothing
STEPS = ("trainer.max_steps=8", "trainer.checkpoint_every=1", "trainer.validate_every=4")


def training(folder: str, reports: Connection) -> None:
    """Train in a process of its own that tells where it stands."""
    for place, (owner, name) in PLACES.items():
        setattr(owner, name, telling(getattr(owner, name), place, reports))
    run_small(folder, *STEPS)
    reports.send("end")


def telling(function: Callable, place: str, reports: Connection) -> Callable:
    def wrapped(*arguments, **named):
        reports.send(place)
        return function(*arguments, **named)

    return wrapped


def run_and_kill(folder: str, place: str, occurrence: int, delay: float) -> bool:
    """Start, kill `delay` seconds after `place` is reached the `occurrence`-th time; whether it was still running."""
    here, there = FORK.Pipe()
    process = FORK.Process(target=training, args=(folder, there))
    process.start()
    there.close()
    reports = here.recv()
    while reports != "end":
        occurrence -= reports == place
        if occurrence == 0:
            time.sleep(delay)
            os.kill(process.pid, signal.SIGKILL)
            break
        reports = here.recv()
    process.join()
    return process.exitcode == -signal.SIGKILL


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_bit_for_bit_the_same(request, tmp_path, capsys):
    kills = request.config.getoption("--kills")
    rng = random.Random(request.config.getoption("--kill-seed"))
    assert not run_and_kill("whole", "never", 1, 0)
    whole = result("whole", read_record(Path("whole")))
    moments = {"step": (8, 0.05), "validation": (2, 0.2), "checkpoint": (8, 0.02), "test": (1, 0.2), "record": (1, 0.0)}
    equal, done = 0, 0
    while done < kills:
        place = list(moments)[done % len(moments)]
        occurrences, span = moments[place]
        occurrence, delay = rng.randint(1, occurrences), rng.uniform(0, span)
        folder = f"killed-{done}"
        if not run_and_kill(folder, place, occurrence, delay):
            continue  # it had ended before
        saved = sorted(path.name for path in Path(folder, "checkpoints").glob("*"))
        assert not run_and_kill(folder, "never", 1, 0)
        same = result(folder, read_record(Path(folder))) == whole
        with capsys.disabled():
            moment = f"{place} {occurrence} + {delay * 1000:.1f} ms"
            print(f"\n{moment}, {saved}: {'equal' if same else 'DIFFERENT'}", end="")
        equal, done = equal + same, done + 1
    assert equal == kills
