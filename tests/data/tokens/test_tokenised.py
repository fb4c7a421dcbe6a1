"""Tokenised data on disk: what is kept, when it is made anew, what several processes and broken disks do to it."""

import errno
import gc
import multiprocessing
import os
import warnings
from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.benchmark import Example
from flix_lightning.data.cells import Cell
from flix_lightning.data.tasks import Task
from flix_lightning.data.tokens.encoding import encode
from flix_lightning.data.tokens.file import TokenFile
from flix_lightning.data.tokens.store import Caching
from flix_lightning.data.tokens.tokenised import ChunkReader, TokenisedCells
from tests.families import tiny_pretrained_tokenizer

SW, YO = Cell("qa", "sw"), Cell("qa", "yo")


class Lines:
    """A benchmark of numbered lines that counts how often it is read."""

    name = "lines"

    def __init__(self, rows: int = 5, version: str | None = "1", longest: int = 8) -> None:
        self.tasks = {"qa": Task("qa", "{input}", "f1", longest)}
        self.cells, self.rows, self.version = (SW, YO), rows, version
        self.read = Counter()

    def splits(self, cell):
        return ("train", "validation", "test")

    def examples(self, cell, split):
        return tuple(self.stream(cell, split))

    def stream(self, cell, split):
        for i in range(self.rows):
            self.read[cell, split] += 1
            yield Example(f"{cell}/{split}/{i}", f"{cell} habari ya {i}", f"the answer is {i * 7919}")

    def fingerprint(self, cell, split):
        return None if self.version is None else f"{cell}/{split}/{self.rows}/{self.version}"


def tokenised(benchmark: Lines, directory="cache", family="smollm2", longest=12, chunk=None, required=False):
    caching = Caching(directory, required)
    return TokenisedCells(benchmark, tiny_pretrained_tokenizer(family), family == "mt5", longest, caching, chunk)


def wanted(benchmark: Lines, cell: Cell, longest: int = 12) -> list[tuple[list[int], list[int]]]:
    """Tokenised in memory; what is too long loses what stands before its last token."""
    examples = benchmark.examples(cell, "train")
    whole = encode(
        tiny_pretrained_tokenizer("smollm2"), [e.prompt for e in examples], [e.target for e in examples], False
    )
    limits = longest, benchmark.tasks["qa"].max_target_tokens
    return [
        tuple(ids if len(ids) <= most else ids[: most - 1] + ids[-1:] for ids, most in zip(row, limits))
        for row in whole
    ]


# --- what is kept ---


def test_rows_are_those_tokenised_in_memory_and_are_made_once():
    benchmark = Lines()
    rows = tokenised(benchmark).encoded(SW, "train")
    assert [tuple(row) for row in rows] == wanted(Lines(), SW)
    again, cells = Lines(), tokenised(benchmark)
    cells.benchmark = again
    assert list(cells.encoded(SW, "train")) == list(rows)
    assert not again.read
    assert cells.truncated == sum(
        row != cut for row, cut in zip(wanted(Lines(longest=99), SW, 99), wanted(Lines(), SW))
    )
    assert cells.truncated > 0


def test_whatever_decides_the_rows_makes_them_anew():
    kept = {}
    for name, cells in {
        "base": tokenised(Lines()),
        "data": tokenised(Lines(version="2")),
        "tokenizer": tokenised(Lines(), family="llama32"),
        "kind": tokenised(Lines(), family="mt5"),
        "prompt": tokenised(Lines(), longest=11),
        "target": tokenised(Lines(longest=7)),
    }.items():
        cells.encoded(SW, "train")
        assert cells.benchmark.read[SW, "train"] == 5, f"{name} read another's rows"
        kept[name] = len(os.listdir("cache"))
    assert list(kept.values()) == [1, 2, 3, 4, 5, 6]


def test_a_chat_template_is_part_of_the_tokenizer():
    chatty, plain = tokenised(Lines(), family="qwen3"), tokenised(Lines(), family="qwen3")
    plain.tokenizer = deepcopy(plain.tokenizer)
    plain.tokenizer.chat_template = None
    assert list(plain.encoded(SW, "train")) != list(chatty.encoded(SW, "train"))


def test_a_damaged_file_is_made_anew():
    tokenised(Lines()).encoded(SW, "train")
    (path,) = Path("cache").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    assert len(tokenised(Lines()).encoded(SW, "train")) == 5


def test_unknown_data_and_no_directory_keep_nothing():
    for benchmark, directory in ((Lines(version=None), "cache"), (Lines(), None)):
        cells = tokenised(benchmark, directory)
        assert [tuple(row) for row in cells.encoded(SW, "train")] == wanted(Lines(), SW)
        assert len(cells.encoded(YO, "train")) == 5
        own = cells.store._temporary
        assert len(os.listdir(own)) == 2 and not Path("cache").exists()
        del cells
        gc.collect()
        assert not own.exists()


