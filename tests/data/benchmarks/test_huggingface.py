"""Datasets of the Hugging Face library as sources of tasks: saved ones, folders of files, names that are not there."""

import json
from pathlib import Path

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.declared import DeclaredBenchmark
from flix_lightning.data.cells import Cell

TOPIC = {"prompt": "{language}: {text}", "target": "{label}", "metric": "exact_match", "max_target_tokens": 8}
FEATURES = Features({"text": Value("string"), "label": ClassLabel(names=["sport", "news"]), "lang": Value("string")})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    for module in (datasets.config, datasets.builder.config):
        monkeypatch.setattr(module, "HF_DATASETS_CACHE", tmp_path / "cache")


def table(*rows: tuple[str, int, str]) -> Dataset:
    return Dataset.from_dict({n: list(v) for n, v in zip(("text", "label", "lang"), zip(*rows))}, features=FEATURES)


@pytest.fixture
def saved() -> str:
    splits = {"train": table(("a", 0, "sw"), ("b", 1, "ha"), ("c", 1, "sw")), "dev": table(("d", 0, "sw"))}
    DatasetDict(splits).save_to_disk("topics")
    return "topics"


def benchmark(root=None, **changed) -> DeclaredBenchmark:
    options = {"held_back": changed.pop("held_back", 0), "axes": changed.pop("axes", {})}
    return DeclaredBenchmark(root, {"topic": {**TOPIC, **changed}}, **options)


def pairs(data, language, split) -> list[tuple[str, str]]:
    return [(e.prompt, e.target) for e in data.examples(Cell("topic", language), split)]


def test_a_column_tells_the_language_and_a_class_label_is_read_as_its_name(saved):
    data = benchmark(dataset=saved, language_column="lang", splits={"validation": "dev"})
    assert {str(cell): data.splits(cell) for cell in data.cells} == {
        "topic/ha": ("train",), "topic/sw": ("train", "validation")
    }  # fmt: skip
    assert pairs(data, "sw", "train") == [("Swahili: a", "sport"), ("Swahili: c", "news")]
    assert pairs(data, "ha", "train") == [("Hausa: b", "news")]
    assert pairs(data, "sw", "validation") == [("Swahili: d", "sport")]
    ids = [e.id for c in data.cells for s in data.splits(c) for e in data.examples(c, s)]
    assert len(set(ids)) == 4


def test_a_dataset_of_one_language(saved):
    data = benchmark(dataset=saved, configs={"sw": None}, held_back=1)
    assert pairs(data, "sw", "train") == [("Swahili: a", "sport"), ("Swahili: b", "news")]
    assert pairs(data, "sw", "validation") == [("Swahili: c", "news")]


def test_a_folder_of_files_with_numbers_nested_fields_and_an_axis():
    Path("files").mkdir()
    rows = [{"text": {"body": f"t{i}"}, "label": i, "domain": "law"} for i in range(3)]
    Path("files/train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = benchmark(dataset="files", configs={"yo": None}, prompt="{text.body}", axes={"domain": "domain"})
    (cell,) = data.cells
    assert str(cell) == "topic/yo/domain=law"
    assert [(e.prompt, e.target) for e in data.examples(cell, "train")] == [("t0", "0"), ("t1", "1"), ("t2", "2")]


def test_files_and_datasets_stand_in_one_benchmark(saved):
    Path("data/other/train").mkdir(parents=True)
    Path("data/other/train/sw.tsv").write_text("text\tlabel\na\tb\n")
    tasks = {"topic": {**TOPIC, "dataset": saved, "language_column": "lang"}, "other": TOPIC}
    assert list(map(str, DeclaredBenchmark("data", tasks).cells)) == ["topic/ha", "topic/sw", "other/sw"]


BAD = {
    "no languages": ({}, "say either configs, as {sw: swa}, or language_column"),
    "both": ({"configs": {"sw": None}, "language_column": "lang"}, "say either configs"),
    "unknown column": (
        {"language_column": "language"},
        "language_column of dataset 'topics': 'language'; did you mean",
    ),
    "unknown split": (
        {"language_column": "lang", "splits": {"test": "tset"}},
        "test split of dataset 'topics': 'tset'",
    ),
    "no known split": ({"dataset": "others", "configs": {"sw": None}}, "'others' has the splits all; say which"),
    "not there": ({"dataset": "nobody/nothing", "configs": {"sw": None}}, "dataset 'nobody/nothing' cannot be loaded"),
    "wrong field": ({"language_column": "lang", "prompt": "{txt}"}, "topics, train, lang=ha, line 1: unknown field"),
    "one table": ({"dataset": "single", "configs": {"sw": None}}, "'single' has no splits"),
}


@pytest.mark.parametrize("changed, told", BAD.values(), ids=BAD)
def test_what_is_wrong_is_told(saved, changed, told):
    DatasetDict({"all": table(("a", 0, "sw"))}).save_to_disk("others")
    table(("a", 0, "sw")).save_to_disk("single")
    with pytest.raises(FlixError, match=told):
        data = benchmark(**{"dataset": saved, **changed})
        data.examples(data.cells[0], "train")


def test_configurations_are_languages_and_a_wrong_one_is_told():
    Path("many").mkdir()
    told = "".join(f"- config_name: {name}\n  data_files: {name}.jsonl\n" for name in ("swa", "hau"))
    Path("many/README.md").write_text(f"---\nconfigs:\n{told}---\n")
    for name in ("swa", "hau"):
        Path(f"many/{name}.jsonl").write_text(json.dumps({"text": name, "label": "x"}) + "\n")
    data = benchmark(dataset="many", configs={"sw": "swa", "ha": "hau"})
    assert pairs(data, "sw", "train") == [("Swahili: swa", "x")] and pairs(data, "ha", "train") == [("Hausa: hau", "x")]
    with pytest.raises(FlixError, match="configuration of dataset 'many': 'swx'; did you mean 'swa'"):
        benchmark(dataset="many", configs={"sw": "swx"})
