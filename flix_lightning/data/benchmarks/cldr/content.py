"""Kinds of content that every language can say: dates, relative times, money, measures, names.

A content is language-free; `text(inventory)` says it in a language, `parse()` gives its bracket form in English.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from flix_lightning.data.benchmarks.cldr.inventory import (
    CURRENCIES,
    DIRECTIONS,
    LANGUAGES,
    PERIODS,
    TERRITORIES,
    UNITS,
    Inventory,
)

# Plural forms of one and two may leave the number out ("yesterday"-like words), so amounts start at three.
AMOUNTS = range(3, 100)


@dataclass(frozen=True)
class Date:
    value: date

    @staticmethod
    def draw(rng: Random) -> "Date":
        return Date(date(1950, 1, 1) + timedelta(days=rng.randrange(100 * 365)))

    def text(self, inventory: Inventory) -> str:
        return inventory.date(self.value)

    def parse(self) -> str:
        return f"[IN:DATE [SL:YEAR {self.value.year} ] [SL:MONTH {self.value.month} ] [SL:DAY {self.value.day} ] ]"


@dataclass(frozen=True)
class Relative:
    period: str
    direction: str
    amount: int

    @staticmethod
    def draw(rng: Random) -> "Relative":
        return Relative(rng.choice(PERIODS), rng.choice(DIRECTIONS), rng.choice(AMOUNTS))

    def text(self, inventory: Inventory) -> str:
        return inventory.counted(inventory.relative[self.period, self.direction], self.amount)

    def parse(self) -> str:
        sign = "-" if self.direction == "past" else "+"
        return f"[IN:RELATIVE [SL:{self.period.upper()} {sign}{self.amount} ] ]"


@dataclass(frozen=True)
class Money:
    currency: str
    amount: int

    @staticmethod
    def draw(rng: Random) -> "Money":
        return Money(rng.choice(CURRENCIES), rng.randrange(3, 1000))

    def text(self, inventory: Inventory) -> str:
        return f"{self.amount} {inventory.currencies[self.currency]}"

    def parse(self) -> str:
        return f"[IN:MONEY [SL:AMOUNT {self.amount} ] [SL:CURRENCY {self.currency} ] ]"


@dataclass(frozen=True)
class Measure:
    unit: str
    amount: int

    @staticmethod
    def draw(rng: Random) -> "Measure":
        return Measure(rng.choice(tuple(UNITS)), rng.randrange(3, 1000))

    def text(self, inventory: Inventory) -> str:
        return inventory.counted(inventory.units[self.unit], self.amount)

    def parse(self) -> str:
        return f"[IN:MEASURE [SL:{self.unit} {self.amount} ] ]"


@dataclass(frozen=True)
class Name:
    """A place, language or currency: `label` is its kind as an entity."""

    label: str
    code: str

    @staticmethod
    def draw(rng: Random) -> "Name":
        label, codes = rng.choice((("LOC", TERRITORIES), ("LANG", LANGUAGES), ("CUR", CURRENCIES)))
        return Name(label, rng.choice(codes))

    def text(self, inventory: Inventory) -> str:
        names = {"LOC": inventory.territories, "LANG": inventory.languages, "CUR": inventory.currencies}
        return names[self.label][self.code]


Content = Date | Relative | Money | Measure | Name


def sayable(inventory: Inventory) -> tuple[type, ...]:
    """The kinds of content, names apart, that a language has complete data for."""
    kinds: list[type] = [Date, Money]
    if inventory.relative:
        kinds.append(Relative)
    if inventory.units:
        kinds.append(Measure)
    return tuple(kinds)
