"""Fingerprints of data: equal for equal rows, another for anything that decides them."""

import os

import pytest
from datasets import Dataset, DatasetDict

from flix_lightning.data.benchmarks.cldr.benchmark import Cldr
from flix_lightning.data.benchmarks.cldr_compositional.benchmark import CldrCompositional
from flix_lightning.data.benchmarks.declared import DeclaredBenchmark
from flix_lightning.data.cells import Cell

SW, YO = Cell("qa", "sw"), Cell("qa", "yo")
SW = Cell("qa", "sw")


def test_a_file_that_changes_is_another_one_and_a_tolerance_is_not_kept(tmp_path):
    path = tmp_path / "qa/train/sw.jsonl"
    path.parent.mkdir(parents=True)
    tasks = {"qa": {"prompt": "{input}", "metric": "f1", "max_target_tokens": 8}}

    def fingerprint_of(rows: str) -> str | None:
        path.write_text(rows)
        return DeclaredBenchmark(str(tmp_path), tasks).fingerprint(SW, "train")

    rows = '{"input": "a", "target": "b"}\n'
    first = fingerprint_of(rows)
    os.utime(path, ns=(1, 1))
    assert DeclaredBenchmark(str(tmp_path), tasks).fingerprint(SW, "train") != first
    base = DeclaredBenchmark(str(tmp_path), tasks).fingerprint(SW, "train")
    assert base == DeclaredBenchmark(str(tmp_path), tasks).fingerprint(SW, "train")
    assert fingerprint_of(rows + rows) != base
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


FEW = {"train": 3, "validation": 2, "test": 2}
CHANGES = ({}, {"seed": 1}, {"rows": FEW | {"train": 4}}, {"rows": FEW | {"test": 3}})
OWN_CHANGES = {
    Cldr: ({"scarce": {"sw": 2}}, {"scarce": {"sw": 1, "yo": 2}}),
    CldrCompositional: ({"composite_train_rows": 2},),
}


@pytest.mark.parametrize("made", OWN_CHANGES)
def test_rows_of_embedded_benchmarks_differ_where_their_fingerprints_do(made):
    base = {"rows": FEW} | ({"composite_train_rows": 4} if made is CldrCompositional else {})
    benchmarks = [made(**(base | change)) for change in (*CHANGES, *OWN_CHANGES[made])]
    cells = [c for c in benchmarks[0].cells if c.language in ("sw", "yo", "en")]
    by_fingerprint = {}
    for benchmark in benchmarks:
        for cell in cells[:3] + cells[-3:]:
            for split in benchmark.splits(cell):
                assert tuple(benchmark.stream(cell, split)) == benchmark.examples(cell, split)
                rows = [(row.prompt, row.target) for row in benchmark.examples(cell, split)]
                by_fingerprint.setdefault(benchmark.fingerprint(cell, split), []).append(rows)
    assert all(rows == same[0] for same in by_fingerprint.values() for rows in same)
    assert len({repr(same[0]) for same in by_fingerprint.values()}) == len(by_fingerprint)
    assert any(len(same) > 1 for same in by_fingerprint.values())
