"""The endless corpus: rows of general abilities and of invented forms, drawn from a seed.

No prompt of the benchmark occurs in it, nor the forms of its semantic parsing and entities; questions are asked in
languages that no cell has. Splits of contents are the benchmark's: what it tests is not trained on.
"""

from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import NamedTuple

from flix_lightning.data.benchmarks.cldr.content import Content, Date, Measure, Name, Relative, sayable
from flix_lightning.data.benchmarks.cldr.inventory import Inventory, load_inventory
from flix_lightning.data.benchmarks.cldr.languages import language_name
from flix_lightning.data.benchmarks.cldr.rows import qa_cross_lang, qa_in_lang, split_of
from flix_lightning.models.pretraining.facts import compact, kind_of
from flix_lightning.models.pretraining.languages import ASKED, SPOKEN
from flix_lightning.models.pretraining.lists import List
from flix_lightning.models.pretraining.records import Record

RECORDS, LISTS = 120, 80  # forms that have a name


class Text(NamedTuple):
    task: str
    language: str
    prompt: str
    target: str


Draw = Callable[[Random, Inventory, str], tuple[str, str]]  # -> prompt, target


def draw(rng: Random, split: str, task: str | None = None) -> Text:
    """A row of a task, a random one if none is given, in a random language; its contents are of `split`.

    A name alone belongs to every split: names may be memorised.
    """
    task = task or rng.choices(tuple(TASKS), [weight for _, weight in TASKS.values()])[0]
    language = rng.choice(LANGUAGES_OF.get(task, SPOKEN))
    prompt, target = TASKS[task][0](rng, load_inventory(language), split)
    return Text(task, language, prompt, target)


@cache
def named_forms() -> tuple[dict[str, Record], dict[str, List]]:
    """Name -> form, of records and of lists."""
    rng = Random("pretraining forms")
    start, middle, end = "bdfghjklmnprstvwz", "aeiou", ("", "n", "r", "l", "s", "m", "k", "t")
    names: dict[str, None] = {}
    while len(names) < RECORDS + LISTS:
        syllables = [rng.choice(start) + rng.choice(middle) + rng.choice(end) for _ in range(2)]
        names["".join(syllables).capitalize()] = None
    ordered = list(names)
    records = {name: Record.draw(rng) for name in ordered[:RECORDS]}
    return records, {name: List.draw(rng) for name in ordered[RECORDS:]}


def one(rng: Random, source: Inventory, split: str, names: float = 0.0) -> Content:
    """A content, with a chance of `names` that it is a name."""
    if rng.random() < names:
        return _clear(rng, Name, source)
    kind = rng.choice(sayable(source))
    while split_of(content := kind.draw(rng)) != split:
        pass
    return content


def several(rng: Random, source: Inventory, split: str, kinds: Sequence[type] | None = None) -> list[Content]:
    """Two to four contents, mostly names and dates, or one of each of `kinds`.

    As a whole they are of `split`; for training, so is each of them.
    """
    others = [kind for kind in sayable(source) if kind in (Relative, Measure)]
    while True:
        drawn = kinds or [
            rng.choice((Name, Name, Date, rng.choice(others)) if others else (Name, Name, Date))
            for _ in range(rng.choice((2, 2, 3, 3, 3, 4)))
        ]
        contents = [_clear(rng, kind, source) for kind in drawn]
        parts = [content for content in contents if not isinstance(content, Name)]
        if split_of(tuple(contents)) == split and (split != "train" or all(split_of(c) == split for c in parts)):
            return contents


def _clear(rng: Random, kind: type, source: Inventory) -> Content:
    """A content of `kind` with an unambiguous text."""
    while (content := kind.draw(rng)).text(source) in source.ambiguous:
        pass
    return content


def _said(contents: Sequence[Content], inventory: Inventory) -> str:
    return inventory.listed([content.text(inventory) for content in contents])


def _one_or_several(rng: Random, source: Inventory, split: str) -> list[Content]:
    return [one(rng, source, split, names=0.25)] if rng.random() < 0.6 else several(rng, source, split)


def to_english(rng: Random, source: Inventory, split: str) -> tuple[str, str]:
    contents = _one_or_several(rng, source, split)
    return f"{language_name(source.language)} to English: {_said(contents, source)}", _said(
        contents, load_inventory("en")
    )


