"""The XTREME-UP release as a benchmark: all its tasks and languages must be there, or be left out by name."""

from pathlib import Path

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.declared import DeclaredBenchmark

ARCHIVE = "https://storage.googleapis.com/xtreme-up/xtreme-up-v1.1.jsonl.tgz"
NER_REPOSITORY = "https://github.com/masakhane-io/masakhane-ner"
FETCH = "flix data fetch_xtreme_up folder=DIR"
FROM_ARCHIVE = f"unpack {ARCHIVE} and set benchmark.root to its folder xtreme_up_v1.1"
FROM_NER = f"copy xtreme-up/MasakhaNER-X of {NER_REPOSITORY} and set benchmark.tasks.ner.folder to it"


class XtremeUp(DeclaredBenchmark):
    """`DeclaredBenchmark` over the release, whose other tasks (speech, retrieval, ...) are not looked at."""

    def _folders(self) -> dict[str, Path]:
        folders = {task: Path(d.folder or self.root / task) for task, d in self.declarations.items()}
        for task, folder in folders.items():
            if not folder.is_dir():
                place = f"benchmark.tasks.{task}.folder" if self.declarations[task].folder else "benchmark.root"
                raise FlixError(
                    f"{place}: {str(folder)!r} is no directory. {FROM_NER if task == 'ner' else FROM_ARCHIVE}; "
                    f"`{FETCH}` does both. Or leave the task out: ~benchmark.tasks.{task}"
                )
        return folders
