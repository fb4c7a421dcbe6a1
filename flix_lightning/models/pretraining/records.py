"""Invented forms of one content: `{DATE year=2040; month=11}`, `<a><b>2040</b></a>`, `2040/11/1`, ..."""

from dataclasses import dataclass
from random import Random

from flix_lightning.data.benchmarks.cldr.content import Content
from flix_lightning.models.pretraining.facts import fields_of, kind_of
from flix_lightning.models.pretraining.labels import Labels

SHAPES = {"pairs": 4, "nested": 4, "tags": 2, "values": 1}
BRACKETS = (("{", "}"), ("<", ">"), ("(", ")"), ("[", "]"), ("|", "|"), ("«", "»"))
BETWEEN = ("; ", ", ", " ", " | ", " / ", "/", " + ", " & ", " . ")
EQUALS = ("=", ": ", ":", " ", "-", " = ", "~", "> ")
ORDERS = {"as is": 3, "reversed": 2, "by label": 2}


@dataclass(frozen=True)
class Record:
    """How a content is written as labelled fields."""

    labels: Labels
    shape: str
    brackets: tuple[str, str]
    between: str
    equals: str
    order: str
    merged: bool
    named: bool  # the kind comes first
    prefixed: bool  # nested labels say their level: `{TOP:DATE {LOW:YEAR 2040 } }`

    @staticmethod
    def draw(rng: Random) -> "Record":
        shape = rng.choices(tuple(SHAPES), tuple(SHAPES.values()))[0]
        prefixed = shape == "nested" and rng.random() < 0.4
        equals = rng.choice(EQUALS)
        return Record(
            labels=Labels.draw(rng),
            shape=shape,
            # square brackets with `LABEL:` are the form of the benchmark's semantic parsing
            brackets=rng.choice([pair for pair in BRACKETS if pair[0] != "[" or not (prefixed or equals == ":")]),
            between=rng.choice(BETWEEN),
            equals=equals,
            order=rng.choices(tuple(ORDERS), tuple(ORDERS.values()))[0],
            merged=rng.random() < 0.5,
            named=rng.random() < 0.7,
            prefixed=prefixed,
        )

    def write(self, content: Content) -> str:
        kind = self.labels[kind_of(content)]
        pairs = [(self.labels[field], value) for field, value in fields_of(content, self.merged).items()]
        if self.order != "as is":
            pairs = pairs[::-1] if self.order == "reversed" else sorted(pairs)
        opening, closing = self.brackets
        match self.shape:
            case "nested" if self.prefixed:
                outer, inner = self.labels["outer"], self.labels["inner"]
                parts = [f"{opening}{inner}:{label} {value} {closing}" for label, value in pairs]
                return f"{opening}{outer}:{kind} {' '.join(parts)} {closing}"
            case "nested":
                parts = [f"{opening}{label}{self.equals}{value}{closing}" for label, value in pairs]
                return f"{opening}{' '.join([kind, *parts] if self.named else parts)}{closing}"
            case "tags":
                text = "".join(f"<{label}>{value}</{label}>" for label, value in pairs)
                return f"<{kind}>{text}</{kind}>" if self.named else text
            case "values":
                return self.between.join(([kind] if self.named else []) + [value for _, value in pairs])
        text = self.between.join(f"{label}{self.equals}{value}" for label, value in pairs)
        return f"{kind} {opening}{text}{closing}" if self.named else f"{opening}{text}{closing}"
