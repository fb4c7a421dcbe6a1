"""Rows of the corpus as token ids, in batches of similar lengths, a function of the seed and the step."""

from functools import lru_cache
from random import Random
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from flix_lightning.data.tokens.encoding import Encoded, encode
from flix_lightning.models.pretraining import corpus

GROUP = 32  # batches drawn and sorted by length together
COPIES = 0.04  # share of rows that copy random tokens, so that every token is read and written


class Drawn(NamedTuple):
    task: str
    language: str
    row: Encoded


def draw(tokenizer: PreTrainedTokenizerBase, rng: Random, split: str, task: str | None = None) -> Drawn:
    """A row of a task of the corpus, or of `copy`; of a random one if none is given."""
    if task == "copy" or task is None and rng.random() < COPIES:
        return Drawn("copy", "", copying(tokenizer, rng))
    text = corpus.draw(rng, split, task)
    return Drawn(text.task, text.language, encode(tokenizer, [text.prompt], [text.target], False)[0])


def copying(tokenizer: PreTrainedTokenizerBase, rng: Random) -> Encoded:
    """`Copy:`, random tokens other than the special ones, and these again."""
    special = len(tokenizer.all_special_ids)  # the first ids
    tokens = [rng.randrange(special, len(tokenizer)) for _ in range(rng.randint(3, 10))]
    before, after = tokenizer(["Copy: ", "\n"]).input_ids
    return Encoded([*before, *tokens, *after], [*tokens, tokenizer.eos_token_id])


class Batches:
    """The batch of every step.

    Args:
        tokenizer: of the rows.
        seed: of the rows.
        size: rows of a batch.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, seed: int, size: int) -> None:
        self.tokenizer, self.seed, self.size = tokenizer, seed, size
        self._group = lru_cache(maxsize=1)(self._drawn)

    def __getitem__(self, step: int) -> list[Encoded]:
        return self._group(step // GROUP)[step % GROUP]

    def _drawn(self, group: int) -> list[list[Encoded]]:
        rng = Random(f"pretraining/{self.seed}/{group}")
        rows = [draw(self.tokenizer, rng, "train").row for _ in range(GROUP * self.size)]
        rows.sort(key=lambda row: len(row.prompt) + len(row.target))
        batches = [rows[i : i + self.size] for i in range(0, len(rows), self.size)]
        rng.shuffle(batches)
        return batches
