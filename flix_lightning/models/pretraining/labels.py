"""Labels that an invented form gives to kinds and fields: words that mean them, or words drawn at random."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

MEANING = {
    "date": "DATE TIME WHEN CALENDAR",
    "relative": "RELATIVE OFFSET SPAN SHIFT DELTA",
    "money": "MONEY PRICE SUM COST CASH",
    "measure": "MEASURE SIZE QUANTITY SCALE",
    "place": "LOC PLACE COUNTRY LAND GEO",
    "language": "LANG LANGUAGE TONGUE SPEECH",
    "currency": "CUR CURRENCY COIN TENDER",
    "year": "YEAR Y YR ANNUM",
    "month": "MONTH MON MO",
    "day": "DAY D DD",
    "week": "WEEK W WK",
    "hour": "HOUR H HR",
    "minute": "MINUTE MIN",
    "period": "PERIOD STEP EACH",
    "direction": "DIRECTION SIGN WAY TENSE",
    "amount": "AMOUNT NUMBER VALUE COUNT N",
    "code": "CURRENCY CODE ISO ID",
    "unit": "UNIT OF MEASURE",
    "kilometer": "KILOMETER KM",
    "meter": "METER M",
    "centimeter": "CENTIMETER CM",
    "kilogram": "KILOGRAM KG",
    "gram": "GRAM G",
    "liter": "LITER L",
    "none": "NONE NIL EMPTY",
    "outer": "FORM TYPE TOP ACT",
    "inner": "SLOT ARG PART LOW",
}
ANY = tuple(
    "IN SL NOUN VERB ITEM BOX KEY NODE LEAF ROOT RED BLUE GREEN SUN MOON STAR TREE RIVER STONE BIRD FISH WOLF "
    "BEAR LION ALPHA BETA GAMMA KAPPA OMEGA SIGMA THETA ZETA HEAD TAIL HAND FOOT EAST WEST NORTH SOUTH FIRST LAST "
    "SLOW FAST BOLD PLAIN ROUND FLAT SHARP SOFT HARD COLD WARM DARK BRIGHT OLD NEW LEFT RIGHT OPEN SHUT HIGH DEEP "
    "WIDE THIN IRON GOLD TIN ZINC SALT SAND WOOD GLASS PAPER CLOTH BREAD WINE TEA RICE CORN BEAN PEAR PLUM LIME "
    "MINT ROSE LILY FERN MOSS AA BB CC EE FF X1 X2 X3 Q7 K9 Z0 PER ORG MISC TAG REF ARGS NAME FIELD ROW CELL NOTE "
    "MARK".split()
)
CASES = {"upper": 5, "lower": 3, "title": 2}


@dataclass(frozen=True)
class Labels:
    """A label for every kind and field, each a word of its own."""

    words: Mapping[str, str]

    @staticmethod
    def draw(rng: Random) -> "Labels":
        case = rng.choices(tuple(CASES), tuple(CASES.values()))[0]
        random_words = iter(rng.sample(ANY, len(MEANING)))
        meaningful = rng.random() < 0.6
        words = {
            key: rng.choice(meaning.split()) if meaningful else next(random_words) for key, meaning in MEANING.items()
        }
        return Labels({key: getattr(word, case)() for key, word in words.items()})

    def __getitem__(self, key: str) -> str:
        return self.words[key]
