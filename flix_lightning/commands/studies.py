"""`flix studies`: the experiments behind results/, how many of their runs are done, and a pool that trains the rest."""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from flix_lightning.commands.arguments import quoted
from flix_lightning.commands.grids import Planned, names, planned
from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.settings import fill

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Pool:
    """Trains planned runs, each in a process of one thread, and copies every finished record to `results` at once.

    A run that is cut off is continued by the next call; one that finished and was not copied is copied then.

    Args:
        runs_dir: where runs are trained; what a process prints is in its folder `studies`.
        results: folder of the records.
    """

    runs_dir: str
    results: Path

    def train(self, missing: Sequence[Planned], processes: int) -> list[str]:
        """Train all; returns a line for each that failed."""
        failed = []
        with ThreadPoolExecutor(processes) as pool:
            started = {pool.submit(self._train_one, run): run for run in missing}
            try:
                for number, done in enumerate(as_completed(started), 1):
                    told = done.result()
                    words = " ".join(started[done].overrides)
                    print(f"{number}/{len(missing)} {words}: {told or 'done'}", flush=True)
                    failed += [f"{words}: {told}"] if told else []
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)  # Ctrl-C has reached the processes, too
                raise
        return failed

    def _train_one(self, run: Planned) -> str | None:
        """What went wrong, if anything did."""
        from flix_lightning.common.files import make_directory
        from flix_lightning.report.results import collect
        from flix_lightning.training.run_directory import run_directory

        folder = run_directory(run.config)
        log = Path(self.runs_dir) / "studies" / f"{folder.parent.name}-{folder.name}.log"
        if not (folder / "record.json").is_file():
            make_directory(log.parent)
            words = list(run.overrides)
            with log.open("ab") as file:
                file.write(f"$ flix train {shlex.join(words)}\n".encode())
                file.flush()
                code = subprocess.run(
                    [sys.executable, "-m", "flix_lightning", "train", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=os.environ | ONE_THREAD,
                ).returncode
            if code != 0:
                return f"failed; {str(log)!r} says why"
        collect([folder], self.results)
        return None


def chosen_names(studies: Sequence[str]) -> list[str]:
    """
    Raises:
        FlixError: an experiment that is not there.
    """
    known = names()
    for name in studies:
        if name not in known:
            raise unknown("study", name, known)
    return list(studies) or known


def run_studies(
    studies: Sequence[str], processes: int, runs_dir: str, results: str, readme: str | None, overrides: Sequence[str]
) -> None:
    """See conf/studies.yaml."""
    from flix_lightning.report.comparison import is_run_of
    from flix_lightning.report.results import every_record, regenerate
    from flix_lightning.training.run_directory import fingerprint

    if processes < 0:
        raise FlixError(f"processes: at least 0; got {processes}.")
    records, missing = every_record(Path(results)), {}
    for name in chosen_names(studies):
        runs = planned(name, [*overrides, f"runs_dir={quoted(runs_dir)}"])
        lacking = [run for run in runs if not any(is_run_of(record, run.config) for record in records)]
        missing |= {fingerprint(run.config): run for run in lacking}
        if runs:
            print(f"{name}: {len(runs) - len(lacking)} of {len(runs)} runs done", flush=True)
        elif name in studies:
            raise FlixError(f"studies: {name!r} lists no runs; `flix train experiment={name}` runs it.")
    if not processes:
        print(f"{len(missing)} runs are missing" + ("; processes=2 trains them, two at a time" if missing else ""))
        return
    failed = Pool(runs_dir, Path(results)).train(list(missing.values()), processes)
    regenerate(Path(results), Path(readme) if readme else None)
    if failed:
        raise FlixError(f"{len(failed)} of {len(missing)} runs failed: {'; '.join(failed)}")


def task(config: DictConfig) -> None:
    fill("", run_studies, resolved(config))


def main(words: Sequence[str]) -> None:
    start(task, "studies", words, positional="studies", passed_on="overrides")
