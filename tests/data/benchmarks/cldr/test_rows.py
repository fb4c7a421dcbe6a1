"""Rows and splits of the embedded benchmark."""

import hashlib
from collections import defaultdict
from datetime import date, timedelta
from functools import cache

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.cldr.benchmark import Cldr
from flix_lightning.data.benchmarks.cldr.content import Date, Name
from flix_lightning.data.benchmarks.cldr.languages import CELLS
from flix_lightning.data.benchmarks.cldr.rows import SPLITS, split_of
from flix_lightning.data.cells import Cell
from tests.data.benchmarks.cldr.samples import ALL_CELLS, FEW, drafts, rows


def test_rows_depend_on_seed_cell_and_split_alone():
    few, many = Cldr(FEW), Cldr({"train": 50, "validation": 9, "test": 20})
    for cell in (Cell("ner", "sw"), Cell("semantic_parsing", "bn"), Cell("qa_in_lang", "te")):
        for split, count in FEW.items():
            examples = few.examples(cell, split)
            assert len(examples) == count
            assert many.examples(cell, split)[:count] == examples == Cldr(FEW).examples(cell, split)
            assert Cldr(FEW, seed=1).examples(cell, split) != examples


def test_examples_of_today_are_those_of_any_day():
    # Written down once: another machine, process or babel must draw the same rows.
    assert [tuple(row) for row in rows("semantic_parsing", "sw", "test", 3)] == [
        ("kilogramu 674", "[IN:MEASURE [SL:KILOGRAM 674 ] ]"),
        ("dakika 7 zilizopita", "[IN:RELATIVE [SL:MINUTE -7 ] ]"),
        ("dakika 35 zilizopita", "[IN:RELATIVE [SL:MINUTE -35 ] ]"),
    ]


def test_an_example_is_the_tasks_prompt_around_a_row_with_an_id_of_its_own():
    benchmark = Cldr({"train": 2, "validation": 1, "test": 1})
    examples = [e for cell in benchmark.cells for split in SPLITS for e in benchmark.examples(cell, split)]
    assert len({example.id for example in examples}) == len(examples) == 4 * len(ALL_CELLS)
    example = benchmark.examples(Cell("semantic_parsing", "sw"), "test")[0]
    assert example.id == "semantic_parsing/sw/test/0"
    assert example.prompt == "Parse Swahili: kilogramu 674" and example.target == "[IN:MEASURE [SL:KILOGRAM 674 ] ]"


@pytest.mark.parametrize("task", CELLS)
def test_no_input_of_a_cell_stands_in_two_splits(task):
    for language in CELLS[task]:
        more = 8 if language in ("bn", "sw", "te", "yo") else 1
        inputs = {split: [row.input for row in rows(task, language, split, FEW[split] * more)] for split in SPLITS}
        together = [text for texts in inputs.values() for text in texts]
        assert len(set(together)) == len(together) == 40 * more


def test_parses_of_test_rows_are_trained_on_in_no_language():
    """The bracket form is free of language, so it is the content itself."""
    parses = defaultdict(set)
    for language in CELLS["semantic_parsing"]:
        for split, count in {"train": 80, "validation": 25, "test": 25}.items():
            parses[split] |= {row.target for row in rows("semantic_parsing", language, split, count)}
    assert min(map(len, parses.values())) > 300
    assert not parses["train"] & parses["test"] and not parses["train"] & parses["validation"]
    assert not parses["validation"] & parses["test"]


def test_contents_keep_their_split_across_tasks():
    """What semantic parsing tests in Swahili is never the Swahili of a translation or entity list to train on."""
    assert not seen("semantic_parsing", "test") & seen("translation", "train")
    assert not seen("translation", "test") & seen("semantic_parsing", "train")
    assert not seen("translation", "test") & seen("ner", "train")
    assert not seen("ner", "test") & seen("translation", "train")
    assert seen("semantic_parsing", "test") & seen("translation", "test")  # they do meet within a split


@cache
def seen(task: str, split: str) -> set[str]:
    return {row.input for row in rows(task, "sw", split, {"train": 1000, "test": 150}[split])}


