"""The five tasks: how a row of each is drawn from an inventory.

A row's content decides its split by a hash, in all languages and tasks alike, so what is tested is never trained on.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import NamedTuple

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.data.benchmarks.benchmark import SPLITS
from flix_lightning.data.benchmarks.cldr.content import Content, Date, Measure, Name, Relative, sayable
from flix_lightning.data.benchmarks.cldr.inventory import CURRENCIES, LANGUAGES, TERRITORIES, Inventory, load_inventory

MISSES = 20_000  # draws in a row without a new row, after which a cell counts as exhausted
QUESTION_BYTES = 110  # facts are added to a question while it stays below this length


class Row(NamedTuple):
    input: str
    target: str


class Draft(NamedTuple):
    """A row with the language-free content that decides its split."""

    key: object
    row: Row


def split_of(key: object) -> str:
    """One tenth of all contents is for test, one for validation, the rest for training."""
    digit = hashlib.sha256(repr(key).encode()).digest()[0] % 10
    return {0: "test", 1: "validation"}.get(digit, "train")


def semantic_parsing(rng: Random, source: Inventory, most: int = 1) -> Draft:
    """One content, or a list of up to `most`, each parsed in its place."""
    count = rng.randint(1, most) if most > 1 else 1
    contents = tuple(rng.choice(sayable(source)).draw(rng) for _ in range(count))
    if count == 1:
        return Draft(contents[0], Row(contents[0].text(source), contents[0].parse()))
    parses = " ".join(content.parse() for content in contents)
    return Draft(contents, Row(source.listed([content.text(source) for content in contents]), f"[IN:LIST {parses} ]"))


def translation(rng: Random, source: Inventory) -> Draft:
    """To English: what semantic parsing parses, or a list of two or three names and dates."""
    english = load_inventory("en")
    if rng.random() < 0.5:
        content = rng.choice(sayable(source)).draw(rng)
        return Draft(content, Row(content.text(source), content.text(english)))
    contents = [_clear(rng, rng.choice((Name, Name, Date)), source) for _ in range(rng.choice((2, 3)))]
    texts = [
        source.listed([c.text(i) for c in contents]) if i is source else i.listed([c.text(i) for c in contents])
        for i in (source, english)
    ]
    return Draft(tuple(contents), Row(*texts))


def ner(rng: Random, source: Inventory) -> Draft:
    """A list of names and dates with now and then a relative time or measure, which is no entity."""
    others = [kind for kind in sayable(source) if kind in (Relative, Measure)]
    contents: list[Content] = []
    for _ in range(rng.choice((2, 3, 3))):
        kinds = (Name, Name, Date, rng.choice(others)) if others else (Name, Name, Date)
        contents.append(_clear(rng, rng.choice(kinds), source))
    texts = [content.text(source) for content in contents]
    labels = map(entity_label, contents)
    entities = [f"{label}: {text}" for label, text in zip(labels, texts) if label]
    return Draft(tuple(contents), Row(source.listed(texts), " $$ ".join(entities)))


def _clear(rng: Random, kind: type, source: Inventory) -> Content:
    """A content of `kind` whose text means one thing only."""
    while (content := kind.draw(rng)).text(source) in source.ambiguous:
        pass
    return content


def entity_label(content: Content) -> str | None:
    """Its kind as an entity; None for what is none."""
    if isinstance(content, Date):
        return "DATE"
    return content.label if isinstance(content, Name) else None


def qa_in_lang(rng: Random, source: Inventory) -> Draft:
    return _question(rng, source, source)


def qa_cross_lang(rng: Random, source: Inventory) -> Draft:
    """The question in the language, facts and answer in English."""
    return _question(rng, source, load_inventory("en"))


def _question(rng: Random, asking: Inventory, telling: Inventory) -> Draft:
    """Made-up facts about places, one of which is asked for: `Chile: Euro; Kenya: Yen; Kenya?` -> `Yen`."""
    label, codes = rng.choice((("LANG", LANGUAGES), ("CUR", CURRENCIES)))
    places = rng.sample(TERRITORIES, 3)
    facts: list[tuple[Name, Name]] = []
    text = ""
    for place, code in zip(places, rng.sample(codes, 3)):
        fact = Name("LOC", place), Name(label, code)
        longer = text + ("; " if text else "") + ": ".join(part.text(telling) for part in fact)
        if len(facts) >= 2 and len(longer.encode()) > QUESTION_BYTES:
            break
        facts, text = [*facts, fact], longer
    place, answer = rng.choice(facts)
    key = (place, tuple(facts))
    return Draft(key, Row(f"{text}; {place.text(asking)}?", answer.text(telling)))


TASKS = {
    "semantic_parsing": semantic_parsing,
    "translation": translation,
    "ner": ner,
    "qa_in_lang": qa_in_lang,
    "qa_cross_lang": qa_cross_lang,
}


def draw_rows(task: str, language: str, split: str, seed: int, parsed: int = 1) -> Iterator[Row]:
    """Distinct rows of one cell and split, as long as there are any; the same for the same arguments everywhere.

    Args:
        parsed: the most contents that a row of semantic parsing lists.

    Raises:
        FlixError: unknown task, split or language, a language that CLDR has no complete data for, or no row left.
    """
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    source = load_inventory(language)
    rng = Random(f"{seed}/{task}/{language}/{split}")
    draw = partial(semantic_parsing, most=parsed) if task == "semantic_parsing" else TASKS[task]
    return distinct(lambda: draw(rng, source), split, f"{task}/{language}")


def distinct(draw: Callable[[], Draft], split: str, cell: str) -> Iterator[Row]:
    """The rows of `split` among endless drafts, each once.

    Raises:
        FlixError: `cell` has no row left.
    """
    seen: set[str] = set()
    misses = 0
    while misses < MISSES:
        drawn = draw()
        misses += 1
        if split_of(drawn.key) == split and drawn.row.input not in seen:
            seen.add(drawn.row.input)
            misses = 0
            yield drawn.row
    raise FlixError(f"cell {cell} has no more than {len(seen)} distinct {split} rows; ask for fewer.")
