"""The vocabulary: nothing lost, single digits, every token met in pretraining."""

from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flix_lightning.data.benchmarks.cldr.languages import CELLS, language_name
from flix_lightning.data.benchmarks.cldr.rows import draw_rows
from flix_lightning.data.benchmarks.cldr.tasks import TASKS
from flix_lightning.data.benchmarks.cldr_compositional.benchmark import CldrCompositional
from flix_lightning.models.pretraining.batches import copying
from flix_lightning.models.pretraining.tokenizer import NEVER, SIZE, byte_letters, train_tokenizer
from flix_lightning.models.tiny import VOCABULARY, tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def test_texts_of_the_benchmarks_come_back_and_their_lengths_in_bytes_are_upper_bounds(tokenizer):
    pairs = []
    for task, languages in CELLS.items():
        for language in languages:
            for row in islice(draw_rows(task, language, "test", 0), 12):
                pairs.append((TASKS[task].render(language_name(language), input=row.input), row.target))
                ids = tokenizer(row.target, add_special_tokens=False).input_ids
                assert len(ids) < TASKS[task].max_target_tokens
    other = CldrCompositional({"train": 1, "validation": 1, "test": 3}, 1)
    pairs += [(row.prompt, row.target) for cell in other.cells for row in other.examples(cell, "test")]
    texts = [text for pair in pairs for text in pair]
    ids = tokenizer(texts, add_special_tokens=False).input_ids
    assert [tokenizer.decode(row) for row in ids] == texts
    assert sum(map(len, ids)) * 2 < sum(len(text.encode()) for text in texts)


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(tokenizer, text):
    if not any(special in text for special in tokenizer.all_special_tokens):
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_digits_are_single_and_nothing_is_added(tokenizer):
    assert [tokenizer.decode([i]) for i in tokenizer("in 2040").input_ids] == ["in", " ", "2", "0", "4", "0"]
    assert not [t for t in tokenizer.get_vocab() if len(t) > 1 and t not in tokenizer.all_special_tokens
                and any(c.isdigit() for c in tokenizer.convert_tokens_to_string([t]))]  # fmt: skip
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, len(tokenizer)) == (0, 1, SIZE)


def test_every_byte_of_utf_8_is_a_token(tokenizer):
    vocabulary = tokenizer.get_vocab()
    assert {byte for byte, letter in byte_letters().items() if letter not in vocabulary} == NEVER
    every = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    assert set(every.encode()) == set(range(256)) - NEVER


def test_every_token_is_read_and_written_in_pretraining(tokenizer):
    rng, read, written = Random(0), set(), set()
    for _ in range(12_000):
        row = copying(tokenizer, rng)
        read.update(row.prompt)
        written.update(row.target)
    special = set(tokenizer.all_special_ids)
    assert read == set(range(SIZE)) - special
    assert written == read | {tokenizer.eos_token_id}


def test_training_is_exact_in_its_seed():
    one, other, another = (train_tokenizer(rows=200, seed=seed, size=400).to_str() for seed in (0, 0, 1))
    assert one == other != another


@pytest.mark.slow
def test_the_shipped_vocabulary_is_what_its_training_gives(tmp_path):
    train_tokenizer().save(str(tmp_path / "tokenizer.json"), pretty=False)
    assert (tmp_path / "tokenizer.json").read_bytes() == VOCABULARY.read_bytes()
