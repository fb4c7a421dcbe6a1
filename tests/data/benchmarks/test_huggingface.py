"""Datasets of the Hugging Face library as sources of tasks: saved ones, folders of files, names that are not there."""

import json
from pathlib import Path

import datasets
import pyarrow
import pytest
from datasets import Audio, ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, Image, List, Value

from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.declared import DeclaredBenchmark
from flix_lightning.data.cells import Cell
from tests.own import call

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


@pytest.mark.parametrize("changed, message", BAD.values(), ids=BAD)
def test_what_is_wrong_is_told(saved, changed, message):
    DatasetDict({"all": table(("a", 0, "sw"))}).save_to_disk("others")
    table(("a", 0, "sw")).save_to_disk("single")
    with pytest.raises(FlixError, match=message):
        data = benchmark(**{"dataset": saved, **changed})
        data.examples(data.cells[0], "train")


def test_configurations_are_languages_and_a_wrong_one_is_told():
    Path("many").mkdir()
    message = "".join(f"- config_name: {name}\n  data_files: {name}.jsonl\n" for name in ("swa", "hau"))
    Path("many/README.md").write_text(f"---\nconfigs:\n{message}---\n")
    for name in ("swa", "hau"):
        Path(f"many/{name}.jsonl").write_text(json.dumps({"text": name, "label": "x"}) + "\n")
    data = benchmark(dataset="many", configs={"sw": "swa", "ha": "hau"})
    assert pairs(data, "sw", "train") == [("Swahili: swa", "x")] and pairs(data, "ha", "train") == [("Hausa: hau", "x")]
    with pytest.raises(FlixError, match="configuration of dataset 'many': 'swx'; did you mean 'swa'"):
        benchmark(dataset="many", configs={"sw": "swx"})


# --- what the library cannot read, or reads as something else ---


def folder(**files: str) -> str:
    Path("files").mkdir()
    for name, text in files.items():
        Path("files", name.replace("_", ".")).write_text(text)
    return "files"


def rows(**columns) -> Dataset:
    """Two rows, columns as given."""
    return Dataset.from_dict({"text": ["a", "b"], "label": ["x", "y"], "lang": ["sw", "ha"], **columns})


def of_kind(kind, *stored) -> Dataset:
    """Rows with a column `odd` of a kind that the library encodes by other libraries only."""
    plain = rows(odd=list(stored))
    features = Features({**plain.features, "odd": kind})
    return Dataset(plain.data.table.cast(features.arrow_schema), info=DatasetInfo(features=features))


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_row_without_a_language_is_told(nothing):
    DatasetDict(train=rows(lang=["sw", nothing])).save_to_disk("topics")
    with pytest.raises(FlixError, match="'topics', train, line 2: no language in the column 'lang', as in 1 rows"):
        benchmark(dataset="topics", language_column="lang")


@pytest.mark.parametrize("word", ["NA", "nan", "null"])
def test_a_word_that_the_library_reads_as_no_value_is_told(word):
    name = folder(train_csv=f"text,label,lang\na,x,sw\nb,y,{word}\n")
    with pytest.raises(FlixError, match="line 2: no language.*reads NA, nan, null"):
        benchmark(dataset=name, language_column="lang")


def test_a_class_label_of_minus_one_is_no_language_either():
    table = rows(lang=[0, -1]).cast_column("lang", ClassLabel(names=["no", "sw"]))
    DatasetDict(train=table).save_to_disk("topics")
    with pytest.raises(FlixError, match="line 2: no language"):
        benchmark(dataset="topics", language_column="lang")


def test_a_column_that_is_no_language_is_told():
    DatasetDict(train=rows(lang=[0.5, 1.5])).save_to_disk("topics")
    with pytest.raises(FlixError, match="holds Value.*must hold text"):
        benchmark(dataset="topics", language_column="lang")


def test_an_unlabelled_row_is_refused_and_its_label_is_no_text():
    table = rows(label=[0, -1]).cast_column("label", ClassLabel(names=["neg", "pos"]))
    DatasetDict(train=table).save_to_disk("topics")
    data = benchmark(dataset="topics", language_column="lang")
    assert pairs(data, "sw", "train") == [("Swahili: a", "neg")]
    with pytest.raises(FlixError, match="train, lang=ha, line 1: field 'label' of task 'topic' is null"):
        pairs(data, "ha", "train")


