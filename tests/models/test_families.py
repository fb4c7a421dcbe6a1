"""Every family of transformers is as docs/models.md says: right by every judge, or refused in one line."""

import pytest

from tests.models.conformance import PAGE, table, verdict, verdicts_of, written
from tests.zoo import FAMILIES

EVERY_DAY = ("llama", "gemma3_text", "gpt2", "bloom", "mixtral", "bart", "m2m_100")  # the others are slow tests
TOLD = verdicts_of(PAGE.read_text(encoding="utf8"))


@pytest.mark.parametrize("name", [f if f in EVERY_DAY else pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES])
def test_a_family_is_as_its_table_says(name):
    assert verdict(name) == TOLD[name]


def test_the_table_is_of_these_families_and_as_it_is_generated():
    assert list(TOLD) == sorted(TOLD, key=list(TOLD).index) and set(TOLD) == set(FAMILIES)
    assert written(PAGE.read_text(encoding="utf8")) == table({name: TOLD[name] for name in FAMILIES}).strip()
