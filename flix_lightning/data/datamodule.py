"""The LightningDataModule: tokenised cells, mixed global batches for training, mixed batches for scoring."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Annotated, NamedTuple, Self

import numpy as np
from annotated_types import Ge, Le
from lightning import LightningDataModule
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.utils.data import DataLoader, Dataset, Sampler
from transformers import PreTrainedTokenizerBase

from flix_lightning.common.errors import FlixError
from flix_lightning.common.progress import track
from flix_lightning.common.settings import Count, checked
from flix_lightning.data.batches import EvalBatch, TrainBatch
from flix_lightning.data.benchmarks.benchmark import Benchmark, Example
from flix_lightning.data.cells import Cell
from flix_lightning.data.mixture import Mixture, sampling_probabilities
from flix_lightning.data.sampling import GlobalBatches, batches_within
from flix_lightning.data.tokens.encoding import Encoded, generation_batch, padded, training_batch
from flix_lightning.data.tokens.places import target_places
from flix_lightning.data.tokens.store import Caching
from flix_lightning.data.tokens.tokenised import TokenisedCells


@dataclass(frozen=True)
class Mixing:
    """How often each training cell is drawn; see `sampling_probabilities`."""

    temperature: float = 1.0
    cap: int | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        self.probabilities([1])  # refuses impossible settings before any data is made

    def probabilities(self, sizes: Sequence[int]) -> np.ndarray:
        """(cells,), from the cells' numbers of training examples."""
        return sampling_probabilities(sizes, self.temperature, self.cap, self.scale)


@checked("data")
@dataclass(frozen=True)
class Batching:
    """Sizes of batches.

    Args:
        batch_size: examples of a step, all processes and micro-batches together.
        micro_batch_size: examples that a process computes at once; by default its whole share.
        bucket: steps whose batches are sorted by length together.
        eval_batch_size: examples generated at once.
        eval_batch_tokens: the most tokens of prompts and longest answers, padded, at once; fewer examples are then
            generated at once. For scoring only: the examples of a training batch do not depend on their lengths.
        max_prompt_tokens: longer prompts lose their end; the number cut is counted.
        workers: loader processes.
        stream_chunk: training cells with more rows are read and tokenised in chunks of this many, while training; the
            chunks are used in order, each in a seeded order of its own. By default every cell is tokenised first.
    """

    batch_size: Count
    micro_batch_size: Count | None = None
    bucket: Count = 8
    eval_batch_size: Count = 128
    eval_batch_tokens: Count | None = None
    max_prompt_tokens: Count = 1024
    workers: Annotated[int, Ge(0), Le(1024)] = 0
    stream_chunk: Count | None = None

    def micro_batches(self, processes: int) -> int:
        """Micro-batches of a process in one step.

        Raises:
            FlixError: the batch does not divide evenly.
        """
        share, rest = divmod(self.batch_size, processes)
        micro = self.micro_batch_size or max(share, 1)
        if rest or share % micro:
            raise FlixError(
                f"data.batch_size {self.batch_size} does not divide into {processes} process(es) with micro-batches "
                f"of {micro}; choose sizes that do."
            )
        return share // micro


class ScoredRow(NamedTuple):
    """An example to be scored: the tokens of its longest answer, its cell and number there, and its tokens."""

    limit: int
    cell: Cell
    row: int
    example: Example
    encoded: Encoded


class _TrainShares(Dataset):
    """(step, micro-batch) -> this process's `TrainBatch`."""

    def __init__(self, data: "MixtureDataModule", rank: int, processes: int) -> None:
        self.data, self.rank, self.processes = data, rank, processes
        self.micro_batches = data.batching.micro_batches(processes)

    def __getitem__(self, key: tuple[int, int]) -> TrainBatch:
        step, micro = key
        draws = self.data.global_batches[step]
        cells = [self.data.mixture.train[c] for c in draws.cells]
        rows = [self.data.tokenised.encoded(cell, "train")[r] for cell, r in zip(cells, draws.rows)]
        # rows lie sorted by length: every n-th one gives all shares like lengths
        positions = list(range(micro * self.processes + self.rank, len(rows), self.processes * self.micro_batches))
        share = [rows[i] for i in positions]
        is_encoder_decoder = self.data.tokenised.is_encoder_decoder
        inputs = training_batch(share, self.data.tokenizer.pad_token_id, is_encoder_decoder)
        places = target_places(inputs["labels"], is_encoder_decoder)
        return TrainBatch(inputs, step, cells, positions, sum(len(row.target) for row in rows), places)


class _Steps(Sampler):
    """Endless (step, micro-batch) keys from a step on."""

    def __init__(self, first: int, micro_batches: int) -> None:
        self.first, self.micro_batches = first, micro_batches

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((step, micro) for step in count(self.first) for micro in range(self.micro_batches))