def test_the_directory_is_where_users_expect_it(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/cache")
    assert Caching().path() == Path("/some/cache/flix_lightning")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert Caching().path() == Path("/home/someone/.cache/flix_lightning")
    assert Caching("~/tokens").path() == Path("/home/someone/tokens")
    assert Caching(None).path() is None


@pytest.mark.parametrize("directory", ["auto", "~/tokens"])
def test_a_user_without_a_home_directory_gets_a_temporary_cache_and_is_told_once(directory, monkeypatch):
    for variable in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    cells = tokenised(Lines(), directory)
    with pytest.warns(UserWarning, match="no home directory.*temporary") as message:
        assert [tuple(row) for row in cells.encoded(SW, "train")] == wanted(Lines(), SW)
        cells.encoded(YO, "train")
    assert len(message) == 1 and not list(Path().iterdir())
    with pytest.raises(FlixError, match="no home directory.*data.cache.required=false"):
        tokenised(Lines(), directory, required=True).encoded(SW, "train")


# --- broken disks, several processes ---


def refuse(*_, **__):
    raise OSError(errno.EROFS, "Read-only file system")


def test_a_directory_that_cannot_be_written_is_told_and_still_read(monkeypatch):
    tokenised(Lines()).encoded(SW, "train")
    monkeypatch.setattr("flix_lightning.data.tokens.store.TemporaryFile", refuse)
    cells = tokenised(Lines())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cells.encoded(SW, "train")
    with pytest.warns(UserWarning, match="'cache' cannot be written .Read-only file system"):
        assert len(cells.encoded(YO, "train")) == 5
    assert len(os.listdir("cache")) == 1
    with pytest.raises(FlixError, match="data.cache.required=false"):
        tokenised(Lines(), required=True).encoded(YO, "train")


def test_a_directory_that_cannot_be_made_is_told():
    Path("file").touch()
    with pytest.warns(UserWarning, match="file/cache' cannot be written .Not a directory"):
        assert len(tokenised(Lines(), "file/cache").encoded(SW, "train")) == 5


def test_a_full_disk_is_one_clear_error(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("flix_lightning.data.tokens.store.write_token_file", full)
    with pytest.raises(FlixError, match="no room for tokenised data in cache: No space left on device"):
        tokenised(Lines()).encoded(SW, "train")


class Slow(Lines):
    """Says in a file when it is read, and takes its time."""

    def stream(self, cell, split):
        import time

        with open("read", "a") as file:
            file.write("read\n")
        for example in super().stream(cell, split):
            time.sleep(0.05)
            yield example


def _ask(answers) -> None:
    answers.put([tuple(row) for row in tokenised(Slow()).encoded(SW, "train")])


def test_processes_that_ask_at_once_make_it_once():
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=_ask, args=(answers,)) for _ in range(3)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=60) for _ in processes] == [wanted(Lines(), SW)] * 3
    for process in processes:
        process.join()
    assert Path("read").read_text() == "read\n"
    assert len(os.listdir("cache")) == 1


# --- chunks ---


def test_a_cell_in_chunks_has_the_same_rows_and_reads_on():
    benchmark = Lines(rows=10)
    rows = tokenised(benchmark, chunk=4).encoded(SW, "train")
    assert len(rows) == 10 and benchmark.read[SW, "train"] == 10, "counted once"
    assert rows.length(3) == sum(map(len, rows[3]))
    assert benchmark.read[SW, "train"] == 14, "no more than the chunk is read"
    assert [tuple(row) for row in rows] == wanted(Lines(rows=10), SW)
    assert benchmark.read[SW, "train"] == 20
    again = Lines(rows=10)
    assert tokenised(again, chunk=4).encoded(SW, "train")[9] == rows[9]
    assert not again.read, "number and chunks are kept"
    small = Lines(rows=4)
    assert isinstance(tokenised(small, chunk=4).encoded(SW, "train"), TokenFile)


def test_a_source_of_another_length_than_before_is_refused():
    benchmark = Lines(rows=10, version="the same")
    benchmark.fingerprint = lambda cell, split: "the same"
    assert len(tokenised(benchmark, chunk=4).encoded(SW, "train")) == 10
    benchmark.rows = 9
    with pytest.raises(FlixError, match="qa/sw: its source gave 10 training rows before"):
        tokenised(benchmark, chunk=4).encoded(SW, "train")[9]


def test_chunks_in_any_order():
    opened = []

    def source():
        opened.append(1)
        return range(10)

    read = ChunkReader(source, 4)
    assert [list(read(number)) for number in (1, 2, 0, 1)] == [[4, 5, 6, 7], [8, 9], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(opened) == 2
