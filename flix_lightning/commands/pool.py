"""Planned runs, trained side by side: each in a process of its own, its record copied as soon as it exists."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from flix_lightning.commands.grids import Planned
from flix_lightning.common.files import make_directory
from flix_lightning.report.results import collect
from flix_lightning.training.results import is_finished
from flix_lightning.training.run_directory import run_directory
from flix_lightning.training.runs import RUNNING, look_at

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
DONE, ELSEWHERE = "done", "another process trains it"


@dataclass(frozen=True)
class Pool:
    """Trains planned runs, each in a process of one thread, and copies every finished record to `results` at once.

    An interrupted run is continued by the next call, and a finished record that was not copied is copied then. Several
    pools, also on several machines, may share their folders: a run that one of them trains is skipped by the others.

    Args:
        logs: a folder for what the processes print.
        results: folder of the records.
    """

    logs: Path
    results: Path
    processes: set[subprocess.Popen] = field(default_factory=set, init=False)

    def train(self, missing: Sequence[Planned], at_once: int, report: Callable[[Planned, str], None]) -> None:
        """Train all.

        Args:
            at_once: the number of processes.
            report: called with each run when it ends, and its end: `DONE`, `ELSEWHERE` or the reason of a failure.
        """
        with ThreadPoolExecutor(at_once) as threads, stopping_on(signal.SIGTERM):
            started = {threads.submit(self._train_one, run): run for run in missing}
            try:
                for ended in as_completed(started):
                    report(started[ended], ended.result())
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                for process in list(self.processes):
                    process.terminate()  # it saves what it has
                raise

    def _train_one(self, run: Planned) -> str:
        folder = run_directory(run.config)
        if not is_finished(folder):
            if self._is_trained_elsewhere(folder):
                return ELSEWHERE
            log = self.logs / f"{folder.parent.name}-{folder.name}.log"
            if self._run(run.words, log) != 0 and not is_finished(folder):  # another pool may have finished it by now
                return ELSEWHERE if self._is_trained_elsewhere(folder) else f"failed; {str(log)!r} says why"
        collect([folder], self.results)
        return DONE

    def _is_trained_elsewhere(self, folder: Path) -> bool:
        return folder.is_dir() and look_at(folder).state == RUNNING

    def _run(self, words: Sequence[str], log: Path) -> int:
        """The exit code of `flix train`."""
        make_directory(log.parent)
        with log.open("ab") as file:
            file.write(f"$ flix train {shlex.join(words)}\n".encode())
            file.flush()
            command = [sys.executable, "-m", "flix_lightning", "train", *words]
            streams = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT}
            process = subprocess.Popen(command, **streams, env=os.environ | ONE_THREAD)
            self.processes.add(process)
            try:
                return process.wait()
            finally:
                self.processes.discard(process)


@contextmanager
def stopping_on(number: int) -> Iterator[None]:
    """Leave the block, as Ctrl-C does, when the signal comes."""

    def stop(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(number, stop)
    try:
        yield
    finally:
        signal.signal(number, before)
