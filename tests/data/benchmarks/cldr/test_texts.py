"""Where the texts of the embedded benchmark come from, and what its tasks make of them."""

import pickle
import re
from collections import Counter, defaultdict
from datetime import date, timedelta
from pathlib import Path

import pytest
from babel import Locale, localedata

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.cldr.benchmark import Cldr
from flix_lightning.data.benchmarks.cldr.content import Date, Measure, Money, Name, Relative
from flix_lightning.data.benchmarks.cldr.inventory import CURRENCIES, DIRECTIONS, PERIODS, UNITS, load_inventory
from flix_lightning.data.benchmarks.cldr.languages import CELLS, PRETRAINING
from flix_lightning.data.benchmarks.cldr.tasks import TASKS
from flix_lightning.data.cells import Cell
from tests.data.benchmarks.cldr.samples import ALL_CELLS, LANGUAGES, drafts, rows


def own(language: str) -> dict:
    """A locale's own data file as it lies in babel: `localedata.load` may answer from a cache of merged data."""
    return pickle.loads(Path(localedata.resolve_locale_filename(language)).read_bytes())


@pytest.mark.parametrize("language", [*LANGUAGES, *PRETRAINING])
def test_names_come_from_the_languages_own_file(language):
    inventory, data = load_inventory(language), own(language)
    for mine, theirs in (
        (inventory.territories, data["territories"]),
        (inventory.languages, data["languages"]),
        (inventory.currencies, data["currency_names"]),
    ):
        assert len(mine) >= 20
        assert {code: "".join(name.split()) for code, name in mine.items()} == {
            code: re.sub(r"[\s\u200e\u200f\u061c]", "", theirs[code]) for code in mine
        }
    months = set(data["months"]["format"]["wide"].values())
    assert len(months) == 12 and hasattr(data["date_formats"]["long"], "pattern")
    for patterns, theirs in ((inventory.relative, "date_fields"), (inventory.units, "unit_patterns")):
        texts = leaves(data.get(theirs, {}))
        assert all(text in texts for categories in patterns.values() for text in categories.values())


def leaves(data) -> set[str]:
    if not hasattr(data, "values"):
        return {data} if isinstance(data, str) else set()
    return set().union(*map(leaves, data.values()))


@pytest.mark.parametrize("language", ["sw", "bn", "yo", "ja", "ar"])
def test_a_date_holds_the_month_of_the_languages_own_file(language):
    for month, name in own(language)["months"]["format"]["wide"].items():
        assert " ".join(name.split()) in load_inventory(language).date(date(2001, month, 23))


@pytest.mark.parametrize(
    "language, lacking",
    [("bho", ["territories", "'KE'", "currency_names"]), ("mni", ["territories", "languages"]), ("lg", ["currency"])],
)
def test_a_language_without_names_of_its_own_is_refused_with_what_it_lacks(language, lacking):
    with pytest.raises(FlixError, match=f"no complete data of its own for language '{language}'") as caught:
        load_inventory(language)
    assert all(word in str(caught.value) for word in lacking)


def test_an_unknown_language_is_refused_with_the_nearest_one():
    with pytest.raises(FlixError, match="unknown CLDR language 'swa'; did you mean 'sw'"):
        load_inventory("swa")


@pytest.mark.parametrize("language", ["yo", "zu", "bn"])
def test_what_babel_read_before_does_not_matter(language, monkeypatch):
    def loaded(merged_first: bool):
        monkeypatch.setattr(localedata, "_cache", {})
        if merged_first:
            assert Locale(language).territories["KE"]
        return load_inventory.__wrapped__(language)

    assert loaded(merged_first=True) == loaded(merged_first=False)


def test_tigrinya_relative_times_are_left_out_because_they_read_the_same():
    data = own("ti")["date_fields"]
    assert data["day"]["past"]["other"] == data["day"]["future"]["other"]
    assert load_inventory("ti").relative == {} and load_inventory("am").relative != {}
    contents = [content for draft in drafts("ner", "ti", 500) for content in draft.key]
    assert any(isinstance(c, Measure) for c in contents) and not any(isinstance(c, Relative) for c in contents)


