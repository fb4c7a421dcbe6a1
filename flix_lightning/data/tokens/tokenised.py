"""The examples of a benchmark as token ids, cell by cell: tokenised once, memory-mapped, shared between runs."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, cached_property, lru_cache
from itertools import islice
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from flix_lightning.common.errors import FlixError
from flix_lightning.data import tasks
from flix_lightning.data.benchmarks.benchmark import Benchmark, Example
from flix_lightning.data.cells import Cell
from flix_lightning.data.tokens import encoding
from flix_lightning.data.tokens.encoding import Encoded, cut, encode, prompt_tail
from flix_lightning.data.tokens.file import TokenFile
from flix_lightning.data.tokens.store import Caching, TokenStore

TOGETHER = 1000  # examples tokenised at once
PROBE = "Habari ya 12 Aprili!\n\t\u09ac\u09be\u0982\u09b2\u09be \u65e5\u672c \U0001f30d"
OPEN_CHUNKS = 4


class TokenisedCells:
    """The examples of a benchmark as token ids, made when first asked for.

    Args:
        benchmark: the source of examples.
        tokenizer: the backbone's.
        is_encoder_decoder: the backbone's kind.
        max_prompt_tokens: longer prompts are cut; a task says how long a target may be.
        caching: where the ids are kept.
        chunk: training cells of more rows are tokenised chunk by chunk, when training comes to a chunk.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        tokenizer: PreTrainedTokenizerBase,
        is_encoder_decoder: bool,
        max_prompt_tokens: int,
        caching: Caching,
        chunk: int | None = None,
    ) -> None:
        self.benchmark, self.tokenizer = benchmark, tokenizer
        self.is_encoder_decoder, self.max_prompt_tokens = is_encoder_decoder, max_prompt_tokens
        self.store, self.chunk = TokenStore(caching), chunk
        self.encoded = cache(self._encoded)
        self._opened: dict[str, int] = {}

    @property
    def truncated(self) -> int:
        """The number of truncated rows among those requested so far."""
        return sum(self._opened.values())

    def _encoded(self, cell: Cell, split: str) -> "TokenFile | StreamedRows":
        """The rows of a cell's split, in order."""
        if split == "train" and self.chunk is not None:
            size = self._size(cell)
            if size > self.chunk:
                return StreamedRows(size, self.chunk, self._chunks(cell))
        return self._file(cell, split, "", lambda: self.benchmark.stream(cell, split))

    def _file(self, cell: Cell, split: str, part: str, examples: Callable[[], Iterable[Example]]) -> TokenFile:
        key, lasting = self._key(cell, split)
        file = self.store.file(key + part, lasting, lambda: self._rows(cell, examples()), self._largest_id)
        self._opened[key + part] = file.truncated
        return file

    def _rows(self, cell: Cell, examples: Iterable[Example]) -> Iterator[tuple[Encoded, bool]]:
        longest, tail = self.benchmark.tasks[cell.task].max_target_tokens, prompt_tail(self.tokenizer)
        for some in groups(examples, TOGETHER):
            prompts, targets = [e.prompt for e in some], [e.target for e in some]
            for row in encode(self.tokenizer, prompts, targets, self.is_encoder_decoder):
                short = cut(row, self.max_prompt_tokens, longest, tail)
                yield short, short != row

    def _key(self, cell: Cell, split: str) -> tuple[str, bool]:
        """A name for a cell's rows, and whether it determines them."""
        source = self.benchmark.fingerprint(cell, split)
        longest = self.benchmark.tasks[cell.task].max_target_tokens
        content = json.dumps([*self._settings, repr(cell), split, longest, source])
        return hashlib.sha256(content.encode()).hexdigest()[:32], source is not None

    @cached_property
    def _settings(self) -> tuple:
        """The settings that determine the rows of every cell."""
        code = [Path(module.__file__).read_text(encoding="utf8") for module in (encoding, tasks)]
        return *code, tokenizer_fingerprint(self.tokenizer), self.is_encoder_decoder, self.max_prompt_tokens

    @cached_property
    def _largest_id(self) -> int:
        return max(self.tokenizer.get_vocab().values())

    def _size(self, cell: Cell) -> int:
        """The number of a cell's training examples, counted once."""
        key, lasting = self._key(cell, "train")
        return self.store.number(f"{key}.rows", lasting, lambda: sum(1 for _ in self.benchmark.stream(cell, "train")))

    def _chunks(self, cell: Cell) -> Callable[[int], TokenFile]:
        """Chunk number -> its rows, of a training cell."""
        read = ChunkReader(lambda: self.benchmark.stream(cell, "train"), self.chunk)
        size = self._size(cell)

        def opened(number: int) -> TokenFile:
            file = self._file(cell, "train", f"-{self.chunk}-{number}", lambda: read(number))
            if len(file) != min(self.chunk, size - number * self.chunk):
                raise FlixError(f"cell {cell}: its source gave {size:,} training rows before, now another number.")
            return file

        return opened


class StreamedRows(Sequence[Encoded]):
    """The rows of a cell that is tokenised chunk by chunk; only a few chunks are open at a time."""

    def __init__(self, size: int, chunk: int, opened: Callable[[int], TokenFile]) -> None:
        self.size, self.chunk = size, chunk
        self._opened = lru_cache(maxsize=OPEN_CHUNKS)(opened)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, row):
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(self.size))]
        file, place = self._place(row)
        return file[place]

    def length(self, row: int) -> int:
        """Tokens of prompt and target together."""
        file, place = self._place(row)
        return file.length(place)

    def _place(self, row: int) -> tuple[TokenFile, int]:
        if not -self.size <= row < self.size:
            raise IndexError(row)
        number, place = divmod(int(row) % self.size, self.chunk)
        return self._opened(number), place


class ChunkReader:
    """The examples of a source, a chunk at a time.

    The next chunk is read on from the last one; any other is read from the start, as is the first chunk in a forked
    process.
    """

    def __init__(self, source: Callable[[], Iterable[Example]], chunk: int) -> None:
        self.source, self.chunk = source, chunk
        self._next, self._process = 0, None

    def __call__(self, number: int) -> Iterator[Example]:
        if number < self._next or self._process != os.getpid():
            self._examples, self._next, self._process = iter(self.source()), 0, os.getpid()
        skipped = (number - self._next) * self.chunk
        self._next = number + 1
        return islice(self._examples, skipped, skipped + self.chunk)


def groups(examples: Iterable[Example], size: int) -> Iterator[list[Example]]:
    """Lists of `size` examples, the last one shorter."""
    examples = iter(examples)
    while some := list(islice(examples, size)):
        yield some


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """Equal for tokenizers that give the same ids for every text."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    probes = [tokenizer(PROBE, add_special_tokens=special).input_ids for special in (True, False)]
    content = [type(tokenizer).__qualname__, rules, probes, tokenizer.eos_token_id, tokenizer.chat_template]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
