"""What CLDR knows of one language: the names, patterns and plurals that rows of the benchmark are made of.

Everything is read from the locale's own data, never through babel's fallback chain, so no text of another
language or of CLDR's root can slip in.
"""

import pickle
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from pathlib import Path

from babel import Locale, localedata
from babel.dates import format_date

from flix_lightning.common.errors import FlixError, unknown

TERRITORIES = tuple(
    "AE AF AR AU BD BE BR CA CH CL CN CO DE DK DZ EG ES ET FI FR GB GH GR HU ID IE IL IN IQ IR IT JM JP KE KR MA MX MZ "
    "NG NL NO NZ PE PH PK PL PT RO RU SA SE SG SO TH TR TZ UG US VN ZA".split()
)
LANGUAGES = tuple(
    "am ar bn da de el en es fa fi fr ha he hi id it ja ko mr nl pl pt ru sv sw ta te th tr uk ur vi yo zh zu".split()
)
CURRENCIES = tuple("BRL CAD CHF CNY EGP EUR GBP IDR INR JPY KES KRW MXN NGN PLN RUB SEK TRY USD ZAR".split())
UNITS = {
    "KILOMETER": "length-kilometer",
    "METER": "length-meter",
    "CENTIMETER": "length-centimeter",
    "KILOGRAM": "mass-kilogram",
    "GRAM": "mass-gram",
    "LITER": "volume-liter",
}
PERIODS = ("year", "month", "week", "day", "hour", "minute")
DIRECTIONS = ("past", "future")

# Invisible marks of bidirectional text; CLDR's no-break spaces become plain ones.
_TYPOGRAPHY = {ord(c): None for c in "\u200e\u200f\u061c"} | {ord(c): " " for c in "\u00a0\u202f\u2009"}


def plain(text: str) -> str:
    """`text` without direction marks, every space a plain one."""
    return " ".join(text.translate(_TYPOGRAPHY).split())


@dataclass(frozen=True)
class Inventory:
    """The texts of one language. `relative` and `units` are empty where CLDR has only a part of them."""

    language: str
    territories: Mapping[str, str]
    languages: Mapping[str, str]
    currencies: Mapping[str, str]
    relative: Mapping[tuple[str, str], Mapping[str, str]]  # (period, direction) -> plural category -> pattern
    units: Mapping[str, Mapping[str, str]]  # unit -> plural category -> pattern
    pair_pattern: str

    @cached_property
    def ambiguous(self) -> frozenset[str]:
        """Names that stand for two things, as where a place and its language are called the same."""
        counts = Counter(
            name for names in (self.territories, self.languages, self.currencies) for name in names.values()
        )
        return frozenset(name for name, count in counts.items() if count > 1)

    def date(self, value: date) -> str:
        """The long form: month in words. A few locales abbreviate there and have no abbreviations: wide names serve."""
        pattern = Locale(self.language).date_formats["long"].pattern
        return plain(format_date(value, format=re.sub("M{3,}", "MMMM", pattern), locale=self.language))

    def counted(self, patterns: Mapping[str, str], amount: int) -> str:
        """The pattern of `amount`'s plural category with the number in it."""
        category = Locale(self.language).plural_form(amount)
        return plain(patterns.get(category, patterns["other"]).replace("{0}", str(amount)))

    def listed(self, items: list[str]) -> str:
        """Items joined by the language's own words: commas, then its last conjunction."""
        head, last = ", ".join(items[:-1]), items[-1]
        return self.pair_pattern.replace("{0}", head).replace("{1}", last) if head else last


def _own(data: Mapping, *path: str) -> Mapping:
    """The mapping at `path` in a locale's own data; empty where it is absent or a mere alias."""
    for key in path:
        data = data.get(key, {}) if isinstance(data, Mapping) else {}
    return data if isinstance(data, Mapping) else {}


def _names(data: Mapping, key: str, codes: tuple[str, ...]) -> dict[str, str]:
    found = {code: plain(_own(data, key)[code]) for code in codes if code in _own(data, key)}
    return {code: name for code, name in found.items() if not set(name) & set(":;?$")}


def _relative(data: Mapping) -> dict[tuple[str, str], Mapping[str, str]]:
    patterns = {(p, d): _own(data, "date_fields", p, d) for p in PERIODS for d in DIRECTIONS}
    return patterns if _usable(patterns) else {}


def _units(data: Mapping) -> dict[str, Mapping[str, str]]:
    """The long form of each unit; CLDR leaves it out where it equals the short one."""
    patterns = {}
    for unit, key in UNITS.items():
        long, short = _own(data, "unit_patterns", key, "long"), _own(data, "unit_patterns", key, "short")
        patterns[unit] = long if "other" in long else short
    return patterns if _usable(patterns) else {}


def _usable(patterns: Mapping[object, Mapping[str, str]]) -> bool:
    """Whether every pattern is there and no two read the same (Tigrinya's days ago and in days do)."""
    texts = [pattern.get("other") for pattern in patterns.values()]
    return None not in texts and len(set(texts)) == len(texts)


@cache
def load_inventory(language: str) -> Inventory:
    """The inventory of a CLDR language code.

    Raises:
        FlixError: the language is unknown, or its own data lack names, months or a list pattern.
    """
    if not localedata.exists(language):
        raise unknown("CLDR language", language, complete_languages())
    # babel's own loader caches by name alone and would give inherited data once anything had asked for them
    data = pickle.loads(Path(localedata.resolve_locale_filename(language)).read_bytes())
    names = {
        "territories": (_names(data, "territories", TERRITORIES), TERRITORIES),
        "languages": (_names(data, "languages", LANGUAGES), LANGUAGES),
        "currency_names": (_names(data, "currency_names", CURRENCIES), CURRENCIES),
        "months": (_own(data, "months", "format", "wide"), range(1, 13)),
    }
    lacking = {k: sorted(set(map(str, codes)) - set(map(str, got))) for k, (got, codes) in names.items()}
    lacking = {key: codes for key, codes in lacking.items() if codes}
    if lacking:
        raise FlixError(f"CLDR has no complete data of its own for language {language!r}; it lacks {lacking}.")
    return Inventory(
        language=language,
        territories=names["territories"][0],
        languages=names["languages"][0],
        currencies=names["currency_names"][0],
        relative=_relative(data),
        units=_units(data),
        pair_pattern=plain(_own(data, "list_patterns", "standard").get("2", "{0}, {1}")),
    )


@cache
def complete_languages() -> tuple[str, ...]:
    """Every CLDR language that `load_inventory` accepts, in alphabetical order."""
    codes = sorted(code for code in localedata.locale_identifiers() if "_" not in code and code != "root")
    return tuple(code for code in codes if _complete(code))


def _complete(language: str) -> bool:
    try:
        load_inventory(language)
    except FlixError:
        return False
    return True
