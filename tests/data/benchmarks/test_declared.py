"""Benchmarks of declared tasks: what is found in a directory, how rows become examples, cells by further axes."""

import json
from pathlib import Path

import pytest

from flix_lightning.data.benchmarks.benchmark import load_benchmark
from flix_lightning.data.benchmarks.declared import DeclaredBenchmark
from flix_lightning.data.cells import Cell
from flix_lightning.data.languages import in_words
from flix_lightning.data.mixture import Mixture
from tests.configs import composed

TOPIC = {"prompt": "Topic of {language}: {text}", "target": "{label}", "metric": "exact_match", "max_target_tokens": 8}
ANSWER = {"prompt": "{q} {facts.0.text}", "target": "{a.text.1}", "metric": "f1", "max_target_tokens": 8}
SPEAK = {**TOPIC, "prompt": "{source} to {language}: {text}", "files": "{source}-{language}"}


def write(path: str, *rows: dict | str) -> None:
    path = Path("data", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf8")


def topics(number: int, **more) -> list[dict]:
    return [{"text": f"text {i}", "label": i, **more} for i in range(number)]


def prompts(data, cell, split) -> list[str]:
    return [example.prompt for example in data.examples(cell, split)]


def test_tasks_languages_and_splits_are_found():
    write("topic/train/sw.jsonl", *topics(3))
    write("topic/test/sw.tsv", "text\tlabel", "a\tb")
    write("topic/test/tlh_x.csv", "text,label", '"two, or',  'three lines",b')  # fmt: skip
    write("answer/validation/sw.jsonl", {"q": "?", "facts": [{"text": "f"}], "a": {"text": ["no", "yes"]}})
    write("topic/README.md", "about the data")
    write("topic/train/.DS_Store", "")
    data = DeclaredBenchmark("data", {"topic": TOPIC, "answer": ANSWER, "absent": TOPIC})
    topic, odd, answer = Cell("topic", "sw"), Cell("topic", "tlh_x"), Cell("answer", "sw")
    assert set(data.cells) == {topic, odd, answer}
    assert [data.splits(cell) for cell in (topic, odd, answer)] == [("train", "test"), ("test",), ("validation",)]
    assert data.examples(topic, "train")[1] == ("topic/train/sw:2", "Topic of Swahili: text 1", "1")
    assert data.examples(topic, "test") == (("topic/test/sw:2", "Topic of Swahili: a", "b"),)
    assert prompts(data, odd, "test") == ["Topic of Klingon: two, or\nthree lines"]
    assert data.examples(answer, "validation")[0][1:] == ("? f", "yes")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("sw", "Swahili"),
        ("pt_br", "Brazilian Portuguese"),
        ("de_localized", "German"),
        ("bbj", "Ghomala"),
        ("qqq", "qqq"),
        ("xx-new", "xx-new"),
        ("ha", "Hausa of Kano"),
    ],
)
def test_languages_in_words(code, words):
    assert in_words(code, {"ha": "Hausa of Kano"}) == words


def test_a_file_of_a_text_in_two_languages_has_a_cell_with_the_features_of_both():
    write("topic/train/en+es.jsonl", *topics(1))
    write("topic/train/en+zh-Hant.jsonl", *topics(1))
    data = DeclaredBenchmark("data", {"topic": TOPIC}, names={"es": "Castilian"})
    assert [cell.values("language") for cell in data.cells] == [("en", "es"), ("en", "zh-Hant")]
    assert [prompts(data, cell, "train") for cell in data.cells] == [
        ["Topic of English and Castilian: text 0"], ["Topic of English and Traditional Chinese: text 0"]
    ]  # fmt: skip


def test_names_in_file_names_are_fields_and_two_files_may_be_one_cell():
    write("speak/train/en-bbj.jsonl", {"text": "tea", "label": "A"})
    write("speak/train/fr-bbj.jsonl", {"text": "the", "label": "B"})
    data = DeclaredBenchmark("data", {"speak": SPEAK}, names={"bbj": "Ghomala'"})
    assert data.cells == (Cell("speak", "bbj"),)
    assert prompts(data, data.cells[0], "train") == ["English to Ghomala': tea", "French to Ghomala': the"]
    by_source = DeclaredBenchmark("data", {"speak": SPEAK}, axes={"from": "source"})
    assert list(map(str, by_source.cells)) == ["speak/bbj/from=en", "speak/bbj/from=fr"]


