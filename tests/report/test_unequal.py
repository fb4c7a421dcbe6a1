"""Runs that are not alike, and files that are no records: tables with gaps or one line, no average over other cells."""

import json
from copy import deepcopy
from pathlib import Path

import pytest

from flix_lightning.common.errors import FlixError
from flix_lightning.evaluation.kept_scores import keep_scores
from flix_lightning.report.comparison import comparison
from flix_lightning.report.compositional import study_table
from flix_lightning.report.diversity import gain
from flix_lightning.report.heatmap import mean_cells
from flix_lightning.report.new_language import table as new_language_table
from flix_lightning.report.policies import policies_table
from tests.own import call
from tests.report.test_compositional import record as method_record
from tests.report.test_new_language import FOUND
from tests.report.test_report import record as full_record
from tests.report.test_study import STUDY, cells, run


def record(adapter: str, seed: int = 0, **scores: float) -> dict:
    """Of a run that has scored `ner_sw=50`, ...; a language called xx is an unseen one."""
    rows = [{"task": name[:-3], "language": name[-2:], "score": score} for name, score in scores.items()]
    group = {True: "unseen language", False: "seen"}
    found = [{**row, "group": group[row["language"] == "xx"]} for row in rows]
    return {**full_record(adapter, seed, 0, 0), "cells": found}


def lines(records) -> list[str]:
    return [line.replace(" | 1,234 | 6 | **0.0**", "") for line in comparison(records).splitlines()]


def test_other_tasks_leave_gaps_and_the_mean_is_of_the_columns_that_all_have():
    found = lines([record("flix", ner_sw=60, qa_sw=20), record("lora", ner_sw=50, title_sw=80)])
    assert found[0].endswith("| validation | ner | qa | title | mean |")
    assert found[2:] == [
        "| flix | 1 | **60.0** | **20.0** |  | **60.0** |",
        "| lora | 1 | 50.0 |  | **80.0** | 50.0 |",
        "",
        "mean: over the columns of all runs, ner.",
    ]


def test_a_column_is_over_the_cells_that_all_runs_with_it_have():
    records = [record("flix", ner_sw=60, ner_yo=0, ner_am=9), record("lora", ner_sw=50, ner_am=10, ner_ha=100)]
    assert lines(records)[2:] == [
        "| flix | 1 | **34.5** | **34.5** |",
        "| lora | 1 | 30.0 | 30.0 |",
        "",
        "ner: over the 2 of 4 cells that all runs with this column scored.",
    ]
    assert "| flix | 1 |  |  |" in lines([record("flix", ner_sw=60), record("lora", ner_yo=50)])


def test_seeds_with_other_cells_are_not_averaged_over_them():
    records = [record("flix", 0, ner_sw=60, qa_xx=1), record("flix", 1, ner_sw=40, ner_yo=100)]
    assert lines(records)[2].endswith("| **50.0 ± 14.1** | **1.0 (1 of 2)** | **50.0 ± 14.1** |")


def test_a_seed_counts_once_and_several_runs_of_one_are_told():
    one, other = record("flix", ner_sw=60), record("flix", ner_sw=40)
    assert lines([one, deepcopy(one)]) == lines([one])
    assert lines([one, other])[-1] == "flix: the runs are not one a seed, but 2 of seed 0."


def test_other_rows_under_one_config_are_a_setting():
    records = [{**record("flix", seed, ner_sw=60), "data": {"test": digest * 8}} for seed, digest in enumerate("aab")]
    found = lines(records)
    assert found[0].startswith("| method | data | seeds |") and len(found) == 4
    for one, languages in zip(records, ("all", "all", "sw"), strict=True):  # as the config says
        one["config"]["mixture"] = {"languages": languages}
    assert lines(records)[0].startswith("| method | languages | seeds |")


@pytest.mark.parametrize("lacking", ["best_validation_score", "parameters", "active_rank"])
def test_what_earlier_versions_did_not_write_is_a_gap(lacking):
    old = record("lora", ner_sw=50)
    del old[lacking]
    assert "|  |" in comparison([record("flix", ner_sw=60), old])


def test_the_picture_shows_what_both_have(capsys):
    write("runs/a", record("flix", ner_sw=60, qa_sw=20))
    write("runs/b", record("lora", ner_sw=50, title_yo=80))
    assert call("report", "runs/a", "runs/b", "picture=d.svg") == 0
    assert b"<svg" in Path("d.svg").read_bytes()
    write("runs/b", record("lora", title_yo=80))
    assert call("report", "runs/a", "runs/b", "picture=e.png") == 1
    assert "no cell in common" in capsys.readouterr().err and not Path("e.png").exists()
    assert mean_cells([record("flix", 0, ner_sw=1), record("flix", 1, ner_sw=3, qa_sw=5)])["qa", "sw"] == 5