class MixtureDataModule(LightningDataModule):
    """Batches over the cells of a mixture.

    Args:
        benchmark: the source of examples.
        mixture: which of its cells train.
        tokenizer: the backbone's.
        is_encoder_decoder: the backbone's kind.
        mixing: how often each cell is drawn.
        batching: sizes.
        seed: of the order of examples.
        caching: where tokenised data is kept.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        mixture: Mixture,
        tokenizer: PreTrainedTokenizerBase,
        is_encoder_decoder: bool,
        mixing: Mixing,
        batching: Batching,
        seed: int,
        caching: Caching,
    ) -> None:
        super().__init__()
        self.benchmark, self.mixture, self.tokenizer = benchmark, mixture, tokenizer
        self.mixing, self.batching, self.seed, self.caching = mixing, batching, seed, caching
        self.shown = False  # whether to tell how far tokenising is
        self.validated_cells = self._having(mixture.train, "validation") if mixture.train else ()
        self.score(mixture.cells, "test")
        self.tokenised = TokenisedCells(
            benchmark, tokenizer, is_encoder_decoder, batching.max_prompt_tokens, caching, batching.stream_chunk
        )

    def prepare_data(self) -> None:
        """Tokenise what is not cached yet: one process of each machine does, the others wait."""
        for cell in self._told(self.mixture.train, "training"):
            self.tokenised.encoded(cell, "train")

    def setup(self, stage: str | None = None) -> None:
        if stage != "fit" or hasattr(self, "global_batches"):
            return
        sizes = [len(self.tokenised.encoded(cell, "train")) for cell in self.mixture.train]
        for cell in self._told(self.validated_cells, "validation"):
            self.tokenised.encoded(cell, "validation")  # so that what is counted as cut does not depend on restarts
        self.probabilities = self.mixing.probabilities(sizes)
        self.global_batches = GlobalBatches(
            sizes,
            self.probabilities,
            self.batching.batch_size,
            self.seed,
            self.batching.bucket,
            self._length,
            self.batching.stream_chunk,
        )

    def _told(self, cells: Sequence[Cell], split: str) -> Iterator[Cell]:
        """The cells, with progress shown while their rows are tokenised."""
        return track(cells, f"tokenising: {split} cell", len(cells), self.shown)

    def _length(self, cell: int, row: int) -> int:
        return self.tokenised.encoded(self.mixture.train[cell], "train").length(row)

    def train_dataloader(self) -> DataLoader:
        """Starts at the trainer's step, so that resuming needs no loader state."""
        trainer = self.trainer
        shares = _TrainShares(self, trainer.global_rank, trainer.world_size)
        steps = _Steps(trainer.global_step, shares.micro_batches)
        return DataLoader(shares, batch_size=None, sampler=steps, num_workers=self.batching.workers)

    def val_dataloader(self) -> DataLoader:
        return self._scoring_loader(self.validated_cells, "validation")

    def score(self, cells: Sequence[Cell], split: str) -> None:
        """Set what the next test pass scores: those of `cells` that have rows of `split`.

        Raises:
            FlixError: none has.
        """
        self.scored_cells, self.scored_split = self._having(cells, split), split
        self.unscored_cells = tuple(cell for cell in cells if cell not in self.scored_cells)

    def _having(self, cells: Sequence[Cell], split: str) -> tuple[Cell, ...]:
        found = tuple(cell for cell in cells if split in self.benchmark.splits(cell))
        if not found:
            raise FlixError(f"none of the {len(cells)} cells of the mixture has {split} rows in {self.benchmark.name}.")
        return found

    def scoring_on(self, benchmark: Benchmark) -> Self:
        """The same data module over the cells of another benchmark, for scoring."""
        if benchmark is self.benchmark:
            return self
        mixture = Mixture(train=(), zero_shot=tuple(benchmark.cells))
        kind = self.tokenised.is_encoder_decoder
        return type(self)(benchmark, mixture, self.tokenizer, kind, self.mixing, self.batching, self.seed, self.caching)

    def test_dataloader(self) -> DataLoader:
        return self._scoring_loader(self.scored_cells, self.scored_split)

    def _scoring_loader(self, cells: Sequence[Cell], split: str) -> DataLoader:
        """Mixed batches of all examples of `cells`, sorted by length; each process takes every n-th one.

        The batches are those of a single process, so the answers are bit for bit the same. All processes get the same
        number: one with none left repeats a batch that is not counted. Processes that share one sharded backbone
        process the same batches together, and only the first one counts them.
        """
        rows, sizes = self._scored_rows(cells, split), self.batching
        lengths = [(row.limit, padded(len(row.encoded.prompt))) for row in rows]
        cuts = batches_within(lengths, sizes.eval_batch_size, sizes.eval_batch_tokens)
        batches = [rows[cut] for cut in cuts]
        rank, processes = self.trainer.global_rank, self.trainer.world_size
        if isinstance(self.trainer.strategy, ModelParallelStrategy):
            return DataLoader([self._scoring_batch(batch, rank == 0) for batch in batches], batch_size=None)
        numbers = range(rank, -(-len(batches) // processes) * processes, processes)
        mine = [self._scoring_batch(batches[n % len(batches)], n < len(batches)) for n in numbers]
        return DataLoader(mine, batch_size=None)

    def _scored_rows(self, cells: Sequence[Cell], split: str) -> list[ScoredRow]:
        """Every example, sorted by length."""
        rows: list[ScoredRow] = []
        for cell in self._told(cells, split):
            limit = self.benchmark.tasks[cell.task].max_target_tokens
            pairs = zip(self.benchmark.examples(cell, split), self.tokenised.encoded(cell, split), strict=True)
            rows += [ScoredRow(limit, cell, row, *pair) for row, pair in enumerate(pairs)]
        return sorted(rows, key=lambda row: (row.limit, len(row.encoded.prompt), row.example.id))

    def _scoring_batch(self, rows: Sequence[ScoredRow], counted: bool) -> EvalBatch:
        limits, cells, numbers, examples, encoded = (list(column) for column in zip(*rows))
        inputs = generation_batch(encoded, self.tokenizer.pad_token_id, self.tokenised.is_encoder_decoder)
        ids, targets = [example.id for example in examples], [example.target for example in examples]
        return EvalBatch(inputs, cells, ids, targets, numbers, limits, counted)