def test_axes_from_columns_split_a_file_and_axes_from_tables_do_not():
    write("topic/train/sw.jsonl", *topics(2, domain="news"), *topics(1, domain="law"), *topics(1))
    write("topic/test/sw.jsonl", *topics(1, domain="law"))
    write("topic/test/ha.jsonl", *topics(1, domain="web"))
    axes = {"domain": "domain", "family": {"language": {"sw": "bantu"}}, "style": {"domain": {"law": "formal"}}}
    data = DeclaredBenchmark("data", {"topic": TOPIC}, axes=axes)
    found = {str(cell): {split: len(data.examples(cell, split)) for split in data.splits(cell)} for cell in data.cells}
    assert found == {
        "topic/ha/domain=web": {"test": 1},
        "topic/sw/domain=news/family=bantu": {"train": 2},
        "topic/sw/domain=law/family=bantu/style=formal": {"train": 1, "test": 1},
        "topic/sw/family=bantu": {"train": 1},
    }
    assert sorted(e.id for c in data.cells if "train" in data.splits(c) for e in data.examples(c, "train")) == [
        f"topic/train/sw:{line}" for line in (1, 2, 3, 4)
    ]


def test_the_last_rows_are_held_back_only_where_there_is_no_validation_file():
    write("topic/train/sw.jsonl", *topics(5))
    write("topic/train/ha.jsonl", *topics(5))
    write("topic/validation/ha.jsonl", *topics(1))
    sw, ha = Cell("topic", "sw"), Cell("topic", "ha")
    data = DeclaredBenchmark("data", {"topic": TOPIC}, held_back=2)
    assert [e.id[-1] for e in data.examples(sw, "train")] == ["1", "2", "3"]
    assert [e.id[-1] for e in data.examples(sw, "validation")] == ["4", "5"]
    assert len(data.examples(ha, "train")) == 5 and len(data.examples(ha, "validation")) == 1
    assert DeclaredBenchmark("data", {"topic": TOPIC}).splits(sw) == ("train",)


def test_a_cell_has_at_most_the_rows_asked_for():
    write("topic/train/sw.jsonl", *topics(5))
    write("topic/test/sw.jsonl", *topics(5))
    data = DeclaredBenchmark("data", {"topic": TOPIC}, rows={"train": 2})
    assert [len(data.examples(data.cells[0], split)) for split in ("train", "test")] == [2, 5]


def test_rows_beyond_those_asked_for_are_not_read():
    write("topic/train/sw.jsonl", *topics(2), "damaged")
    data = DeclaredBenchmark("data", {"topic": TOPIC}, rows={"train": 2})
    assert len(data.examples(data.cells[0], "train")) == 2


def test_unicode_is_kept_as_it_is():
    text = "e\u0301 \u200d \u2028 \ufffd 🜨 \x85 \x0b"  # nothing is normalised, and none of these ends a line
    write("topic/train/sw.jsonl", {"text": text, "label": "x"})
    write("topic/train/ha.tsv", "text\tlabel", f"{text}\tx")
    write("topic/train/yo.csv", "text,label", f"{text},x")
    data = DeclaredBenchmark("data", {"topic": {**TOPIC, "prompt": "{text}"}})
    assert {prompts(data, cell, "train")[0] for cell in data.cells} == {text}


def test_the_config_of_directories_declares_the_five_official_tasks():
    spans = [{"start_byte": 0, "limit_byte": 4, "label": "PER"}]
    entities = {"example_id": "x", "language": "luo", "text": "Otii", "spans": spans, "target": "PER: Otii"}
    write("ner/train/luo.jsonl", entities)
    write("ner/validation/luo.jsonl", {"text": "Otii", "target": ""})
    write("translation/train/en2am.jsonl", {"input": "tea", "target": "ሻይ"})
    write("qa_in_lang/train/sw.jsonl", {"question": "Q", "title": "T", "context": "C", "target": "A"})
    data = load_benchmark(composed("benchmark=directory", "benchmark.root=data", "mixture=all")["benchmark"])
    message = {str(cell): data.examples(cell, "train")[0][1:] for cell in data.cells}
    assert message == {
        "ner/luo": ("Entities Luo: Otii", "PER: Otii"),
        "translation/am": ("Translate to Amharic: tea", "ሻይ"),
        "qa_in_lang/sw": ("Answer Swahili: question: Q title: T context: C", "A"),
    }
    assert data.examples(Cell("ner", "luo"), "validation")[0].target == ""
    assert set(Mixture.select(data.cells).train) == set(data.cells)