def write(folder: str, content: object) -> Path:
    path = Path(folder, "record.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


GOOD = record("flix", ner_sw=60)
NO_RECORDS = {
    "": "no JSON",
    "{": "no JSON",
    "[]": "dictionary",
    '{"cells": []}': "config",
    json.dumps({**GOOD, "config": {"seed": 0}}): "config.adapter",
    json.dumps({**GOOD, "config": {**GOOD["config"], "seed": "0"}}): "config.seed",
    json.dumps({**GOOD, "cells": [{"task": "ner"}]}): "cells.0.language",
    json.dumps({**GOOD, "cells": [{**GOOD["cells"][0], "score": None}]}): "cells.0.score",
    json.dumps({**GOOD, "parameters": [3]}): "parameters",
    '{"a": "\ud800"}'.encode("utf8", "surrogatepass").decode("latin1"): "config",
}


@pytest.mark.parametrize("content", NO_RECORDS, ids=range(len(NO_RECORDS)))
def test_a_damaged_or_foreign_record_is_one_line(content, capsys):
    write("runs/good/0", GOOD)
    path = write("runs/odd/0", content)
    for words in (["runs"], ["collect=[runs]"]):
        assert call("report", *words) == 1
        told = capsys.readouterr().err
        assert repr(str(path)) in told and NO_RECORDS[content] in told and "Traceback" not in told
    path.with_name("config.json").write_text(json.dumps(GOOD["config"]))
    path.with_name("overrides.txt").touch()
    assert call("runs") == 0
    assert "damaged" in capsys.readouterr().out
    Path("results/joint").mkdir(parents=True)
    Path("results/joint/odd.json").write_text(content)
    assert call("report") == 1
    assert "results/joint/odd.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, told",
    [
        (["runs/nowhere"], "'runs/nowhere'"),
        (["runs", "picture=nodir/d.png"], "cannot write 'nodir/d.png': No such file or directory."),
        (["runs", "picture=d.xyz"], "the ending of 'd.xyz' 'xyz'"),
        (["collect=[nowhere]"], "no finished run lies in 'nowhere'"),
        (["collect=[runs]"], "name"),
        (["policies=[runs]"], "no run in 'runs' was evaluated"),
        (["results=runs", "readme=README.md"], "'README.md' is no file"),
    ],
)
def test_what_is_not_there_is_one_line(words, told, capsys):
    write("runs/flix", GOOD)
    write("runs/lora", record("lora", ner_sw=50))
    assert call("report", *words) == 1
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert told in line and "when there is room" not in line


def test_a_new_languages_table_needs_cells_in_common_and_names_its_languages():
    found = deepcopy(FOUND)
    found["extended"]["config"]["mixture"] = {"languages": "sw"}
    assert "Test scores of sw on" in new_language_table(found)
    found["joint"]["cells"] = found["joint"]["cells"][2:]
    with pytest.raises(FlixError, match="no cell in common"):
        new_language_table(found)


@pytest.mark.parametrize("name", ["new_language.json", "compositional.json"])
@pytest.mark.parametrize("content", ["", "3", "[{}]", "{}", '{"joint": 3}'])
def test_other_files_of_results_are_told_too(name, content, capsys):
    Path("results").mkdir()
    Path("results", name).write_text(content)
    assert call("report") == 1
    told = capsys.readouterr().err
    assert f"results/{name}" in told and "Traceback" not in told


def test_the_compositional_study_compares_records_of_the_same_tasks():
    records = [method_record("LoraHub", seed, 1, 2) for seed in (0, 1)]
    records[1]["cells"].append({"task": "ner+style_long", "score": 1.0})
    with pytest.raises(FlixError, match="not all scored the same tasks"):
        study_table(records)
    for odd in ({"task": "qa+colour", "score": 1.0}, {"task": "qa", "score": 1.0}):
        with pytest.raises(FlixError, match=f"LoraHub, seed 0: .*{odd['task'].replace('+', '.')}"):
            study_table([{**records[0], "cells": [*records[0]["cells"], odd]}])
    with pytest.raises(FlixError, match="some of each"):
        study_table([{**records[0], "cells": records[0]["cells"][:2]}])


