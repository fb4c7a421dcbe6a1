"""Tables are what the committed records say, and nothing typed by hand."""

import json
import shutil
from pathlib import Path

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.report.comparison import by_model, comparison, spread
from flix_lightning.report.heatmap import mean_cells
from flix_lightning.report.policies import FOLDER, policies_table
from flix_lightning.report.results import BEGIN, END, collect, fill_readme, read, regenerate
from tests.commands.test_commands import run_command
from tests.configs import ROOT

RESULTS = ROOT / "results"


def record(adapter: str, seed: int, ner: float, qa: float):
    cells = [
        {"task": "ner", "language": "sw", "group": "seen", "score": ner},
        {"task": "ner", "language": "yo", "group": "seen", "score": ner + 2},
        {"task": "qa", "language": "ln", "group": "unseen language", "score": qa},
    ]
    config = {"adapter": {"name": adapter}, "seed": seed}
    return {
        "best_validation_score": ner,
        "config": config,
        "cells": cells,
        "parameters": {"task": 1200, "language": 34},
        "active_rank": 6,
    }


def test_a_comparison_equals_the_one_worked_out_by_hand():
    records = [record("lora", 0, 50, 10), record("flix", 1, 62, 20), record("flix", 0, 60, 24)]
    # flix: ner (61 + 63) / 2 = 62 ± 1.4, qa 22 ± 2.8, mean (42.5 + 41.5) / 2 = 42 ± 0.7; lora: 51, 10, 30.5
    assert comparison(records).splitlines() == [
        "| method | seeds | trainable | active rank | validation | ner | qa unseen lang. | mean |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| flix | 2 | 1,234 | 6 | **61.0 ± 1.4** | **62.0 ± 1.4** | **22.0 ± 2.8** | **42.0 ± 0.7** |",
        "| lora | 1 | 1,234 | 6 | 50.0 | 51.0 | 10.0 | 30.5 |",
    ]


def test_models_and_number_formats_have_tables_of_their_own():
    records = [record("flix", 0, 60, 24), record("flix", 0, 50, 20), record("flix", 1, 40, 20)]
    for one, model in zip(records, ("one", "other", "other"), strict=True):
        one["config"]["model"] = {"_target_": f"x.load_{model}"}
    assert by_model(records[1:], comparison) == comparison(records[1:])
    first, second = (
        f"## `{name}`\n\n{comparison(own)}" for name, own in (("one", records[:1]), ("other", records[1:]))
    )
    assert by_model(records, comparison) == f"{first}\n{second}"
    formats = [{**one, "precision": one["config"]["model"]["_target_"]} for one in records]
    assert by_model(formats, comparison).count("## ") == 2


def test_settings_that_differ_are_columns_and_a_setting_that_came_later_is_not():
    records = [record("flix", 0, 60, 24), record("flix", 0, 50, 20), record("flix", 1, 60, 24)]
    for one, lr in zip(records, (0.01, 0.1, 0.01), strict=True):
        one["config"]["optimizer"] = {"lr": lr}
    records[0]["config"] |= {"data": {"new": True}, "logger": {"project": "a"}, "trainer": {"devices": 1}}
    records[1]["config"] |= {"logger": {"project": "b"}, "trainer": {"devices": 2}}
    head, _, first, second = comparison(records).splitlines()
    assert head.startswith("| method | lr | seeds |")
    assert first.startswith("| flix | 0.01 | 2 |")
    assert second.startswith("| flix | 0.1 | 1 |")


def test_the_projections_adapted_are_a_setting():
    records = [record("flix", 0, 60, 24), record("flix", 0, 50, 20)]
    for one, modules in zip(records, ("all-linear", ["q_proj", "v_proj"]), strict=True):
        one["config"]["adapter"] |= {"target_modules": modules}
    table = comparison(records).splitlines()
    assert table[0].startswith("| method | target_modules | seeds |")
    assert table[3].startswith("| flix | q_proj, v_proj | 1 |")


def test_what_follows_from_a_method_is_a_setting_where_runs_of_one_method_differ_in_it():
    records = [record("flix", 0, 60, 24), record("lora", 0, 50, 20)]
    for one, axes in zip(records, (["task"], []), strict=True):
        one["config"]["adapter"] |= {"dropout_axes": axes}
    assert comparison(records).startswith("| method | seeds |")
    other = record("flix", 0, 60, 24)
    other["config"]["adapter"] |= {"dropout_axes": ["language"]}
    head, _, *rows = comparison([*records, other]).splitlines()
    assert head.startswith("| method | dropout_axes | seeds |")
    starts = ("| flix | language | 1 |", "| flix | task | 1 |", "| lora | none | 1 |")
    assert all(row.startswith(start) for row, start in zip(sorted(rows), starts, strict=True))


def test_the_mean_of_a_cell_is_over_seeds():
    assert mean_cells([record("flix", 0, 60, 24), record("flix", 1, 62, 20)])["ner", "yo"] == 63


def test_spread_is_the_sample_standard_deviation():
    assert spread([1.0, 2.0, 3.0]) == "2.0 ± 1.0"
    assert spread([7.25]) == "7.2"


@pytest.mark.parametrize("folder", sorted(path for path in RESULTS.glob("*") if path.is_dir()), ids=lambda p: p.name)
def test_committed_tables_are_made_from_the_committed_records(folder):
    table = policies_table if folder.name == FOLDER else comparison
    assert (RESULTS / f"{folder.name}.md").read_text(encoding="utf8") == by_model(list(read(folder).values()), table)


@pytest.mark.slow
def test_the_committed_page_and_readme_are_made_from_the_committed_records(tmp_path):
    for folder in ("results", "speed"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "README.md", tmp_path)
    regenerate(tmp_path / "results", tmp_path / "README.md")
    for name in ("README.md", "results/README.md", "results/when_flix_helps.md"):
        assert (tmp_path / name).read_text(encoding="utf8") == (ROOT / name).read_text(encoding="utf8")
    assert {path.name for path in (tmp_path / "results").iterdir()} == {path.name for path in RESULTS.iterdir()}


def test_a_readme_without_marks_is_refused():
    Path("README.md").write_text(f"{BEGIN} {END}")
    fill_readme(Path("README.md"), "| table |")
    assert "| table |" in Path("README.md").read_text()
    Path("README.md").write_text("no marks")
    with pytest.raises(FlixError, match="marks"):
        fill_readme(Path("README.md"), "")


def test_collecting_from_where_no_run_is_refused(tmp_path):
    with pytest.raises(FlixError, match="no finished run"):
        collect([tmp_path / "nothing"], tmp_path)


def test_the_table_of_own_runs_is_shown_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    for seed, score in enumerate((50, 52)):
        run = tmp_path / "runs" / "mine" / str(seed)
        run.mkdir(parents=True)
        (run / "record.json").write_text(json.dumps(record("flix", seed, score, 10)))
    before = sorted(tmp_path.rglob("*"))
    assert run_command("report", "runs/mine", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == comparison([record("flix", 0, 50, 10), record("flix", 1, 52, 10)])
    assert sorted(tmp_path.rglob("*")) == before