# What rows say


@pytest.mark.parametrize(
    "language, content, text",
    [
        ("sw", Date(date(1982, 1, 9)), "9 Januari 1982"),
        ("bn", Date(date(1982, 1, 9)), "9 জানুয়ারী, 1982"),
        ("de", Date(date(1982, 1, 9)), "9. Januar 1982"),
        ("es", Date(date(2024, 2, 29)), "29 de febrero de 2024"),
        ("ja", Date(date(2024, 2, 29)), "2024年2月29日"),
        ("en", Date(date(1999, 12, 31)), "December 31, 1999"),
        ("sw", Relative("day", "past", 4), "siku 4 zilizopita"),
        ("en", Relative("day", "past", 4), "4 days ago"),
        ("en", Relative("month", "future", 12), "in 12 months"),
        ("fr", Relative("week", "past", 3), "il y a 3 semaines"),
        ("ru", Relative("day", "past", 4), "4 дня назад"),  # few
        ("ru", Relative("day", "past", 5), "5 дней назад"),  # many
        ("ru", Relative("year", "future", 21), "через 21 год"),  # one
        ("ar", Relative("day", "past", 4), "قبل 4 أيام"),  # few
        ("ar", Relative("day", "past", 11), "قبل 11 يومًا"),  # many
        ("sw", Measure("KILOMETER", 5), "kilomita 5"),
        ("de", Measure("GRAM", 250), "250 Gramm"),
        ("sw", Money("TRY", 21), "21 Lira ya Uturuki"),
        ("fi", Name("LANG", "fi"), "suomi"),
        ("de", Name("LOC", "ZA"), "Südafrika"),
    ],
)
def test_golden_texts(language, content, text):
    assert content.text(load_inventory(language)) == text


@pytest.mark.parametrize(
    "content, parse",
    [
        (Date(date(1982, 1, 9)), "[IN:DATE [SL:YEAR 1982 ] [SL:MONTH 1 ] [SL:DAY 9 ] ]"),
        (Relative("day", "past", 4), "[IN:RELATIVE [SL:DAY -4 ] ]"),
        (Relative("hour", "future", 30), "[IN:RELATIVE [SL:HOUR +30 ] ]"),
        (Money("KES", 120), "[IN:MONEY [SL:AMOUNT 120 ] [SL:CURRENCY KES ] ]"),
        (Measure("LITER", 7), "[IN:MEASURE [SL:LITER 7 ] ]"),
    ],
)
def test_golden_parses(content, parse):
    assert content.parse() == parse


@pytest.mark.parametrize(
    "language, text", [("sw", "a, b na c"), ("de", "a, b und c"), ("ja", "a, b、c"), ("ar", "a, b وc")]
)
def test_a_list_ends_in_the_languages_own_conjunction(language, text):
    assert load_inventory(language).listed(["a", "b", "c"]) == text
    assert load_inventory(language).listed(["a"]) == "a"


@pytest.mark.parametrize("language", CELLS["semantic_parsing"])
def test_no_two_contents_of_semantic_parsing_read_the_same(language):
    inventory = load_inventory(language)
    amounts = (3, 4, 5, 6, 10, 11, 12, 20, 21, 22, 25, 99)  # every plural category
    contents = [Date(date(1990, 1, 1) + timedelta(days=n)) for n in range(0, 800, 7)]
    contents += [Money(currency, amount) for currency in CURRENCIES for amount in amounts]
    if inventory.relative:
        contents += [Relative(p, d, amount) for p in PERIODS for d in DIRECTIONS for amount in amounts]
    if inventory.units:
        contents += [Measure(unit, amount) for unit in UNITS for amount in amounts]
    by_text = defaultdict(set)
    for content in contents:
        by_text[content.text(inventory)].add(content.parse())
    assert [parses for parses in by_text.values() if len(parses) > 1] == []
    assert len(by_text) == len(contents)


