"""Evaluations keep their scores beside those of others: any part, any order, any setting, any data of the same name."""

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.data.predictions import Prediction, read_predictions
from flix_lightning.evaluation.kept_scores import keep_scores, merged
from flix_lightning.report.comparison import average
from tests.own import CONFIG, LANGUAGES, OWN, TASKS, call, trained, write_project, write_rows

# --- by the command ---


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A run of a user's own, with Bengali never trained."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_project()
        trained("+mixture.train={title: [sw, yo], topic: [sw, yo]}")
    return folder


@pytest.fixture
def run(project, tmp_path, monkeypatch) -> Path:
    shutil.copytree(project, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    (record,) = Path("runs").glob("*/*/record.json")
    return record.parent


def evaluate(run: Path, *words: str) -> int:
    return call("evaluate", f"run={run}", "accelerator=cpu", *words)


def kept(run: Path) -> dict[str, dict]:
    return {path.name: json.loads(path.read_text()) for path in sorted(run.glob("scores-*.json"))}


def numbers(scores: dict) -> dict[tuple[str, str], float]:
    return {(row["task"], row["language"]): row["score"] for row in scores["cells"]}


def test_no_evaluation_takes_the_place_of_another(run, capsys):
    assert evaluate(run) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"scores {run}/scores-directory-test.json"
    full = kept(run)["scores-directory-test.json"]
    assert len(numbers(full)) == len(TASKS) * len(LANGUAGES) and len(set(numbers(full).values())) > 1

    assert evaluate(run, "languages=[sw]") == evaluate(run, "tasks=[topic]", "eval_batch_size=1") == 0
    assert kept(run) == {"scores-directory-test.json": full}, "the same cells in the same way: the same scores"

    write_rows("other", "dunia", languages=("sw", "yo"))
    assert evaluate(run, *OWN, "benchmark.root=other") == 0
    write_rows("mine/data", "mpya", tasks=["topic"], languages=["sw"])  # the run's own, with other rows
    assert evaluate(run, "tasks=[topic]", "languages=[sw]") == 0
    found = kept(run)
    assert set(found) == {f"scores-directory-{name}.json" for name in ("test", "test-2", "test-3")}
    assert found["scores-directory-test.json"] == full
    assert numbers(found["scores-directory-test-2.json"]).keys() == {(t, la) for t in TASKS for la in ("sw", "yo")}
    assert call("report", str(run)) == call("runs") == 0


def test_few_shot_weights_are_those_of_the_whole_whatever_part_is_scored(run):
    few = ("unseen_language=few_shot", "unseen_language.examples=2")
    assert evaluate(run, *few, "tasks=[topic]") == 0
    part = kept(run)["scores-directory-test-few_shot.json"]
    assert evaluate(run, *few) == 0
    assert evaluate(run, *few, "unseen_language.examples=1", "tasks=[topic]") == 0
    found = kept(run)
    assert sorted(found) == ["scores-directory-test-few_shot-2.json", "scores-directory-test-few_shot.json"]
    whole = found["scores-directory-test-few_shot.json"]
    assert len(numbers(whole)) == 6 and numbers(part).items() <= numbers(whole).items()
    assert whole["stand_ins"] == part["stand_ins"] != found["scores-directory-test-few_shot-2.json"]["stand_ins"]


def test_scores_that_cannot_be_written_are_shown(run, capsys, monkeypatch):
    if os.geteuid() == 0:  # nobody refuses root: a folder stands where the file is to be written
        (run / "scores-directory-test.json.partial").mkdir()
    else:
        run.chmod(0o500)
    before = sorted(run.iterdir())
    assert evaluate(run) == 1
    told = capsys.readouterr()
    assert "topic" in told.out and "mean of columns" in told.out
    (line,) = (line for line in told.err.splitlines() if line.startswith("error: "))
    assert str(run) in line and "out=FOLDER" in line and "Traceback" not in told.err
    assert evaluate(run, "out=there") == 0
    assert len(numbers(kept(Path("there"))["scores-directory-test.json"])) == 6
    assert [path for path in sorted(run.iterdir()) if path.name != ".scores.lock"] == before
    run.chmod(0o700)


# --- by hand: any parts, in any order ---

CELLS = [(task, language) for task in "abc" for language in ("bn", "sw", "yo")]
WAYS = {
    "": {},
    "few": {"unseen_language": {"stand_in": "few_shot", "examples": 4}},
    "fewer": {"unseen_language": {"stand_in": "few_shot", "examples": 1}},
    "other": {"source": {"root": "other"}},
    "half": {"precision": "bf16-mixed"},
    "merged": {"adapters": "of another file"},
    "rows": {},
}
PARTS = st.sets(st.sampled_from(CELLS), min_size=1)
EVALUATIONS = st.lists(st.tuples(st.sampled_from(sorted(WAYS)), PARTS), max_size=6)


def scores(way: str, cells) -> dict:
    """As `evaluate` gives them; what a cell scores follows from the way it is scored in."""
    rows = [
        {
            "task": t,
            "language": la,
            "group": "seen",
            "score": len(way) + CELLS.index((t, la)),
            "rows": str(way == "rows"),
        }
        for t, la in cells
    ]
    run = {"config": {"seed": 0, "adapter": {"name": "flix"}}, "adapters": "1", "precision": "32-true"}
    plain = {**run, "split": "test", "benchmark": "directory", "source": None}
    counts = {"left_out_rows": len(rows), "truncated_examples": 0}
    unscored = [f"{task}/{language}" for task, language in CELLS if language == "bn" and (task, language) not in cells]
    told = {"unseen_language": {"stand_in": "task_only"}, "stand_ins": {}, "unscored_cells": unscored}
    return {**plain, **told, **counts, "cells": rows, **WAYS[way]}


@settings(max_examples=25, deadline=None)
@given(evaluations=EVALUATIONS, place=st.integers(0, 6))
def test_the_full_evaluation_stays_whole(evaluations, place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    full = scores("", CELLS)
    for way, cells in [*evaluations[:place], ("", CELLS), *evaluations[place:]]:
        keep_scores(folder, scores(way, cells))
    found = list(kept(folder).values())
    (own,) = [one for one in found if all(numbers(one).get(cell) == value for cell, value in numbers(full).items())]
    assert own == merged(None, full) and average(own) == average(full)
    for way, cells in evaluations:
        wanted = scores(way, cells)
        assert any(numbers(wanted).items() <= numbers(one).items() for one in found), "no score is lost"


@settings(max_examples=10, deadline=None)
@given(parts=st.permutations(CELLS), cut=st.integers(1, 8))
def test_parts_in_any_order_make_the_whole(parts, cut, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    for cells in (parts[:cut], parts[cut:]):
        path = keep_scores(folder, scores("", cells))
    whole = merged(None, scores("", CELLS))
    assert {**json.loads(path.read_text()), "left_out_rows": 9} == whole and len(kept(folder)) == 1


def test_a_damaged_file_is_told_and_left(tmp_path):
    for content in ("", "{}", "[]", '{"cells": [{}]}', '{"cells": 3}'):
        path = tmp_path / "scores-directory-test.json"
        path.write_text(content)
        with pytest.raises(FlixError, match="scores-directory-test.json"):
            keep_scores(tmp_path, scores("", CELLS))
        assert path.read_text() == content


def test_the_name_of_a_benchmark_leads_nowhere_else(tmp_path):
    path = keep_scores(tmp_path / "run", {**scores("", CELLS), "benchmark": "../../x"})
    assert path.parent == tmp_path / "run" and path.is_file()
    assert "name:" not in CONFIG, "a user's own benchmark is called as all others"


def rows(cells, said: str) -> list[Prediction]:
    """Two rows a cell, answered by `said`."""
    return [Prediction(Cell(*cell), row, "exact_match", said, "b") for cell in cells for row in (1, 0)]


def test_predictions_are_those_of_the_scores_in_the_file(tmp_path):
    first, again = CELLS[3:8], CELLS[:5]
    keep_scores(tmp_path, scores("", first), rows(first, "first"))
    path = keep_scores(tmp_path, scores("", again), rows(again, "again"))
    found = read_predictions(path)
    kept_cells = [(row["task"], row["language"]) for row in json.loads(path.read_text())["cells"]]
    assert [(one.cell.task, one.cell.language, one.row) for one in found] == [
        (*c, n) for c in kept_cells for n in (0, 1)
    ]
    assert {one.prediction for one in found if (one.cell.task, one.cell.language) in again} == {"again"}
    other = keep_scores(tmp_path, {**scores("", first), "strengths": {"language": 0.0}}, rows(first, "without"))
    assert other.name == "scores-directory-test-language-0.json" and len(read_predictions(other)) == 10
    assert read_predictions(path) == found, "other strengths are another way of scoring"
