"""Malformed data: every input gives one error with file, line and reason; a tolerance is explicit and counted."""

import json
import re
from pathlib import Path

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.declared import DeclaredBenchmark
from flix_lightning.data.benchmarks.rows import LONGEST_ROW

TASK = {"prompt": "{language}: {text}", "target": "{label}", "metric": "exact_match", "max_target_tokens": 8}
GOOD = json.dumps({"text": "habari", "label": "news"}) + "\n"
ENTITY = {"text": "Ọ bụ Bọla", "target": "PER: Bọla"}  # Bọla: bytes 9 to 15


def benchmark(task=None, **options) -> DeclaredBenchmark:
    return DeclaredBenchmark("data", {"topic": task or TASK}, **options)


def write(content: str | bytes, path: str = "topic/train/sw.jsonl") -> Path:
    path = Path("data", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf8"))
    return path


def read(**options) -> list:
    data = benchmark(**options)
    return [example for cell in data.cells for split in data.splits(cell) for example in data.examples(cell, split)]


def spans(*spans: tuple) -> str:
    message = [dict(zip(("start_byte", "limit_byte", "label"), span)) for span in spans]
    return json.dumps({**ENTITY, "spans": message}) + "\n"


ROWS = {
    "truncated JSON": (b'{"text": "habari", "label": "ne', "line 2: is no JSON: Unterminated string .*column 29"),
    "no JSON": (b"habari\tnews\n", "line 2: is no JSON: Expecting value, column 1"),
    "NaN": (b'{"text": "habari", "label": NaN}\n', "line 2: is no JSON: NaN is no value"),
    "a list": (b'["habari", "news"]\n', "line 2: a row is a JSON object, {...}; got a list"),
    "two objects": (b'{"text": "a", "label": "b"}{"text": "a"}\n', "line 2: is no JSON: Extra data, column 28"),
    "wrong field": (b'{"texts": "a", "label": "b"}\n', "line 2: unknown field .*'text'; did you mean 'texts'"),
    "null": (b'{"text": null, "label": "b"}\n', "line 2: field 'text' .* is null; it must be text"),
    "fraction": (b'{"text": 1.5, "label": "b"}\n', "line 2: field 'text' .* is float"),
    "truth value": (b'{"text": "a", "label": true}\n', "line 2: field 'label' .* is bool"),
    "list for text": (b'{"text": ["a"], "label": "b"}\n', "line 2: field 'text' .* is list"),
    "field twice": (b'{"text": "a", "text": "b", "label": "c"}\n', "line 2: field 'text' is given twice"),
    "lone surrogate": (b'{"text": "a\\ud83d", "label": "b"}\n', r"line 2: holds a lone surrogate, '\\ud83d', at"),
    "not UTF-8": ('{"text": "café", "label": "b"}\n'.encode("latin1"), r"line 2: byte 14 \(0xe9\) is no UTF-8"),
    "empty line": (b"\n" + GOOD.encode(), "line 2: the line is empty"),
    "gigantic row": (b'{"text": "' + b"a" * LONGEST_ROW + b'"}\n', "line 2: the row is longer than 1,048,576 bytes"),
    "deep nesting": (b"[" * 100_000 + b"\n", "line 2: is nested too deeply"),
    "huge number": (b'{"text": ' + b"9" * 5000 + b', "label": "b"}\n', "line 2: is no JSON: Exceeds the limit"),
}


@pytest.mark.parametrize("suffix, comma", [("csv", ","), ("tsv", "\t")])
def test_a_field_may_be_as_long_as_a_row(suffix, comma):
    longest = "x" * (LONGEST_ROW - 10)
    write(f"text{comma}label\nshort{comma}a\n{longest}{comma}b\n", f"topic/train/sw.{suffix}")
    assert [example.prompt for example in read()] == ["Swahili: short", f"Swahili: {longest}"]


@pytest.mark.parametrize("content, message", ROWS.values(), ids=ROWS)
def test_a_malformed_row_is_told_with_file_line_and_reason(content, message):
    path = write(GOOD.encode() + content)
    with pytest.raises(FlixError, match=f"^{path}, {message}") as caught:
        read()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("content, message", ROWS.values(), ids=ROWS)
def test_a_tolerated_row_is_left_out_and_counted(content, message):
    path = write(GOOD.encode() + content.removesuffix(b"\n") + b"\n" + GOOD.encode())
    data = benchmark(tolerance=1)
    (cell,) = data.cells
    for _ in range(2):  # reading again does not count again
        lines = [int(example.id.rpartition(":")[2]) for example in data.examples(cell, "train")]
        assert lines[0] == 1 and 2 not in lines and 3 in lines
        assert len(data.left_out) == 1
        assert re.match(message, data.left_out.reasons[str(path)][0])


def test_more_rows_than_are_tolerated_are_refused():
    path = write(GOOD + "x\n" + GOOD + "y\n")
    with pytest.raises(FlixError, match=rf"^{path}, line 4: .*\(benchmark.tolerance allows 1 such rows a file\)"):
        read(tolerance=1)


FILES = {
    "UTF-8 mark": (b"\xef\xbb\xbf" + GOOD.encode(), "line 1: begins with a byte-order mark"),
    "UTF-16": (GOOD.encode("utf16"), "line 1: begins with a byte-order mark"),
    "CRLF": (GOOD.replace("\n", "\r\n").encode(), "line 1: lines end in CRLF"),
    "empty file": (b"", "holds no rows"),
}


@pytest.mark.parametrize("tolerance", [0, 5])
@pytest.mark.parametrize("content, message", FILES.values(), ids=FILES)
def test_a_malformed_file_is_refused_whatever_the_tolerance(content, message, tolerance):
    path = write(content)
    with pytest.raises(FlixError, match=f"^{path},? {message}"):
        read(tolerance=tolerance)


TABLES = {
    "too few columns": ("sw.tsv", "text\tlabel\nhabari\tnews\nhabari\n", r"line 3: 1 values for 2 columns \(text, lab"),
    "too many columns": ("sw.tsv", "text\tlabel\nhabari\tnews\tx\n", "line 2: 3 values for 2 columns"),
    "column twice": ("sw.tsv", "text\ttext\na\tb\n", "line 1: names the columns, each once"),
    "header only": ("sw.tsv", "text\tlabel\n", "holds no rows"),
    "header of another file": ("sw.tsv", "id\tlabel\n1\tnews\n", "line 2: unknown field .*'text'"),
    "CRLF in a .tsv": ("sw.tsv", "text\tlabel\r\na\tb\r\n", "line 1: lines end in CRLF"),
    "open quote": ("sw.csv", 'text,label\nhabari,"news\n', "line 2: is no CSV: unexpected end of data"),
    "text after a quote": ("sw.csv", 'text,label\nhabari,"news"x\n', "line 2: is no CSV"),
    "short row after a long one": ("sw.csv", 'text,label\n"two\nlines",x\nhabari\n', "line 4: 1 values for 2 columns"),
}


@pytest.mark.parametrize("name, content, message", TABLES.values(), ids=TABLES)
def test_a_malformed_table_is_told_with_file_line_and_reason(name, content, message):
    path = write(content, f"topic/train/{name}")
    with pytest.raises(FlixError, match=f"^{path},? {message}"):
        read()


SPANS = {
    "shifted": ([(8, 14, "PER")], "the spans cut out 'PER:  Bọl'; the target is 'PER: Bọla'"),
    "inside a character": ([(9, 12, "PER")], "span 9-12 begins or ends inside a character"),
    "characters for bytes": ([(5, 9, "PER")], "the spans cut out"),
    "outside": ([(9, 99, "PER")], "span 9-99 lies outside the text of 15 bytes"),
    "backwards": ([(15, 9, "PER")], "span 15-9 lies outside"),
    "another label": ([(9, 15, "LOC")], "the spans cut out 'LOC: Bọla'"),
    "one too many": ([(9, 15, "PER"), (9, 15, "PER")], "the spans cut out"),
    "no offset": ([(9,)], "a span is {start_byte, limit_byte, label}; got {'start_byte': 9}"),
    "text for an offset": ([("9", 15, "PER")], "a span is"),
}


@pytest.mark.parametrize("offsets, message", SPANS.values(), ids=SPANS)
def test_byte_offsets_that_do_not_cut_out_the_target_are_told(offsets, message):
    assert ENTITY["text"].encode()[9:15].decode() == "Bọla"
    path = write(spans((9, 15, "PER")) + spans(*offsets))
    with pytest.raises(FlixError, match=f"^{path}, line 2: {re.escape(message)}"):
        read(task={**TASK, "target": "{target}", "spans": "text"})


@pytest.mark.parametrize(
    "row, message",
    [
        ({"spans": {}}, "line 1: spans is a list of"),
        ({"spans": [], "text": 3}, "line 1: the text that spans count in is 3"),
        ({"spans": ["PER"]}, "line 1: a span is {start_byte"),
    ],
)
def test_spans_of_another_shape_are_told(row, message):
    write(json.dumps({**ENTITY, **row}) + "\n")
    with pytest.raises(FlixError, match=re.escape(message)):
        read(task={**TASK, "target": "{target}", "spans": "text"})


def test_an_id_that_comes_twice_is_told_with_both_lines():
    write("".join(json.dumps({"text": "a", "label": "b", "key": key}) + "\n" for key in ("x", "y", "x")))
    assert len(read()) == 3
    with pytest.raises(FlixError, match="line 3: key 'x' is that of line 1 too"):
        read(task={**TASK, "id": "key"})
    with pytest.raises(FlixError, match="line 1: unknown field id 'keys'; did you mean 'key'"):
        read(task={**TASK, "id": "keys"})


LAYOUTS = {
    "no such directory": ([], "benchmark.root: 'data' is no directory"),
    "a file for the directory": (["."], "benchmark.root: 'data' is no directory"),
    "no split": (["topic/sw.jsonl"], "data/topic/sw.jsonl lies outside a split's folder"),
    "no task": (["sw.jsonl"], "data/sw.jsonl lies outside a task's folder"),
    "another split": (["topic/dev/sw.jsonl"], "data/topic: split 'dev'"),
    "another task": (["topics/train/sw.jsonl"], "declare it as benchmark.tasks.topics.*did you mean 'topic'"),
    "another type": (["topic/train/sw.json"], "data/topic/train/sw.json: file type '.json'; did you mean '.jsonl'"),
    "packed": (["topic/train/sw.jsonl.gz"], "file type '.gz'"),
    "no language": (
        ["topic/train/s w.jsonl"],
        "s w.jsonl: the name does not have the form '{language}' of benchmark.tas",
    ),
    "twice": (["topic/train/sw.jsonl", "topic/train/sw.tsv"], "sw.tsv and sw.jsonl stand for the same rows"),
    "empty split": (["topic/train/.hidden"], "data/topic holds no file"),
}


@pytest.mark.parametrize("paths, message", LAYOUTS.values(), ids=LAYOUTS)
def test_another_layout_is_told(paths, message):
    for path in paths:
        write(GOOD, path)
    with pytest.raises(FlixError, match=message):
        benchmark()


def test_a_split_that_is_missing_is_told_where_it_is_needed():
    write(GOOD, "topic/test/sw.jsonl")
    data = benchmark()
    with pytest.raises(FlixError, match="unknown split of topic/sw 'train'. Allowed: test"):
        data.examples(data.cells[0], "train")


def test_an_unreadable_file_is_told(monkeypatch):
    path = write(GOOD)
    data = benchmark()
    path.unlink()
    path.mkdir()
    with pytest.raises(FlixError, match=f"{path} cannot be read: Is a directory"):
        data.examples(data.cells[0], "train")


DECLARATIONS = {
    "unknown key": ({"promt": "x"}, "benchmark.tasks.topic.promt'; did you mean 'benchmark.tasks.topic.prompt'"),
    "unknown metric": ({"metric": "accuracy"}, "benchmark.tasks.topic.metric 'accuracy'"),
    "open brace": ({"prompt": "{text"}, "'{text' is no template"),
    "no name": ({"prompt": "{}"}, "a field is written {name}; got ''"),
    "a format": ({"prompt": "{text:>9}"}, "a field is written {name}; got 'text'"),
    "a method": ({"prompt": "{text.__class__!r}"}, "a field is written {name}"),
    "a file pattern without language": ({"files": "{source}"}, "tasks.topic.files: a pattern .* holds {language} once"),
    "no length": ({"max_target_tokens": 0}, "max_target_tokens: expected a whole number of at least 1; got 0"),
    "a language that is not there": (
        {"languages": ["sw", "swa"]},
        "topic.languages: there are no rows in 'swa'; did you mean 'sw'",
    ),
}


@pytest.mark.parametrize("changed, message", DECLARATIONS.values(), ids=DECLARATIONS)
def test_a_malformed_declaration_is_told(changed, message):
    write(GOOD)
    with pytest.raises(FlixError, match=message):
        benchmark({**TASK, **changed})


@pytest.mark.parametrize(
    "options, message",
    [
        ({"rows": {"dev": 3}}, "benchmark.rows 'dev'"),
        ({"rows": {"train": 0}}, "benchmark.rows.train: expected a whole number of at least 1"),
        ({"held_back": -1}, "benchmark.held_back: expected a whole number of at least 0"),
        ({"held_back": 1}, "no more than the 1 rows of benchmark.held_back"),
        ({"tolerance": -1}, "benchmark.tolerance: .*at least 0; got -1"),
        ({"axes": {"task": "text"}}, "benchmark.axes.task: that axis has its own meaning"),
        ({"axes": {"domain": ["text"]}}, "benchmark.axes.domain: the name of a field, or"),
        ({"axes": {"domain": "sizes"}}, "line 1: field 'sizes', the axis 'domain', is a list"),
        ({"axes": {"domain": "joined"}}, r"line 1: .*domain 'a\+' joins by '\+'"),
    ],
    ids=str,
)
def test_impossible_options_are_told(options, message):
    write(json.dumps({"text": "a", "label": "b", "sizes": [1], "joined": "a+"}) + "\n")
    with pytest.raises(FlixError, match=message):
        read(**options)
