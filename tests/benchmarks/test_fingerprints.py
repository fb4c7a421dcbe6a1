"""Fingerprints of data: equal for equal rows, another for anything that decides them."""

import os
from functools import partial

import pytest
from datasets import Dataset, DatasetDict

from flix_lightning.benchmarks.cldr.benchmark import Cldr
from flix_lightning.benchmarks.cldr_compositional.benchmark import CldrCompositional
from flix_lightning.benchmarks.declared import DeclaredBenchmark
from flix_lightning.features import Cell

SW, YO = Cell("qa", "sw"), Cell("qa", "yo")
SW = Cell("qa", "sw")


def test_a_file_that_changes_is_another_one_and_a_tolerance_is_not_kept(tmp_path):
    path = tmp_path / "qa/train/sw.jsonl"
    path.parent.mkdir(parents=True)
    tasks = {"qa": {"prompt": "{input}", "metric": "f1", "max_target_tokens": 8}}

    def told(rows: str) -> str | None:
        path.write_text(rows)
        return DeclaredBenchmark(str(tmp_path), tasks).fingerprint(SW, "train")

    rows = '{"input": "a", "target": "b"}\n'
    first = told(rows)
    os.utime(path, ns=(1, 1))
    assert DeclaredBenchmark(str(tmp_path), tasks).fingerprint(SW, "train") != first
    base = DeclaredBenchmark(str(tmp_path), tasks).fingerprint(SW, "train")
    assert base == DeclaredBenchmark(str(tmp_path), tasks).fingerprint(SW, "train")
    assert told(rows + rows) != base
    path.write_text(rows)
    os.utime(path, ns=(1, 1))
    longer = {"qa": tasks["qa"] | {"prompt": "Say: {input}"}}
    for changes in ({"rows": {"train": 1}}, {"names": {"sw": "Kiswahili"}}, {"tasks": longer}):
        benchmark = DeclaredBenchmark(str(tmp_path), changes.pop("tasks", tasks), **changes)
        assert benchmark.fingerprint(SW, "train") != base
    assert DeclaredBenchmark(str(tmp_path), tasks, tolerance=1).fingerprint(SW, "train") is None


def test_a_saved_dataset_has_the_same_fingerprint_each_time(tmp_path):
    rows = {"input": ["a", "b", "c"], "target": ["x", "y", "z"], "code": ["sw", "yo", "sw"]}
    seen = []
    for version, answer in enumerate(("z", "z", "w")):
        rows["target"][2] = answer
        if version != 1:  # the second time the same files are read again
            folder = str(tmp_path / str(version))
            DatasetDict(train=Dataset.from_dict(rows)).save_to_disk(folder)
        task = {"prompt": "{input}", "metric": "f1", "max_target_tokens": 8, "dataset": folder}
        benchmark = DeclaredBenchmark(None, {"qa": {**task, "language_column": "code"}})
        seen.append([part.source("train").fingerprint() for parts in benchmark._parts.values() for part, _ in parts])
    assert seen[0] == seen[1] and not set(seen[0]) & set(seen[2]) and len(set(seen[0])) == 2


@pytest.mark.parametrize("made", [Cldr, partial(CldrCompositional, composite_train_rows=4)])
def test_embedded_benchmarks_tell_their_rows_by_settings_and_code(made, monkeypatch):
    few = {"train": 3, "validation": 2, "test": 2}
    cell = made(few).cells[0]
    assert made(few).fingerprint(cell, "train") == made(few).fingerprint(cell, "train")
    told = {
        made(few).fingerprint(cell, "train"),
        made(few).fingerprint(cell, "test"),
        made(few).fingerprint(made(few).cells[1], "train"),
        made(few, seed=1).fingerprint(cell, "train"),
        made(few | {"train": 4}).fingerprint(cell, "train"),
    }
    assert len(told) == 5
    assert tuple(made(few).stream(cell, "train")) == made(few).examples(cell, "train")
