"""Names of cells in requests: what each means, by hand, and what is refused."""

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.features import Feature
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.inference.serving.names import read_name
from tests.inference.serving.toy import toy_bank

BANK = toy_bank()
DOMAINS = replace(BANK, axes=("task", "language", "domain"), ranks={**BANK.ranks, Feature("domain", "news/tv"): 1})


@pytest.mark.parametrize(
    "name, cell, served",
    [
        ("ner/sw", "ner/sw", {"task=ner": 1, "language=sw": 1}),
        ("ner/xx", "ner/xx", {"task=ner": 1}),
        ("ner/zh-Hant", "ner/zh-Hant", {"task=ner": 1}),
        ("ner/sw@language=0.5", "ner/sw", {"task=ner": 1, "language=sw": 0.5}),
        ("ner/sw@language=-1e-1@task=2", "ner/sw", {"task=ner": 2, "language=sw": -0.1}),
        ("ner/xx@language=0.7*sw+0.3*yo", "ner/xx", {"task=ner": 1, "language=sw": 0.7, "language=yo": 0.3}),
        ("ner/sw@task=1*qa", "ner/sw", {"task=qa": 1, "language=sw": 1}),
        ("ner/am+sw@language=0.5", "ner/am+sw", {"task=ner": 1, "language=am": 0.5, "language=sw": 0.5}),
    ],
)
def test_what_a_name_means(name, cell, served):
    found, strengths = read_name(BANK, name)
    assert str(found) == cell
    composer = BANK.composer().with_strengths(strengths)
    assert {str(feature): weight for _, feature, weight in composer.serving(found)} == served


def test_values_on_further_axes():
    assert read_name(DOMAINS, "ner/sw/domain=news/tv").cell == Cell("ner", "sw", (("domain", "news/tv"),))
    assert read_name(DOMAINS, "ner/sw/domain=@domain=2").cell == Cell("ner", "sw")


@pytest.mark.parametrize(
    "name, told",
    [
        ("nre/sw", "unknown task 'nre'; did you mean 'ner'"),
        ("ner", "a cell is written"),
        ("", "a cell is written"),
        ("../sw", "unknown task '..'"),
        ("../../etc/passwd", "unknown task '..'|a cell is written"),
        ("ner/..", "a cell is written"),
        ("ner/sw/../..", "a cell is written"),
        ("/ner/sw", "a cell is written"),
        ("ner/sw\n", "printable"),
        ("ner/" + "x" * 600, "at most 512"),
        ("ner/sw/domain=a/domain=b", "an axis twice"),
        ("ner/sw@language", "a cell is written"),
        ("ner/sw@language=", "a strength is written"),
        ("ner/sw@language=nan", "a finite number"),
        ("ner/sw@language=1*", "a strength is written"),
        ("ner/sw@language=sw", "a strength is written"),
        ("ner/sw@language=1*xx", "unknown feature in the place of language=sw"),
        ("ner/sw@language=1@language=2", "twice"),
        ("ner/sw@axis=1", "unknown axis of strengths 'axis'"),
        ("ner/sw@domain=1*a", "ner/sw has 0 on that axis"),
        ("ner/am+sw@language=1*yo", "has 2 on that axis"),
    ],
)
def test_what_is_no_name(name, told):
    with pytest.raises(FlixError, match=told):
        BANK.composer().with_strengths(read_name(BANK, name).strengths)


@given(st.text(string.printable + "/@=*+.~%é語", max_size=40))
def test_any_text_is_a_cell_or_one_clear_error(name):
    try:
        cell, strengths = read_name(BANK, name)
        BANK.composer().with_strengths(strengths)
    except FlixError as error:
        assert str(error)
    else:
        assert cell.task in BANK.tasks and ".." not in name.split("/")


def test_the_bank_is_a_bank(tmp_path):
    BANK.write(tmp_path / "bank.safetensors")
    assert Bank.read(tmp_path / "bank.safetensors").ranks == BANK.ranks