def test_english_sides_of_translations_do_not_cross_splits_between_languages():
    sides = {split: set() for split in SPLITS}
    for language in CELLS["translation"]:
        for split in SPLITS:
            sides[split] |= {row.target for row in rows("translation", language, split, 20)}
    assert not sides["train"] & sides["test"] and not sides["validation"] & sides["test"]


@pytest.mark.parametrize("task, language", [("translation", "bn"), ("semantic_parsing", "sw")])
def test_rows_have_the_split_of_the_contents_they_were_drawn_from(task, language):
    split_by_input = {draft.row.input: split_of(draft.key) for draft in drafts(task, language, 2500)}
    assert set(split_by_input.values()) == set(SPLITS)
    for split in SPLITS:
        drawn = [row.input for row in rows(task, language, split, 100)]
        assert {split_by_input[text] for text in drawn if text in split_by_input} == {split}


def test_a_tenth_of_contents_is_for_test_and_a_tenth_for_validation():
    days = [Date(date(1950, 1, 1) + timedelta(days=n)) for n in range(10_000)]
    counts = {split: sum(split_of(day) == split for day in days) for split in SPLITS}
    # 26 of 256 first bytes each: 1,016 expected, standard deviation 30.
    assert abs(counts["test"] - 1016) < 150 and abs(counts["validation"] - 1016) < 150
    assert sum(counts.values()) == 10_000


def test_the_split_of_a_content_is_a_hash_that_no_process_changes():
    for content, written in {
        Date(date(1982, 1, 9)): "Date(value=datetime.date(1982, 1, 9))",
        (Name("LOC", "KE"), Name("CUR", "EUR")): "(Name(label='LOC', code='KE'), Name(label='CUR', code='EUR'))",
    }.items():
        digit = int(hashlib.sha256(written.encode()).hexdigest()[:2], 16) % 10
        assert split_of(content) == ("test", "validation", *["train"] * 8)[digit]


@pytest.mark.parametrize(
    "split_rows, named",
    [
        ({"train": 1, "validation": 1, "tset": 1}, "benchmark.rows 'tset'; did you mean 'test'"),
        ({"train": 1, "validation": 1}, "config key benchmark.rows.test is missing"),
        ({"train": 0, "validation": 1, "test": 1}, "benchmark.rows.train: expected a whole number of at least 1.*0"),
        (
            {"train": 1, "validation": -3, "test": 1},
            "benchmark.rows.validation: expected a whole number of at least 1.*-3",
        ),
        ({"train": 1, "validation": 1, "test": 2.0}, "benchmark.rows.test: expected a whole number of at least 1.*2.0"),
    ],
)
def test_impossible_numbers_of_rows_are_refused(split_rows, named):
    with pytest.raises(FlixError, match=named):
        Cldr(split_rows)


@pytest.mark.parametrize(
    "cell, split, named",
    [
        (Cell("ner", "bn"), "train", "cell of benchmark cldr 'ner/bn'"),
        (Cell("ner", "it"), "train", "cell of benchmark cldr 'ner/it'"),  # CLDR has it, the benchmark not
        (Cell("ner", "sw"), "tset", "split 'tset'; did you mean 'test'"),
    ],
)
def test_unknown_cells_and_splits_are_refused(cell, split, named):
    with pytest.raises(FlixError, match=named):
        Cldr(FEW).examples(cell, split)


def test_a_scarce_language_has_fewer_training_rows_and_all_of_its_test_rows():
    benchmark = Cldr(rows={"train": 9, "validation": 2, "test": 3}, scarce={"sw": 4})
    whole = Cldr(rows={"train": 9, "validation": 2, "test": 3})
    cell, other = Cell("ner", "sw"), Cell("ner", "yo")
    assert benchmark.examples(cell, "train") == whole.examples(cell, "train")[:4]
    assert benchmark.examples(other, "train") == whole.examples(other, "train")
    assert benchmark.examples(cell, "test") == whole.examples(cell, "test")


@pytest.mark.parametrize(
    "scarce, message",
    [({"swa": 4}, "did you mean 'sw'"), ({"sw": 0}, "scarce.sw: expected a whole number of at least 1")],
)
def test_a_scarce_language_that_cannot_be_is_refused(scarce, message):
    with pytest.raises(FlixError, match=message):
        Cldr(rows={"train": 9, "validation": 2, "test": 3}, scarce=scarce)