@pytest.mark.parametrize("language", CELLS["ner"])
def test_entities_parse_back_and_stand_in_the_input(language):
    for draft in drafts("ner", language, 60):
        pieces = draft.row.target.split(" $$ ") if draft.row.target else []
        entities = [piece.split(": ", 1) for piece in pieces]
        named = [content for content in draft.key if isinstance(content, Name | Date)]
        assert [label for label, _ in entities] == [getattr(content, "label", "DATE") for content in named]
        place = 0  # they come in the order of the text, without overlap
        for _, text in entities:
            assert (place := draft.row.input.find(text, place) + len(text)) >= len(text)


@pytest.mark.parametrize("task", ["qa_in_lang", "qa_cross_lang"])
def test_the_answer_is_the_fact_of_the_place_that_is_asked_for(task):
    english = load_inventory("en").territories
    for language in CELLS[task]:
        territories = load_inventory(language).territories
        for row in rows(task, language, "train", 20):
            asked = re.search(r"(?:^|; )([^:;?]+)\?", row.input)[1]
            facts = dict(re.findall(r"(?:^|; |\? )([^:;?]+): ([^:;?]+)", row.input))
            (code,) = [code for code, name in territories.items() if name == asked]
            names_of = territories if task == "qa_in_lang" else english
            assert 2 <= len(facts) <= 3 and len(set(facts.values())) == len(facts)
            assert facts[names_of[code]] == row.target


def test_translations_say_the_same_content_in_english():
    english, swahili = load_inventory("en"), load_inventory("sw")
    for draft in drafts("translation", "sw", 200):
        if isinstance(draft.key, tuple):
            listed = (inventory.listed([c.text(inventory) for c in draft.key]) for inventory in (swahili, english))
            assert tuple(draft.row) == tuple(listed)
        else:
            assert tuple(draft.row) == (draft.key.text(swahili), draft.key.text(english))
    kinds = {type(draft.key) for draft in drafts("translation", "sw", 200)}
    assert kinds == {Date, Relative, Money, Measure, tuple}  # all that semantic parsing parses


def test_targets_fit_into_their_tasks_length():
    for task, language in ALL_CELLS:
        longest = max(len(row.target.encode()) + 1 for row in rows(task, language, "train", 30))  # and end-of-text
        assert longest <= TASKS[task].max_target_tokens


def test_a_list_is_parsed_item_by_item():
    """Judge: each item's own text and its parse, wherever it is drawn alone."""
    benchmark = Cldr({"train": 60, "validation": 1, "test": 20}, parsed=3)
    for language in ("sw", "ja", "hi"):
        inventory = load_inventory(language)
        examples = benchmark.examples(Cell("semantic_parsing", language), "train")
        counts = Counter()
        for example in examples:
            text = example.prompt.partition(": ")[2]
            whole = re.fullmatch(r"\[IN:LIST (.*) \]", example.target)
            items = re.findall(r"\[IN:\w+(?: \[SL:\w+ [^\]]+ \])+ \]", whole[1] if whole else example.target)
            counts[len(items)] += 1
            assert " ".join(items) == (whole[1] if whole else example.target)
            said = [said_in(inventory, item) for item in items]
            assert inventory.listed(said) == text
        assert set(counts) == {1, 2, 3}
    longest = max(len(example.target.encode()) for example in examples)
    assert longest <= benchmark.tasks["semantic_parsing"].max_target_tokens


def said_in(inventory, parse: str) -> str:
    """The text of what a parse says, read from its brackets."""
    kind = re.match(r"\[IN:(\w+)", parse)[1]
    slots = dict(re.findall(r"\[SL:(\w+) (\S+) \]", parse))
    if kind == "DATE":
        content = Date(date(*(int(slots[name]) for name in ("YEAR", "MONTH", "DAY"))))
    elif kind == "MONEY":
        content = Money(slots["CURRENCY"], int(slots["AMOUNT"]))
    elif kind == "MEASURE":
        ((unit, amount),) = slots.items()
        content = Measure(unit, int(amount))
    else:
        ((period, amount),) = slots.items()
        content = Relative(period.lower(), "past" if amount[0] == "-" else "future", int(amount[1:]))
    return content.text(inventory)
