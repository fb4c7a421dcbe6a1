"""Texts from data on the screen, in file names and in tables: any text stands there as it is, and leads nowhere."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from flix_lightning.common.files import escaped
from flix_lightning.common.markdown import markdown_table
from flix_lightning.data.cells import Cell
from flix_lightning.data.inspection import Findings
from flix_lightning.report.data import print_findings
from flix_lightning.report.heatmap import difference_heatmap
from flix_lightning.report.screen import print_report, printable

ODD = ["[/b]", "[news]", "n[red]", ":smile:", "\\[x]", "a|b", "$x_{$", "a\x1b[31mb", "C#", "zh-Hant", "\u2028"]
REPORT = {"split": "test", "parameters": {"task": 1}, "steps": 1, "best_step": 1, "seconds": 1, "truncated_examples": 0}


@pytest.mark.parametrize("text", ODD)
def test_a_report_shows_any_text(text, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    row = {"task": text, "language": "sw", "attributes": {"domain": text}, "group": "seen", "score": 1.0}
    print_report({**REPORT, "name": text, "cells": [row], "unscored_cells": [text]}, f"runs/{text}/0")
    printed, shown = capsys.readouterr().out, printable(text)
    assert f" {shown} " in printed and f"domain={shown}" in printed
    assert f"run runs/{text}/0" in printed or text != shown


@pytest.mark.parametrize("text", ODD)
def test_findings_show_any_text(text, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    cell = Cell("topic", "sw", (("domain", text),))
    print_findings([Findings(cell, "train", rows=1), Findings(cell, "test", error=text)], [text], 0)
    assert f"topic/sw/domain={printable(text)}" in capsys.readouterr().out


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS)
@example("../../../../escape", "news/politics")
@example("..", "%2E.")
def test_an_escaped_text_is_one_part_of_a_path_and_its_own(text, other):
    name = escaped(text)
    path = Path("out", name)
    assert os.path.normpath(path) == str(path) and path.parent == Path("out") and not name.startswith(".")
    assert re.fullmatch(r"[^/\\\0\n]+", name) and printable(name) == name
    assert (escaped(other) == name) == (other == text)


def test_an_ordinary_name_stays_as_it_is():
    assert [escaped(name) for name in ("sw", "zh-Hant", "news", "C#", "größe", "a b")] == [
        "sw", "zh-Hant", "news", "C#", "größe", "a b"
    ]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_pictures_take_any_text(text):
    rows = [{"task": text, "language": text.replace("+", ""), "group": "seen", "score": 1.0}]
    difference_heatmap([{"cells": rows}], [{"cells": rows}], text, Path("d.png"))
    assert Path("d.png").stat().st_size


def test_bars_in_a_text_are_no_borders_of_a_table():
    assert markdown_table(["task", "score"], [["a|b", 1]]).splitlines()[-1] == "| a\\|b | 1 |"


def test_the_console_would_take_the_texts_for_mark_up():
    """What the tests above are about."""
    with pytest.raises(Exception, match="closing tag"):
        Console().print("[/b]")
