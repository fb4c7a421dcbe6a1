"""Tests of the embedded benchmark: its rows, its splits, where its texts come from, the paper's mixtures over it."""

import hashlib
import pickle
import re
import runpy
import sys
from collections import defaultdict
from datetime import date, timedelta
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from babel import Locale, localedata
from omegaconf import OmegaConf

from flix_lightning.benchmarks.cldr.__main__ import main
from flix_lightning.benchmarks.cldr.benchmark import Cldr
from flix_lightning.benchmarks.cldr.content import Date, Measure, Money, Name, Relative
from flix_lightning.benchmarks.cldr.inventory import CURRENCIES, DIRECTIONS, PERIODS, UNITS, load_inventory
from flix_lightning.benchmarks.cldr.languages import CELLS, PRETRAINING, language_name
from flix_lightning.benchmarks.cldr.rows import SPLITS, Draft, draw_rows, split_of
from flix_lightning.benchmarks.cldr.rows import TASKS as DRAW
from flix_lightning.benchmarks.cldr.tasks import TASKS
from flix_lightning.errors import FlixError
from flix_lightning.features import Cell
from flix_lightning.mixture import Mixture

CONF = Path(__file__).parents[2] / "conf" / "mixture"
FEW = {"train": 30, "validation": 4, "test": 6}
ALL_CELLS = [(task, language) for task, languages in CELLS.items() for language in languages]
LANGUAGES = sorted({language for _, language in ALL_CELLS})


def rows(task: str, language: str, split: str, count: int, seed: int = 0):
    return list(islice(draw_rows(task, language, split, seed), count))


def drafts(task: str, language: str, count: int) -> list[Draft]:
    """Drafts of every split."""
    rng = Random(f"drafts/{task}/{language}")
    return [DRAW[task](rng, load_inventory(language)) for _ in range(count)]


# Rows and splits


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


# Where the texts come from


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
            told = territories if task == "qa_in_lang" else english
            assert 2 <= len(facts) <= 3 and len(set(facts.values())) == len(facts)
            assert facts[told[code]] == row.target


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


# Cells, and the paper's mixtures over them (appendix B)

PAPER = {
    "semantic_parsing": "am be bn fi ha hu ja pt ru sw ta tr yo zu en de es fr hi th",  # pt for pt_br
    "qa_in_lang": "ar bn fi id ko ru sw te en",
    # kok for gom
    "qa_cross_lang": "ar bn fi ko ru te as bho brx gbm kok gu hi hne kn mai ml mni mr mwr or pa ps sa ta ur",
    "ner": "am bm bbj ee ha ig rw lg luo mos ny pcm sn sw tn tw wo xh yo zu",
    "translation": "id es hi yo ja lg ny ru be ar de bn fr tr ig th fi zu te ko sw xh hu ha sn ta am",
}
STAND_INS = {"qa_cross_lang": "az fil jv ms sd ug uz xnr", "ner": "af ak kab kea so ti"}


@pytest.mark.parametrize("task", CELLS)
def test_cells_are_the_papers_wherever_cldr_has_the_language(task):
    paper, here = set(PAPER[task].split()), set(CELLS[task])
    assert here - paper == set(STAND_INS.get(task, "").split())
    for language in paper - here:
        with pytest.raises(FlixError, match=f"'{language}'"):
            load_inventory(language)
    assert len(CELLS[task]) == len(here)


def test_the_benchmark_is_wide_and_apart_from_pretraining():
    assert len(LANGUAGES) >= 50 and len(ALL_CELLS) >= 84
    assert [(cell.task, cell.language) for cell in Cldr(FEW).cells] == ALL_CELLS
    assert len(PRETRAINING) >= 40 and not set(PRETRAINING) & set(LANGUAGES)
    assert set(CELLS) == set(TASKS) == set(DRAW)
    assert language_name("sw") == "Swahili" and len({language_name(code) for code in LANGUAGES}) == len(LANGUAGES)


def mixture(name: str, **filled: str) -> Mixture:
    """A mixture of conf/, its rule applied to the benchmark."""
    config = OmegaConf.create({"mixture": OmegaConf.load(CONF / f"{name}.yaml")})
    config.mixture.update(filled)
    chosen = OmegaConf.to_container(config, resolve=True)["mixture"]
    return Mixture.select(Cldr(FEW).cells, chosen["tasks"], chosen["languages"], chosen["train"])


def languages_of(cells, task: str) -> set[str]:
    return {cell.language for cell in cells if cell.task == task}


def grouped(mixture: Mixture, group: str) -> dict[str, set[str]]:
    found = defaultdict(set)
    for cell in mixture.cells:
        if mixture.group(cell) == group:
            found[cell.task].add(cell.language)
    return dict(found)


def test_the_joint_mixture_is_the_papers():
    joint = mixture("joint")
    assert languages_of(joint.train, "qa_cross_lang") == set("ar bn fi ko ru te".split())
    for task in ("semantic_parsing", "qa_in_lang", "ner", "translation"):
        assert languages_of(joint.train, task) == set(CELLS[task])
    assert grouped(joint, "unseen combination") == {"qa_cross_lang": {"hi", "ta"}}
    paper = set("brx kok mr as gu kn ml or pa ps ur".split())  # bho gbm hne mai mni mwr sa are not in CLDR
    stand_ins = set(STAND_INS["qa_cross_lang"].split())
    assert grouped(joint, "unseen language") == {"qa_cross_lang": paper | stand_ins}


