"""Invented forms of a list: tagged, filtered, reordered, numbered, counted, translated items."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from flix_lightning.data.benchmarks.cldr.content import Content
from flix_lightning.data.benchmarks.cldr.inventory import Inventory, load_inventory
from flix_lightning.models.pretraining.facts import KINDS, compact, kind_of
from flix_lightning.models.pretraining.labels import Labels

SHOWN = {"text": 6, "english": 2, "compact": 2, "kind": 1, "counts": 1}
# without "{label}: {text}", the form of the benchmark's entities
TAGS = ("{label}={text}", "{label} - {text}", "{label} {text}", "{label}> {text}", "{text} ({label})", "{text}",
        "{text}/{label}", "{text} = {label}", "<{label}>{text}</{label}>", "[{label} {text}]", "({label}) {text}",
        "{{{label}: {text}}}")  # fmt: skip
BETWEEN = (" | ", "; ", " / ", " + ", " & ", " # ", " ; ", " || ", " ~ ", " $ ", " * ", " ")
ORDERS = {"as is": 5, "reversed": 2, "by kind": 2}
NUMBERS = {"": 6, "{n}. ": 1, "{n}) ": 1, "#{n} ": 1}


@dataclass(frozen=True)
class List:
    """How the items of a list are written."""

    labels: Labels
    kept: frozenset[str]  # kinds of items that stay
    shown: str
    tag: str
    between: str
    order: str
    number: str
    counted: bool  # the number of items stands first

    @staticmethod
    def draw(rng: Random) -> "List":
        def weighted(choices: dict[str, int]) -> str:
            return rng.choices(tuple(choices), tuple(choices.values()))[0]

        kept = KINDS if rng.random() < 0.4 else [kind for kind in KINDS if rng.random() < 0.6]
        return List(
            labels=Labels.draw(rng),
            kept=frozenset(kept),
            shown=weighted(SHOWN),
            tag=rng.choice(TAGS),
            between=rng.choice(BETWEEN),
            order=weighted(ORDERS),
            number=weighted(NUMBERS),
            counted=rng.random() < 0.15,
        )

    def write(self, contents: Sequence[Content], inventory: Inventory) -> str:
        items = [content for content in contents if kind_of(content) in self.kept]
        if not items:
            return self.labels["none"]
        if self.shown == "counts":
            counts = Counter(map(kind_of, items))
            return self.between.join(f"{self.labels[kind]} {counts[kind]}" for kind in KINDS if kind in counts)
        if self.order != "as is":
            items = items[::-1] if self.order == "reversed" else sorted(items, key=lambda c: KINDS.index(kind_of(c)))
        written = [self._item(content, inventory, n) for n, content in enumerate(items, 1)]
        return (f"{len(items)}: " if self.counted else "") + self.between.join(written)

    def _item(self, content: Content, inventory: Inventory, n: int) -> str:
        label = self.labels[kind_of(content)]
        number = self.number.format(n=n)
        match self.shown:
            case "kind":
                return number + label
            case "english":
                text = content.text(load_inventory("en"))
            case "compact":
                text = compact(content)
            case _:
                text = content.text(inventory)
        return number + self.tag.format(label=label, text=text)
