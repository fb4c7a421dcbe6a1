"""How a row of each task is drawn: what is said once in English is answered, or said anew, in a language or style.

The English text gives dates in a form that none of the four styles has: `Fri, 1/9/1982`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from babel import Locale
from babel.dates import format_date, format_skeleton

from flix_lightning.data.benchmarks.cldr.content import Content, Date, Measure, Name, Relative
from flix_lightning.data.benchmarks.cldr.inventory import CURRENCIES, LANGUAGES, TERRITORIES, load_inventory, plain
from flix_lightning.data.benchmarks.cldr.rows import Draft, Row, entity_label
from flix_lightning.data.benchmarks.cldr_compositional.tasks import LANGUAGES as TARGETS
from flix_lightning.data.benchmarks.cldr_compositional.tasks import STYLES
from flix_lightning.data.cells import JOIN

Draw = Callable[[], Content]


@dataclass(frozen=True)
class Voice:
    """How contents are said: in the locale's words, its dates in a CLDR style; None is the form of the source."""

    language: str
    style: str | None = None

    def say(self, content: Content) -> str:
        if not isinstance(content, Date):
            return content.text(load_inventory(self.language))
        if self.style is None:
            return plain(format_skeleton("yMEd", content.value, locale=Locale(self.language)))
        return plain(format_date(content.value, self.style, locale=self.language))

    def facts(self, pairs: tuple[tuple[Content, Content], ...]) -> str:
        return "; ".join(f"{self.say(place)}: {self.say(item)}" for place, item in pairs)

    def listed(self, contents: tuple[Content, ...]) -> str:
        return load_inventory(self.language).listed([self.say(content) for content in contents])


SOURCE = Voice("en")
VOICES = {
    **{task: Voice(language) for task, language in TARGETS.items()},
    **{task: Voice("en", style) for task, style in STYLES.items()},
}


def name(rng: Random, voice: Voice, kinds: tuple[tuple[str, tuple[str, ...]], ...]) -> Name:
    """A name that means one thing, and that `voice` does not say as the source does."""
    unclear = load_inventory("en").ambiguous
    while True:
        label, codes = rng.choice(kinds)
        content = Name(label, rng.choice(codes))
        said = SOURCE.say(content)
        if said not in unclear and (voice.language == SOURCE.language or voice.say(content) != said):
            return content


PLACES = (("LOC", TERRITORIES),)
ITEMS = (("LANG", LANGUAGES), ("CUR", CURRENCIES))


def different(draw: Draw, count: int) -> tuple[Content, ...]:
    found: list[Content] = []
    while len(found) < count:
        content = draw()
        found += [] if content in found else [content]
    return tuple(found)


def qa(rng: Random, dated: bool, voice: Voice) -> Draft:
    """Made-up facts about places, one of which is asked for: `Chile: Fri, 1/9/1982; Kenya: ...; Kenya?`."""
    places = different(lambda: name(rng, voice, PLACES), 2)
    items = different(lambda: Date.draw(rng) if dated else name(rng, voice, ITEMS), 2)
    facts, asked = tuple(zip(places, items)), rng.randrange(2)
    text = f"{SOURCE.facts(facts)}; {SOURCE.say(places[asked])}?"
    return Draft((facts, asked), Row(text, voice.say(items[asked])))


def ner(rng: Random, dated: bool, voice: Voice) -> Draft:
    """A list of two entities, dates or names, now and then with a relative time or measure, which is no entity."""
    draw = (lambda: Date.draw(rng)) if dated else (lambda: name(rng, voice, PLACES + ITEMS))
    contents = list(different(draw, 2))
    if rng.random() < 0.5:
        contents.insert(rng.randrange(3), rng.choice((Relative, Measure)).draw(rng))
    entities = [f"{entity_label(c)}: {voice.say(c)}" for c in contents if entity_label(c)]
    return Draft(tuple(contents), Row(SOURCE.listed(tuple(contents)), " $$ ".join(entities)))


def rewriting(rng: Random, dated: bool, voice: Voice) -> Draft:
    """A list, or facts about places, said anew by `voice`."""
    places = different(lambda: name(rng, voice, PLACES), 2)
    items = different(lambda: Date.draw(rng) if dated else name(rng, voice, ITEMS), 2)
    if rng.random() < 0.5:
        facts = tuple(zip(places, items))
        return Draft(facts, Row(SOURCE.facts(facts), voice.facts(facts)))
    contents = (*items, *places[: rng.randrange(2)])
    return Draft(contents, Row(SOURCE.listed(contents), voice.listed(contents)))


MAIN = {"qa": qa, "ner": ner}


def draft(task: str, rng: Random) -> Draft:
    """One row of a single or composite task. Translation is of names, restyling of dates; a main task has both."""
    main, _, auxiliary = task.partition(JOIN)
    if main in VOICES:
        return rewriting(rng, main in STYLES, VOICES[main])
    if auxiliary:
        return MAIN[main](rng, auxiliary in STYLES, VOICES[auxiliary])
    return MAIN[main](rng, rng.random() < 0.5, SOURCE)
