"""How fast a mixture of many cells and rows starts once its tokens are kept, and in how much memory.

    python speed/startup.py                             1,000 cells, 10 million rows
    python speed/startup.py --cells 20 --rows 20000

One process fills the cache with made-up rows, a handful of words each; a fresh one builds the data module, and takes
batches from the beginning and from the middle of training.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from random import Random

from flix_lightning.data.benchmarks.benchmark import SPLITS, Example
from flix_lightning.data.cells import Cell
from flix_lightning.data.tasks import Task

TASKS = 20
DIFFERENT = 200  # rows of a cell
WORDS = "habari ya asubuhi jina langu ni nani mji mkuu wa nchi hii uko wapi leo kesho jana".split()


class MadeUp:
    """Cells of random short sentences; their rows are made one by one and never kept."""

    name = "made_up"

    def __init__(self, cells: int, rows: int) -> None:
        self.tasks = {f"task{i}": Task(f"task{i}", "{input}", "f1", 16) for i in range(min(TASKS, cells))}
        self.cells = tuple(Cell(f"task{i % TASKS}", f"l{i // TASKS}") for i in range(cells))
        self.rows = rows // cells

    def splits(self, cell: Cell) -> tuple[str, ...]:
        return SPLITS

    def examples(self, cell: Cell, split: str) -> tuple[Example, ...]:
        return tuple(self.stream(cell, split))

    def stream(self, cell: Cell, split: str) -> Iterator[Example]:
        rng = Random(f"{cell}/{split}")
        for i in range(self.rows if split == "train" else 4):
            words = rng.choices(WORDS, k=6)
            yield Example(f"{cell}/{split}/{i}", " ".join(words), words[0])

    def fingerprint(self, cell: Cell, split: str) -> str:
        return f"{cell}/{split}/{self.rows}"


def data_module(benchmark: MadeUp, cache: Path):
    """As training builds it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    from flix_lightning.data.datamodule import Batching, Mixing, MixtureDataModule
    from flix_lightning.data.mixture import Mixture
    from flix_lightning.data.tokens.store import Caching

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")
    mixture, caching = Mixture(train=benchmark.cells), Caching(str(cache), required=True)
    return MixtureDataModule(benchmark, mixture, fast, False, Mixing(temperature=2.0), Batching(32), 0, caching)


def fill(benchmark: MadeUp, cache: Path) -> dict[str, float]:
    """Keep the tokens of every cell; a cell says the same few hundred rows again and again, to be done in minutes."""
    data = data_module(benchmark, cache)
    tokenised, began, computed = data.tokenised, time.monotonic(), time.process_time()
    for cell in benchmark.cells:
        key, _ = tokenised._key(cell, "train")
        different = list(tokenised._rows(cell, islice(benchmark.stream(cell, "train"), DIFFERENT)))
        tokenised.store.file(key, True, partial(islice, cycle(different), benchmark.rows), tokenised._largest_id)
    data.setup("fit")
    return {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - computed, **memory("end")}


def start(benchmark: MadeUp, cache: Path) -> dict[str, float]:
    """Seconds and memory of building the data and of batches, after the libraries' imports."""
    from types import SimpleNamespace

    import flix_lightning.data.datamodule  # noqa: F401

    imported, began, computed = memory("imports"), time.monotonic(), time.process_time()
    data = data_module(benchmark, cache)
    data.prepare_data()
    data.setup("fit")
    built, building = time.monotonic(), time.process_time() - computed
    data.trainer = SimpleNamespace(global_rank=0, world_size=1, global_step=0)
    next(iter(data.train_dataloader()))
    first, after = time.monotonic(), memory("first_batch")
    data.trainer.global_step = 1_000_000
    loader = iter(data.train_dataloader())
    for _ in range(100):
        next(loader)
    return {
        "build_seconds": built - began,
        "build_cpu_seconds": building,
        "first_batch_seconds": first - built,
        "hundred_batches_seconds": time.monotonic() - first,
        **imported,
        **after,
        **memory("end"),
    }


def memory(when: str) -> dict[str, float]:
    """MiB of the process's own, and of files that it has mapped and shares with others (Linux)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    kinds = {"own": "RssAnon", "mapped": "RssFile"}
    return {f"{kind}_mib_at_{when}": int(lines[name].split()[0]) / 1024 for kind, name in kinds.items()}


def measure(cells: int, rows: int, cache: Path) -> dict[str, dict[str, float]]:
    """Both parts, each in a process of its own: `fill`, `start`."""
    told = {}
    for part in ("fill", "start"):
        command = [sys.executable, __file__, "--part", part, "--cells", str(cells), "--rows", str(rows)]
        done = subprocess.run([*command, "--cache", str(cache)], check=True, stdout=subprocess.PIPE, text=True)
        told[part] = json.loads(done.stdout.splitlines()[-1])
    told["start"]["cache_mib"] = sum(path.stat().st_size for path in cache.iterdir()) / 2**20
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of all cells together")
    parser.add_argument("--cache", type=Path, help="kept there; by default a temporary directory")
    parser.add_argument("--part", choices=("fill", "start"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        part = {"fill": fill, "start": start}[args.part]
        print(json.dumps(part(MadeUp(args.cells, args.rows), args.cache)))
        return
    with tempfile.TemporaryDirectory() as folder:
        told = measure(args.cells, args.rows, args.cache or Path(folder))
    for part, figures in told.items():
        print(part, " ".join(f"{name}={value:.2f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
