"""The preview of the embedded benchmark on the command line."""

import pytest

from flix_lightning.data.benchmarks.cldr.benchmark import Cldr
from flix_lightning.data.benchmarks.cldr.languages import CELLS
from flix_lightning.data.cells import Cell
from tests.commands.test_commands import run_command
from tests.data.benchmarks.cldr.samples import ALL_CELLS, FEW, LANGUAGES


def test_the_command_lists_every_cell(monkeypatch, capsys):
    assert run_command("data cldr", monkeypatch=monkeypatch) == 0
    *lines, total = capsys.readouterr().out.splitlines()
    assert total == f"{len(ALL_CELLS)} cells, {len(LANGUAGES)} languages"
    for line, (task, languages) in zip(lines, CELLS.items(), strict=True):
        assert line.split() == [task, str(len(languages)), *languages]


def test_the_command_previews_the_benchmarks_own_examples(monkeypatch, capsys):
    words = ("ner/sw", "qa_in_lang/te", "rows=3", "split=test", "seed=4")
    assert run_command("data cldr", *words, monkeypatch=monkeypatch) == 0
    benchmark = Cldr(FEW, seed=4)
    blocks = capsys.readouterr().out.strip().split("\n\n")
    for block, cell in zip(blocks, (Cell("ner", "sw"), Cell("qa_in_lang", "te")), strict=True):
        examples = benchmark.examples(cell, "test")[:3]
        assert block.splitlines() == [f"# {cell}, test, seed 4", *(f"{e.prompt} -> {e.target}" for e in examples)]


def test_the_command_previews_pretraining_languages(monkeypatch, capsys):
    assert run_command("data cldr", "cells=[semantic_parsing/it]", "rows=2", monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(line.startswith("Parse Italian: ") and " -> [IN:" in line for line in lines[1:])


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["ner"], "task/language"),
        (["ner/"], "task/language"),
        (["neer/sw"], "did you mean 'ner'"),
        (["ner/swa"], "did you mean 'sw'"),
        (["ner/bho"], "lacks"),
        (["ner/lld"], "no English name"),
        (["ner/sw", "split=tset"], "did you mean 'test'"),
        (["ner/sw", "rows=0"], "rows: expected a whole number of at least 1; got 0"),
    ],
)
def test_a_wrong_argument_is_one_line_on_standard_error_and_a_hint(arguments, named, monkeypatch, capsys):
    assert run_command("data cldr", *arguments, monkeypatch=monkeypatch) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ") and output.err.count("\n") == 2 and named in output.err