def from_english(rng: Random, source: Inventory, split: str) -> tuple[str, str]:
    contents = _one_or_several(rng, source, split)
    return f"English to {language_name(source.language)}: {_said(contents, load_inventory('en'))}", _said(
        contents, source
    )


def code(rng: Random, source: Inventory, split: str) -> tuple[str, str]:
    content = one(rng, source, split, names=0.5)
    return f"Code {language_name(source.language)}: {content.text(source)}", compact(content)


def writing(rng: Random, source: Inventory, split: str) -> tuple[str, str]:
    content = one(rng, source, split, names=0.3)
    return f"Write {language_name(source.language)}: {kind_of(content)} {compact(content)}", content.text(source)


def kind(rng: Random, source: Inventory, split: str) -> tuple[str, str]:
    content = one(rng, source, split, names=0.5)
    return f"Kind {language_name(source.language)}: {content.text(source)}", kind_of(content)


def splitting(rng: Random, source: Inventory, split: str) -> tuple[str, str]:
    contents = several(rng, source, split)
    return f"Split {language_name(source.language)}: {_said(contents, source)}", " | ".join(
        content.text(source) for content in contents
    )


def named_record(rng: Random, source: Inventory, split: str) -> tuple[str, str]:
    name, form = rng.choice(list(named_forms()[0].items()))
    content = one(rng, source, split, names=0.15)
    return f"{name} {language_name(source.language)}: {content.text(source)}", form.write(content)


def named_list(rng: Random, source: Inventory, split: str) -> tuple[str, str]:
    name, form = rng.choice(list(named_forms()[1].items()))
    contents = several(rng, source, split)
    return f"{name} {language_name(source.language)}: {_said(contents, source)}", form.write(contents, source)


def shown_record(rng: Random, source: Inventory, split: str) -> tuple[str, str]:
    """A record in a new form, shown by an example of another content."""
    form, content = Record.draw(rng), one(rng, source, split, names=0.15)
    while kind_of(other := one(rng, source, "train", names=0.15)) != kind_of(content):
        pass
    language = language_name(source.language)
    return f"As {form.write(other)} {language}: {content.text(source)}", form.write(content)


def shown_list(rng: Random, source: Inventory, split: str) -> tuple[str, str]:
    form, contents = List.draw(rng), several(rng, source, split)
    others = several(rng, load_inventory("en"), "train", kinds=[type(content) for content in contents])
    shown = f"{_said(others, load_inventory('en'))} > {form.write(others, load_inventory('en'))}"
    return f"As {shown} {language_name(source.language)}: {_said(contents, source)}", form.write(contents, source)


def question(rng: Random, source: Inventory, split: str) -> tuple[str, str]:
    return _asked(rng, qa_in_lang, source, split, language_name(source.language))


def question_in_english(rng: Random, source: Inventory, split: str) -> tuple[str, str]:
    return _asked(rng, qa_cross_lang, source, split, f"{language_name(source.language)} in English")


def _asked(rng: Random, question: Callable, source: Inventory, split: str, language: str) -> tuple[str, str]:
    """Facts and a place, in one of three layouts."""
    while split_of((drawn := question(rng, source)).key) != split:
        pass
    facts, _, place = drawn.row.input.rpartition("; ")
    place = place.removesuffix("?")
    prompt = rng.choice(
        (
            f"Look up {language}: {facts}; {place}?",
            f"Find {language}: {place}? {facts}",
            f"Which {language}: {facts.replace('; ', ', ').replace(': ', ' = ')} @ {place}",
        )
    )
    return prompt, drawn.row.target


TASKS: dict[str, tuple[Draw, int]] = {
    "to_english": (to_english, 14),
    "from_english": (from_english, 9),
    "code": (code, 7),
    "write": (writing, 6),
    "kind": (kind, 2),
    "split": (splitting, 4),
    "named_record": (named_record, 20),
    "named_list": (named_list, 16),
    "shown_record": (shown_record, 9),
    "shown_list": (shown_list, 4),
    "question": (question, 7),
    "question_in_english": (question_in_english, 5),
}

FOREIGN = tuple(language for language in SPOKEN if language != "en")
LANGUAGES_OF = {"question": ASKED, "question_in_english": ASKED, "to_english": FOREIGN, "from_english": FOREIGN}
