"""`flix studies`: the experiments behind results/, the progress of each, and a pool that trains the rest."""

from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from flix_lightning.commands.arguments import quoted
from flix_lightning.commands.grids import Planned, names, planned
from flix_lightning.commands.hydra_shell import start
from flix_lightning.commands.shell import resolved
from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.progress import duration
from flix_lightning.common.settings import Location, Natural, fill


def chosen_names(studies: Sequence[str], folders: Sequence[str]) -> list[str]:
    """
    Raises:
        FlixError: an experiment that is not there.
    """
    known = names(folders)
    for name in studies:
        if name not in known:
            raise unknown("study", name, known)
    return list(studies) or known


def run_studies(
    studies: Sequence[str],
    processes: Natural,
    runs_dir: Location,
    results: Location,
    readme: Location | None,
    overrides: Sequence[str],
    folders: Sequence[str] = (),
) -> None:
    """See conf/studies.yaml.

    Args:
        folders: of the user's, with further experiments.
    """
    from flix_lightning.report.comparison import is_run_of
    from flix_lightning.report.results import every_record
    from flix_lightning.report.study_state import state
    from flix_lightning.training.run_directory import fingerprint, run_directory
    from flix_lightning.training.runs import look_at

    records, missing, left = every_record(Path(results)), {}, []
    for name in chosen_names(studies, folders):
        runs = planned(name, [*overrides, f"runs_dir={quoted(runs_dir)}"], folders)
        if not runs:
            if name in studies:
                raise FlixError(f"studies: {name!r} lists no runs; `flix train experiment={name}` runs it.")
            continue
        lacking = [run for run in runs if not any(is_run_of(record, run.config) for record in records)]
        new = {fingerprint(run.config): run for run in lacking}
        found = [look_at(folder) for folder in (run_directory(run.config) for run in lacking) if folder.is_dir()]
        line, seconds = state([run.config for run in lacking], found, records)
        print(f"{name}: {len(runs) - len(lacking)} of {len(runs)} runs done{line}", flush=True)
        left += [seconds] if new.keys() - missing.keys() else []
        missing |= new
    if not processes:
        hint = f"; processes=2 trains them, two at a time{in_all(left)}" if missing else ""
        print(f"{len(missing)} runs are missing{hint}")
        return
    train_missing(list(missing.values()), processes, Path(runs_dir), Path(results), Path(readme) if readme else None)


def in_all(left: Sequence[float | None]) -> str:
    """The time of all studies, one run at a time."""
    return "" if None in left else f" ({duration(sum(left))}, one at a time)"


def train_missing(
    missing: Sequence[Planned], processes: int, runs_dir: Path, results: Path, readme: Path | None
) -> None:
    """Train the runs, then regenerate the tables.

    Raises:
        FlixError: some failed; raised when all have ended.
    """
    from flix_lightning.commands.pool import DONE, ELSEWHERE, Pool
    from flix_lightning.report.results import regenerate

    ends: dict[str, str] = {}

    def report(run: Planned, end: str) -> None:
        words = " ".join(run.words)
        ends[words] = end
        print(f"{len(ends)}/{len(missing)} {words}: {end}", flush=True)

    Pool(runs_dir / "studies", results).train(missing, processes, report)
    failed = [f"{words}: {end}" for words, end in ends.items() if end not in (DONE, ELSEWHERE)]
    if not ends or DONE in ends.values():
        regenerate(results, readme)
    if failed:
        raise FlixError(f"{len(failed)} of {len(missing)} runs failed: {'; '.join(failed)}")


def task(config: DictConfig) -> None:
    sources = HydraConfig.get().runtime.config_sources
    folders = [source.path for source in sources if source.provider == "command-line"]
    fill("", run_studies, resolved(config), folders=folders)


def main(words: Sequence[str]) -> None:
    start(task, "studies", words, positional="studies", passed_on="overrides")