def test_class_labels_are_names_however_nested():
    tag = ClassLabel(names=["O", "B-PER"])
    kinds = {"tags": List(tag), "deep": List({"tag": tag, "more": List(List(tag))})}
    odd = {"tags": [1, 0, -1], "deep": [{"tag": 1, "more": [[0], [1, 0]]}]}
    table = Dataset.from_dict(
        {"text": ["a"], "label": ["x"], "odd": [odd]},
        features=Features({"text": Value("string"), "label": Value("string"), "odd": kinds}),
    )
    DatasetDict(train=table).save_to_disk("topics")
    prompt = "{text} {odd.tags.0} {odd.tags.1} {odd.deep.0.tag} {odd.deep.0.more.1.0} {odd.deep.0.more.1.1}"
    data = benchmark(dataset="topics", configs={"sw": None}, prompt=prompt)
    assert pairs(data, "sw", "train") == [("a B-PER O B-PER B-PER O", "x")]
    with pytest.raises(FlixError, match="'odd.tags.2' of task 'topic' is null"):
        pairs(benchmark(dataset="topics", configs={"sw": None}, prompt="{odd.tags.2}"), "sw", "train")


MEDIA = {
    "sound": (Audio(), [{"bytes": b"RIFF", "path": ""}] * 2),
    "a picture": (Image(), [{"bytes": b"no picture", "path": ""}] * 2),
    "pictures": (List(Image()), [[{"bytes": b"no picture", "path": ""}]] * 2),
}


@pytest.mark.parametrize("kind", MEDIA)
def test_media_that_no_prompt_holds_are_not_decoded(kind):
    feature, stored = MEDIA[kind]
    DatasetDict(train=of_kind(feature, *stored)).save_to_disk("topics")
    data = benchmark(dataset="topics", language_column="lang")
    assert pairs(data, "sw", "train") == [("Swahili: a", "x")]
    with pytest.raises(FlixError, match="field 'odd' of task 'topic' is (dict|list); it must be text"):
        pairs(benchmark(dataset="topics", language_column="lang", prompt="{odd}"), "sw", "train")


BROKEN = {
    "a broken row": (
        {"train_jsonl": '{"text": "a", "label": "x"}\n{"text": \n'},
        "files/train.jsonl, line 2: is no JSON",
    ),
    "a script": ({"files_py": "import datasets\n"}, "cannot be loaded.*no longer supported.*save_to_disk"),
    "no rows": ({"train_csv": ""}, "dataset 'files' cannot be loaded: "),
    "no table": ({"train_parquet": "PAR1"}, "dataset 'files' cannot be loaded: "),
    "a pointer": (
        {"train_parquet": "version https://git-lfs.github.com/spec/v1\n"},
        "dataset 'files' cannot be loaded",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_folder_that_the_library_cannot_read_is_one_line(case, capsys):
    files, message = BROKEN[case]
    folder(**files)
    with pytest.raises(FlixError, match=message) as caught:
        benchmark(dataset="files", configs={"sw": None})
    assert "\n" not in str(caught.value)
    task = "dataset: files, configs: {sw: null}, prompt: T, target: T, metric: exact_match, max_target_tokens: 8"
    assert call("validate", "benchmark=huggingface", f"+benchmark.tasks.topic={{{task}}}") == 1
    assert f"error: {caught.value}\n" in capsys.readouterr().err, "the command tells the place, too"


def test_a_home_folder_is_found(monkeypatch, saved):
    monkeypatch.setenv("HOME", str(Path.cwd()))
    assert pairs(benchmark(dataset="~/topics", language_column="lang"), "ha", "train") == [("Hausa: b", "news")]


def test_a_row_that_the_library_cannot_give_is_told_by_its_number(saved, monkeypatch):
    def fail(self):
        yield {"text": "a", "label": 0, "lang": "sw"}
        raise pyarrow.ArrowInvalid("offsets are damaged")

    data = benchmark(dataset=saved, configs={"sw": None})
    monkeypatch.setattr(Dataset, "__iter__", fail)
    with pytest.raises(FlixError, match="dataset topics, train, line 2: cannot be read: offsets are damaged"):
        pairs(data, "sw", "train")
