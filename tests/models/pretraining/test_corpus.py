"""The corpus: what is never in it, what always is, and where its rows come from."""

import re
from random import Random

import pytest

from flix_lightning.data.benchmarks.cldr.content import Relative
from flix_lightning.data.benchmarks.cldr.inventory import DIRECTIONS, PERIODS, load_inventory
from flix_lightning.data.benchmarks.cldr.languages import CELLS, language_name
from flix_lightning.data.benchmarks.cldr.rows import split_of
from flix_lightning.data.benchmarks.cldr.tasks import TASKS as BENCHMARK
from flix_lightning.data.benchmarks.cldr_compositional.tasks import TASKS as COMPOSITIONAL
from flix_lightning.models.pretraining.corpus import TASKS, draw, named_forms
from flix_lightning.models.pretraining.languages import ASKED, EVERY, SPOKEN

PARSE = re.compile(r"\[(IN|SL):")
ENTITIES = re.compile(r"(LOC|LANG|CUR|DATE): .*?( \$\$ (LOC|LANG|CUR|DATE): .*)?")
RELATIVES = [Relative(p, d, n) for p in PERIODS for d in DIRECTIONS for n in range(3, 100)]


@pytest.fixture(scope="module")
def rows():
    rng = Random("the corpus")
    return [draw(rng, "train") for _ in range(6_000)]


def test_the_forms_of_parsing_and_entities_never_occur(rows):
    for row in rows:
        assert not PARSE.search(row.prompt + row.target) and "$$" not in row.prompt + row.target, row
        assert not ENTITIES.fullmatch(row.target), row


def test_no_prompt_of_a_benchmark_occurs(rows):
    openings = tuple({task.prompt.partition("{")[0] for task in (*BENCHMARK.values(), *COMPOSITIONAL.values())})
    assert set(openings) == {"Parse ", "Translate ", "Entities ", "Answer ", "Rewrite "}
    assert not [row for row in rows if row.prompt.startswith(openings)]
    assert not set(openings) & {f"{name} " for forms in named_forms() for name in forms}


def test_what_the_benchmark_tests_is_not_trained_on(rows):
    """Relative times are few enough to meet each of them often."""
    met = set()
    for language in SPOKEN:
        inventory, opening = load_inventory(language), f" {language_name(language)}: "
        inputs = {row.prompt.rpartition(opening)[2] for row in rows if opening in row.prompt}
        for content in RELATIVES if inventory.relative else ():
            if content.text(inventory) in inputs:
                met.add(split_of(content))
    assert met == {"train"}


def test_rows_of_another_split_are_of_its_contents():
    rng, inventory = Random(0), load_inventory("sw")
    of_test = {content.text(inventory) for content in RELATIVES if split_of(content) == "test"}
    relatives = {content.text(inventory) for content in RELATIVES}
    drawn = [draw(rng, "test", "kind") for _ in range(2000)]
    inputs = {row.prompt.partition(": ")[2] for row in drawn if row.language == "sw" and row.target == "relative"}
    assert inputs and inputs <= of_test < relatives


def test_every_language_of_a_cell_is_spoken_and_questions_are_asked_in_others_only(rows):
    in_cells = {language for languages in CELLS.values() for language in languages}
    assert in_cells <= set(SPOKEN) and not in_cells & set(ASKED) and set(EVERY) == {*SPOKEN, *ASKED}
    for task in TASKS:
        languages = {row.language for row in rows if row.task == task}
        if task.startswith("question"):
            assert languages == set(ASKED)
        else:
            assert languages <= set(SPOKEN) and len(languages) > 40
    assert {row.language for row in rows} == set(EVERY)


def test_a_seed_gives_the_same_rows():
    one, other, another = ([draw(rng, "train") for _ in range(50)] for rng in map(Random, ("a", "a", "b")))
    assert one == other != another


def test_no_two_named_forms_are_the_same_and_none_gives_an_empty_text():
    records, lists = named_forms()
    assert len({*records, *lists}) == len(records) + len(lists)
    assert len(set(map(str, [*records.values(), *lists.values()]))) == len(records) + len(lists)
    rng = Random(0)
    for task in TASKS:
        for _ in range(200):
            row = draw(rng, "train", task)
            assert row.target.strip() == row.target != "" and row.prompt.strip() == row.prompt