def test_a_studys_column_holds_runs_of_the_same_cells():
    other = {**cells(50, 99, 10), ("ner", "yo", "seen"): 0}
    with pytest.raises(FlixError, match=r"Table, NER: ours, seed 0 and theirs, seed 0 .* ner/yo\."):
        STUDY.table([run("flix", 0, cells(60, 0, 24)), run("lora", 0, other)])
    assert gain(run("flix", 0, cells(60, 0, 24)), run("flix", 0, {("ner", "yo", "seen"): 1}), "ner") is None


# --- policies for unseen languages ---


def evaluation(policy: str, seed: int = 0, adapter: str = "flix", **scores: float) -> dict:
    """What an evaluation of a run keeps."""
    known = {"split": "test", "benchmark": "cldr", "source": None, "adapters": "1", "precision": "32-true"}
    counts = {"unscored_cells": [], "stand_ins": {}, "left_out_rows": 0, "truncated_examples": 0}
    found = record(adapter, seed, **scores)
    rows = [{**row, "group": "unseen language", "rows": "1"} for row in found["cells"]]
    return {**found, **known, **counts, "unseen_language": {"stand_in": policy}, "cells": rows}


def test_the_mean_of_policies_is_over_the_cells_that_all_have():
    found = policies_table([evaluation("family", qa_gu=50), evaluation("task_only", qa_gu=40, qa_az=80)]).splitlines()
    assert found[2:] == [
        "| qa | az | Turkic | Latn | **80.0** |  |",
        "| qa | gu | Indic | Gujr | 40.0 | **50.0** |",
        "| mean of the 1 that all have |  |  |  | 40.0 | **50.0** |",
        "| seeds |  |  |  | 1 | 1 |",
    ]
    apart = policies_table([evaluation("family", qa_gu=50), evaluation("task_only", qa_az=80)]).splitlines()
    assert apart[-2] == "| mean of the 0 that all have |  |  |  |  |  |"


def test_one_policy_with_several_settings_has_a_column_for_each():
    found = [evaluation("few_shot", qa_gu=score) for score in (50, 60)]
    for one, examples in zip(found, (4, 16), strict=True):
        one["unseen_language"] |= {"examples": examples}
    assert "| few_shot examples=4 | few_shot examples=16 |" in policies_table(found).splitlines()[0]


@pytest.mark.parametrize(
    "other, told",
    [
        (evaluation("family", 1, "lora", qa_gu=1), "adapter.method: 'flix' and 'lora'"),
        ({**evaluation("family", 1, qa_gu=1), "benchmark": "directory"}, "several benchmarks .*cldr, directory"),
        ({**evaluation("family", 1, qa_gu=1), "source": {"root": "x"}}, "several benchmarks"),
        ({**evaluation("family", 1, qa_gu=1), "precision": "bf16-mixed"}, "number formats"),
    ],
)
def test_evaluations_of_unlike_runs_make_no_one_table(other, told):
    with pytest.raises(FlixError, match=told):
        policies_table([evaluation("task_only", qa_gu=50), other])


def test_policies_of_several_models_have_tables_of_their_own():
    found = [evaluation("task_only", qa_gu=50), evaluation("task_only", 1, qa_gu=40)]
    for one, model in zip(found, ("tiny", "tiny_bytes"), strict=True):
        one["config"]["model"] = {"_target_": f"x.load_{model}"}
        keep_scores(Path("runs/flix", model), one)
    assert call("report", "policies=[runs]") == 0
    told = Path("results/unseen_languages.md").read_text()
    assert told.startswith("## `tiny`, 32-true\n") and "## `tiny_bytes`, 32-true\n" in told


def test_evaluations_on_other_rows_make_no_one_table():
    other = evaluation("family", 1, qa_gu=50)
    other["cells"][0]["rows"] = "2"
    with pytest.raises(FlixError, match="several sets of rows of qa/gu"):
        policies_table([evaluation("task_only", qa_gu=50), other])


def test_policies_without_an_unseen_language_are_one_line(capsys):
    found = evaluation("task_only", ner_sw=50)
    found["cells"][0]["group"] = "seen"
    keep_scores(Path("runs/flix/0"), found)
    assert call("report", "policies=[runs]") == 1
    assert "none of the evaluations has scored a language that was not trained" in capsys.readouterr().err
    assert not Path("results").exists(), "nothing is copied that makes no table"
    Path("runs/flix/0/scores-cldr-test-2.json").write_text("{}")
    assert call("report", "policies=[runs]") == 1
    assert "scores-cldr-test-2.json" in capsys.readouterr().err
