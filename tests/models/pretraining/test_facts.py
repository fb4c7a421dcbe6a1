"""Contents as fields, forms by example."""

from datetime import date

import pytest

from flix_lightning.data.benchmarks.cldr.content import Date, Measure, Money, Name, Relative
from flix_lightning.data.benchmarks.cldr.inventory import load_inventory
from flix_lightning.models.pretraining.facts import compact, fields_of, kind_of
from flix_lightning.models.pretraining.labels import MEANING, Labels
from flix_lightning.models.pretraining.lists import List
from flix_lightning.models.pretraining.records import Record

DAY, AGO, SUM, SIZE = Date(date(2040, 11, 1)), Relative("week", "past", 5), Money("KES", 236), Measure("GRAM", 12)
KENYA = Name("LOC", "KE")
LABELS = Labels({key: key.upper() for key in MEANING})


@pytest.mark.parametrize(
    "content, kind, apart, merged, short",
    [
        (DAY, "date", {"year": "2040", "month": "11", "day": "1"}, None, "2040-11-01"),
        (AGO, "relative", {"period": "week", "direction": "past", "amount": "5"}, {"week": "-5"}, "week -5"),
        (SUM, "money", {"amount": "236", "code": "KES"}, None, "236 KES"),
        (SIZE, "measure", {"amount": "12", "unit": "gram"}, {"gram": "12"}, "gram 12"),
        (KENYA, "place", {"code": "KE"}, None, "KE"),
    ],
)
def test_fields(content, kind, apart, merged, short):
    assert kind_of(content) == kind
    assert fields_of(content, False) == apart
    assert fields_of(content, True) == (merged or apart)
    assert compact(content) == short


@pytest.mark.parametrize(
    "settings, written",
    [
        ({}, "DATE {YEAR=2040; MONTH=11; DAY=1}"),
        ({"named": False, "order": "reversed"}, "{DAY=1; MONTH=11; YEAR=2040}"),
        ({"shape": "values", "order": "by label"}, "DATE; 1; 11; 2040"),
        ({"shape": "tags", "named": False}, "<YEAR>2040</YEAR><MONTH>11</MONTH><DAY>1</DAY>"),
        ({"shape": "nested"}, "{DATE {YEAR=2040} {MONTH=11} {DAY=1}}"),
        (
            {"shape": "nested", "prefixed": True},
            "{OUTER:DATE {INNER:YEAR 2040 } {INNER:MONTH 11 } {INNER:DAY 1 } }",
        ),
    ],
)
def test_records(settings, written):
    plain = dict(shape="pairs", brackets=("{", "}"), between="; ", equals="=", order="as is", merged=False)
    assert Record(**{**plain, "labels": LABELS, "named": True, "prefixed": False, **settings}).write(DAY) == written


@pytest.mark.parametrize(
    "settings, written",
    [
        ({}, "PLACE=Kenia | DATE=1 de noviembre de 2040"),
        ({"kept": frozenset({"date"})}, "DATE=1 de noviembre de 2040"),
        ({"kept": frozenset({"language"})}, "NONE"),
        ({"shown": "english", "order": "reversed"}, "DATE=November 1, 2040 | PLACE=Kenya"),
        ({"shown": "compact", "order": "by kind"}, "DATE=2040-11-01 | PLACE=KE"),
        ({"shown": "kind", "number": "{n}. ", "counted": True}, "2: 1. PLACE | 2. DATE"),
        ({"shown": "counts"}, "DATE 1 | PLACE 1"),
    ],
)
def test_lists(settings, written):
    plain = dict(kept=frozenset({"date", "place"}), shown="text", tag="{label}={text}", between=" | ", order="as is")
    form = List(**{**plain, "labels": LABELS, "number": "", "counted": False, **settings})
    assert form.write([KENYA, DAY], load_inventory("es")) == written
