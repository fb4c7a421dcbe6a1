"""Files of tokens: what is written is read, what is damaged is told."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flix_lightning.data.cells import Cell
from flix_lightning.data.tokens.encoding import Encoded
from flix_lightning.data.tokens.file import DamagedFile, TokenFile, write_token_file

SW, YO = Cell("qa", "sw"), Cell("qa", "yo")
IDS = st.lists(st.integers(0, 300_000), max_size=5)
ROWS = [(Encoded([1, 2, 3], [4]), False), (Encoded([5], []), True), (Encoded([], [6, 7]), False)]


@settings(max_examples=30)
@given(st.lists(st.tuples(IDS, IDS, st.booleans()), max_size=6))
def test_a_file_gives_back_the_rows_written(rows):
    path = Path(f"rows-{os.getpid()}")
    write_token_file(path, [(Encoded(p, t), cut) for p, t, cut in rows], 300_000)
    file = TokenFile(path)
    assert list(file) == [(p, t) for p, t, _ in rows]
    assert [file.length(i) for i in range(len(rows))] == [len(p) + len(t) for p, t, _ in rows]
    assert file.truncated == sum(cut for *_, cut in rows)
    assert file[1:] == list(file)[1:]
    with pytest.raises(IndexError):
        file[len(rows)]


def test_small_vocabularies_take_two_bytes_a_token():
    sizes = {}
    for largest in (0xFFFF, 0x10000):
        write_token_file(Path("rows"), [(Encoded([largest] * 1000, [0]), False)], largest)
        assert TokenFile(Path("rows"))[0].prompt == [largest] * 1000
        sizes[largest] = Path("rows").stat().st_size
    assert 1990 < sizes[0x10000] - sizes[0xFFFF] < 2010


def test_more_rows_than_are_held_at_once(monkeypatch):
    monkeypatch.setattr("flix_lightning.data.tokens.file.FLUSH", 2)
    write_token_file(Path("rows"), iter(ROWS), 10)
    assert list(TokenFile(Path("rows"))) == [row for row, _ in ROWS]


@pytest.mark.parametrize("lost", [1, 8, 20, 60, "all"])
def test_a_file_that_is_cut_short_is_damaged(lost):
    write_token_file(Path("rows"), ROWS, 10)
    whole = Path("rows").read_bytes()
    Path("rows").write_bytes(b"" if lost == "all" else whole[:-lost])
    with pytest.raises(DamagedFile):
        TokenFile(Path("rows"))


def test_a_file_that_lost_its_middle_is_damaged():
    write_token_file(Path("rows"), ROWS, 10)
    Path("rows").write_bytes(Path("rows").read_bytes()[16:])
    with pytest.raises(DamagedFile):
        TokenFile(Path("rows"))


def test_writing_that_fails_leaves_the_old_file_and_nothing_else():
    write_token_file(Path("rows"), ROWS, 10)

    def failing():
        yield ROWS[0]
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_token_file(Path("rows"), failing(), 10)
    assert os.listdir() == ["rows"] and len(TokenFile(Path("rows"))) == 3