def test_held_out_semantic_parsing_is_the_papers():
    held_out = mixture("held_out_semantic_parsing")
    assert languages_of(held_out.train, "semantic_parsing") == set("fi hu ja pt ru tr en de es fr hi".split())
    for task in ("qa_in_lang", "qa_cross_lang", "ner", "translation"):
        assert languages_of(held_out.train, task) == set(CELLS[task])
    assert grouped(held_out, "unseen combination") == {"semantic_parsing": set("am be bn ha sw ta yo zu th".split())}
    assert grouped(held_out, "unseen language") == {}


@pytest.mark.parametrize(
    "language, tasks",
    [
        ("sw", {"semantic_parsing", "ner", "qa_in_lang"}),
        ("bn", {"semantic_parsing", "qa_in_lang", "qa_cross_lang"}),
    ],
)
def test_multitask_mixtures_are_the_papers(language, tasks):
    cells = mixture("multitask", language=language).cells
    assert {cell.task for cell in cells} == tasks and {cell.language for cell in cells} == {language}


@pytest.mark.parametrize("task", CELLS)
def test_a_multilingual_mixture_is_one_task_in_all_its_languages(task):
    chosen = mixture("multilingual", task=task)
    assert chosen.zero_shot == () and {(c.task, c.language) for c in chosen.train} == {(task, x) for x in CELLS[task]}


# Errors, and the command


@pytest.mark.parametrize(
    "split_rows, named",
    [
        ({"train": 1, "validation": 1, "tset": 1}, "benchmark.rows 'tset'; did you mean 'test'"),
        ({"train": 1, "validation": 1}, "benchmark.rows.test: at least 1.*None"),
        ({"train": 0, "validation": 1, "test": 1}, "benchmark.rows.train: at least 1.*0"),
        ({"train": 1, "validation": -3, "test": 1}, "benchmark.rows.validation: at least 1.*-3"),
        ({"train": 1, "validation": 1, "test": 2.0}, "benchmark.rows.test: at least 1.*2.0"),
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


def test_the_command_lists_every_cell(capsys):
    main([])
    *lines, total = capsys.readouterr().out.splitlines()
    assert total == f"{len(ALL_CELLS)} cells, {len(LANGUAGES)} languages"
    for line, (task, languages) in zip(lines, CELLS.items(), strict=True):
        assert line.split() == [task, str(len(languages)), *languages]


def test_the_command_previews_the_benchmarks_own_examples(capsys):
    main(["ner/sw", "qa_in_lang/te", "--rows", "3", "--split", "test", "--seed", "4"])
    benchmark = Cldr(FEW, seed=4)
    blocks = capsys.readouterr().out.strip().split("\n\n")
    for block, cell in zip(blocks, (Cell("ner", "sw"), Cell("qa_in_lang", "te")), strict=True):
        examples = benchmark.examples(cell, "test")[:3]
        assert block.splitlines() == [f"# {cell}, test, seed 4", *(f"{e.prompt} -> {e.target}" for e in examples)]


def test_the_command_previews_pretraining_languages(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "flix_lightning.benchmarks.cldr.__main__")
    monkeypatch.setattr(sys, "argv", ["cldr", "semantic_parsing/it", "--rows", "2"])
    runpy.run_module("flix_lightning.benchmarks.cldr", run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(line.startswith("Parse Italian: ") and " -> [IN:" in line for line in lines[1:])


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["ner"], "task/language"),
        (["ner/"], "task/language"),
        (["neer/sw"], "did you mean 'ner'"),
        (["ner/swa"], "did you mean 'sw'"),
        (["ner/bho"], "lacks"),
        (["ner/lld"], "no English name"),
        (["ner/sw", "--split", "tset"], "did you mean 'test'"),
        (["ner/sw", "--rows", "0"], "at least 1; got 0"),
    ],
)
def test_a_wrong_argument_is_one_line_on_standard_error(arguments, named, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    output = capsys.readouterr()
    assert caught.value.code == 1 and output.out == ""
    assert output.err.startswith("error: ") and output.err.count("\n") == 1 and named in output.err


def test_a_scarce_language_has_fewer_training_rows_and_all_of_its_test_rows():
    benchmark = Cldr(rows={"train": 9, "validation": 2, "test": 3}, scarce={"sw": 4})
    whole = Cldr(rows={"train": 9, "validation": 2, "test": 3})
    cell, other = Cell("ner", "sw"), Cell("ner", "yo")
    assert benchmark.examples(cell, "train") == whole.examples(cell, "train")[:4]
    assert benchmark.examples(other, "train") == whole.examples(other, "train")
    assert benchmark.examples(cell, "test") == whole.examples(cell, "test")


@pytest.mark.parametrize("scarce, told", [({"swa": 4}, "did you mean 'sw'"), ({"sw": 0}, "scarce.sw: at least 1")])
def test_a_scarce_language_that_cannot_be_is_refused(scarce, told):
    with pytest.raises(FlixError, match=told):
        Cldr(rows={"train": 9, "validation": 2, "test": 3}, scarce=scarce)
