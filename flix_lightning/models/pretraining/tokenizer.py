"""The vocabulary of `tiny`: byte-level BPE with single digits and single marks, from texts of all its languages."""

from collections.abc import Iterable
from functools import cache
from random import Random

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from flix_lightning.data.benchmarks.cldr.inventory import load_inventory
from flix_lightning.models.pretraining.corpus import draw
from flix_lightning.models.pretraining.languages import EVERY

SIZE = 4096
SPECIAL = ("<pad>", "</s>")  # token ids 0 and 1
# A word with the space before it, one digit, one mark with the space before it, one white space.
PIECES = r" ?[\p{L}\p{M}\x{200c}\x{200d}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}\x{200c}\x{200d}]|\s"
NEVER = {0xC0, 0xC1, *range(0xF5, 0x100)}  # bytes that UTF-8 does not have


@cache
def byte_letters() -> dict[int, str]:
    """How byte-level BPE writes each byte (GPT-2's table)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(0x100 + n) for n, byte in enumerate(others)}


def texts(rows: int, seed: int) -> Iterable[str]:
    """Rows of the corpus, and each language's names, all with one weight."""
    rng = Random(f"vocabulary/{seed}")
    for _ in range(rows):
        drawn = draw(rng, "train")
        yield f"{drawn.prompt}\n{drawn.target}"
    for language in EVERY:
        inventory = load_inventory(language)
        for names in (inventory.territories, inventory.languages, inventory.currencies):
            yield from names.values()


def train_tokenizer(rows: int = 60_000, seed: int = 0, size: int = SIZE) -> Tokenizer:
    """A deterministic function of its arguments."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=[letter for byte, letter in byte_letters().items() if byte not in NEVER],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(rows, seed), trainer)
    return tokenizer
