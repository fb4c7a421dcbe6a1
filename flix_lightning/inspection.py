"""What is in a benchmark's cells, and what is wrong with it: lengths, truncation, duplicates, overlap, encoding."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from flix_lightning.benchmarks.benchmark import SPLITS, Benchmark, Example
from flix_lightning.errors import FlixError
from flix_lightning.features import Cell
from flix_lightning.tokens.encoding import encode

CHUNK = 1000  # rows tokenised at once
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # category Cc without tab, line feed, carriage return


class Lengths(NamedTuple):
    """Of prompts or targets, in tokens; a target's last token ends the text."""

    min: int
    median: int
    p95: int
    max: int

    @staticmethod
    def of(lengths: Sequence[int]) -> "Lengths":
        return Lengths(*(int(q) for q in np.percentile(lengths, [0, 50, 95, 100], method="higher")))


@dataclass
class Findings:
    """What one split of a cell holds; all but the lengths are numbers of rows.

    Attributes:
        rows: readable ones.
        prompt, target: their lengths.
        cut_prompts, cut_targets: longer than the configured limits.
        duplicates: prompt and target are those of an earlier row.
        overlap: the prompt is that of a training row of the cell.
        empty_targets: of nothing but white space.
        unknown: the target has a token that stands for what the tokenizer does not know, so that no model can write it.
        changed: the tokenizer gives the target back as another text, white space around it apart: no answer can match
            it. Those with unknown tokens are among them.
        replacement: a U+FFFD, left by an earlier conversion.
        control: a control character, tabs and line ends apart.
        not_nfc: letters and marks not composed (Unicode NFC), which no metric and few tokenizers take for equal.
        change: the first changed target, and what it becomes.
        error: why the split cannot be read.
    """

    cell: Cell
    split: str
    rows: int = 0
    prompt: Lengths | None = None
    target: Lengths | None = None
    cut_prompts: int = 0
    cut_targets: int = 0
    duplicates: int = 0
    overlap: int = 0
    empty_targets: int = 0
    unknown: int = 0
    changed: int = 0
    replacement: int = 0
    control: int = 0
    not_nfc: int = 0
    change: tuple[str, str] | None = None
    error: str | None = None

    def counts(self) -> dict[str, int]:
        """Name -> number of rows, of everything that is counted beside the rows themselves."""
        names = [f.name for f in fields(self) if f.type is int and f.name != "rows"]
        return {name: getattr(self, name) for name in names}

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        lengths = {name: part and part._asdict() for name, part in (("prompt", self.prompt), ("target", self.target))}
        return {**asdict(self), "cell": str(self.cell), **lengths}


@dataclass(frozen=True)
class Inspector:
    """Reads cells as training would.

    Args:
        benchmark: theirs.
        tokenizer: of the model that is to be trained.
        is_encoder_decoder: its kind.
        max_prompt_tokens: the limit of prompts; that of targets is their task's.

    Raises:
        FlixError: a limit below 1.
    """

    benchmark: Benchmark
    tokenizer: PreTrainedTokenizerBase
    is_encoder_decoder: bool
    max_prompt_tokens: int

    def __post_init__(self) -> None:
        if self.max_prompt_tokens < 1:
            raise FlixError(f"data.max_prompt_tokens: at least 1; got {self.max_prompt_tokens!r}.")

    def inspect(self, cells: Iterable[Cell]) -> Iterator[Findings]:
        """The findings of every split that a cell has, training first."""
        for cell in cells:
            trained: set[bytes] = set()
            for split in (split for split in SPLITS if split in self.benchmark.splits(cell)):
                found = Findings(cell, split)
                try:
                    self._read(found, trained)
                except FlixError as error:
                    found.error = str(error)
                yield found

    def _read(self, found: Findings, trained: set[bytes]) -> None:
        """Fill in `found`; `trained` holds the digests of the cell's training prompts."""
        seen: set[bytes] = set()
        prompts, targets = [], []
        examples = self.benchmark.examples(found.cell, found.split)
        for start in range(0, len(examples), CHUNK):
            rows = examples[start : start + CHUNK]
            for row in rows:
                _look(found, row, seen, trained)
            encoded = encode(
                self.tokenizer, [row.prompt for row in rows], [row.target for row in rows], self.is_encoder_decoder
            )
            prompts += [len(row.prompt) for row in encoded]
            targets += [len(row.target) for row in encoded]
            found.unknown += sum(self.tokenizer.unk_token_id in row.target[:-1] for row in encoded)
            said = self.tokenizer.batch_decode([row.target for row in encoded], skip_special_tokens=True)
            changes = [
                pair for row, text in zip(rows, said) if (pair := (row.target.strip(), text.strip()))[0] != pair[1]
            ]
            found.changed += len(changes)
            found.change = found.change or next(iter(changes), None)
        if prompts:
            limit = self.benchmark.tasks[found.cell.task].max_target_tokens
            found.prompt, found.target = Lengths.of(prompts), Lengths.of(targets)
            found.cut_prompts = sum(length > self.max_prompt_tokens for length in prompts)
            found.cut_targets = sum(length > limit for length in targets)


def _look(found: Findings, row: Example, seen: set[bytes], trained: set[bytes]) -> None:
    """Count a row and what is wrong with its text."""
    found.rows += 1
    pair, prompt = digest(row.prompt, row.target), digest(row.prompt)
    found.duplicates += pair in seen
    seen.add(pair)
    if found.split == "train":
        trained.add(prompt)
    else:
        found.overlap += prompt in trained
    text = row.prompt + "\n" + row.target
    found.empty_targets += not row.target.strip()
    found.replacement += "\ufffd" in text
    found.control += CONTROL.search(text) is not None
    found.not_nfc += not unicodedata.is_normalized("NFC", text)


def digest(*texts: str) -> bytes:
    """Eight bytes that stand for texts: a set of them is small, and a chance match of two among a million unlikely."""
    return hashlib.blake2b("\0".join(texts).encode("utf8"), digest_size=8).digest()
