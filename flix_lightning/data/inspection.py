"""Inspects a benchmark's cells for faults: lengths, truncation, duplicates, overlap, encoding."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Count, checked
from flix_lightning.data.benchmarks.benchmark import SPLITS, Benchmark, Example
from flix_lightning.data.cells import Cell
from flix_lightning.data.findings import Findings, Lengths
from flix_lightning.data.tokens.encoding import encode

CHUNK = 1000  # rows tokenised at once
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # category Cc without tab, line feed, carriage return


@checked("data")
@dataclass(frozen=True)
class Inspector:
    """Reads cells as training would.

    Args:
        benchmark: theirs.
        tokenizer, is_encoder_decoder: of the model to be trained.
        max_prompt_tokens: the limit of prompts; tasks have that of targets.

    Raises:
        FlixError: a limit below 1.
    """

    benchmark: Benchmark
    tokenizer: PreTrainedTokenizerBase
    is_encoder_decoder: bool
    max_prompt_tokens: Count

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
    """Count a row and the faults of its text."""
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
    """An 8-byte hash of texts: a set of these is small, and a collision among a million unlikely."""
    return hashlib.blake2b("\0".join(texts).encode("utf8"), digest_size=8).digest()
