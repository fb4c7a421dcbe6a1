"""Tests of the compositional benchmark against its structure, and against CLDR as babel says it."""

import datetime
import re

import pytest
from babel import Locale
from babel.dates import format_date

from flix_lightning.adapters.features import FeatureSpace, Featurizer
from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.cldr_compositional.benchmark import CldrCompositional
from flix_lightning.data.cells import Cell

ROWS = {"train": 60, "validation": 6, "test": 20}
BENCHMARK = CldrCompositional(rows=ROWS, composite_train_rows=15)
CELLS = {cell.task: cell for cell in BENCHMARK.cells}
COMPOSITE = [task for task in CELLS if "+" in task]
STYLES = ("full", "long", "medium", "short")


def pairs(task: str, split: str = "test") -> list[tuple[str, str]]:
    """(text, target) of every row, the prompt's words taken off."""
    return [(e.prompt.partition(": ")[2], e.target) for e in BENCHMARK.examples(CELLS[task], split)]


def restyled(text: str, style: str) -> str:
    """Every `Fri, 1/9/1982` of a text in a style, by babel."""

    def say(found: re.Match) -> str:
        day = datetime.date(int(found[3]), int(found[1]), int(found[2]))
        return format_date(day, style, locale="en").replace("\u202f", " ")

    return re.sub(r"\w{3}, (\d+)/(\d+)/(\d{4})", say, text)


def test_two_main_tasks_times_three_languages_and_four_styles():
    assert len(COMPOSITE) == 14 == len({tuple(task.split("+")) for task in COMPOSITE})
    assert {task.partition("+")[0] for task in COMPOSITE} == {"qa", "ner"}
    assert len(CELLS) == 9 + 14
    space = FeatureSpace.of(BENCHMARK.cells, Featurizer(("task",)))
    assert {feature.value for feature in space} == set(CELLS) - set(COMPOSITE)


@pytest.mark.parametrize("split, rows, few", [("train", 60, 15), ("validation", 6, 6), ("test", 20, 20)])
def test_composite_tasks_have_few_training_rows(split, rows, few):
    for task, cell in CELLS.items():
        examples = BENCHMARK.examples(cell, split)
        assert len(examples) == (few if task in COMPOSITE else rows)
        assert len({example.prompt for example in examples}) == len(examples)


@pytest.mark.parametrize("style", STYLES)
def test_styles_against_babel(style):
    for text, target in pairs(f"style_{style}"):
        assert restyled(text, style) == target != text
    for text, target in pairs(f"qa+style_{style}"):
        facts, question = text.removesuffix("?").rsplit("; ", 1)
        assert restyled(dict(fact.split(": ") for fact in facts.split("; "))[question], style) == target
    for text, target in pairs(f"ner+style_{style}"):
        dates = re.findall(r"\w{3}, \d+/\d+/\d{4}", text)
        assert [f"DATE: {restyled(day, style)}" for day in dates] == target.split(" $$ ")


@pytest.mark.parametrize("language", ["it", "nl", "sv"])
def test_translations_against_babel(language):
    english, other = Locale("en"), Locale(language)
    words = {}
    for names in ("territories", "languages", "currencies"):
        for code, name in getattr(english, names).items():
            words.setdefault(name, set()).add(getattr(other, names).get(code))
    for text, target in pairs(f"qa+translation_{language}"):
        facts, question = text.removesuffix("?").rsplit("; ", 1)
        answer = dict(fact.split(": ") for fact in facts.split("; "))[question]
        assert target in words[answer] and target != answer
    for text, target in pairs(f"ner+translation_{language}"):
        for entity in target.split(" $$ "):
            label, said = entity.split(": ")
            sources = [name for name, found in words.items() if said in found and name in text]
            assert sources and label in ("LOC", "LANG", "CUR")


def test_a_main_task_answers_in_the_words_of_its_text():
    for text, target in pairs("qa"):
        assert target in text
    for text, target in pairs("ner"):
        assert all(entity.partition(": ")[2] in text for entity in target.split(" $$ "))


def test_prompts_name_both_tasks_in_the_words_of_each():
    def words(task):
        return BENCHMARK.examples(CELLS[task], "test")[0].prompt.partition(":")[0]

    for task in COMPOSITE:
        main, auxiliary = task.split("+")
        assert words(task) == words(main) + words(auxiliary).removeprefix("Rewrite English")


def test_no_text_of_the_test_split_is_trained_on_in_any_task():
    trained = {text for task in CELLS for text, _ in pairs(task, "train")}
    for task in CELLS:
        assert not trained & {text for text, _ in pairs(task)}


def test_targets_fit_their_limit():
    for task, cell in CELLS.items():
        longest = max(len(e.target.encode()) for e in BENCHMARK.examples(cell, "train"))
        assert longest < BENCHMARK.tasks[task].max_target_tokens


def test_rows_depend_on_the_seed_alone():
    again, other = (CldrCompositional(ROWS, 15, seed) for seed in (0, 1))
    cell = CELLS["ner+style_long"]
    assert again.examples(cell, "test") == BENCHMARK.examples(cell, "test") != other.examples(cell, "test")


def test_bad_arguments_are_refused():
    with pytest.raises(FlixError, match="composite_train_rows"):
        CldrCompositional(ROWS, 0)
    with pytest.raises(FlixError, match="rows.test"):
        CldrCompositional({"train": 1, "validation": 1, "test": 0}, 1)
    with pytest.raises(FlixError, match="did you mean 'qa\\+style_long/en'"):
        BENCHMARK.examples(Cell("qa+style_longe", "en"), "test")
