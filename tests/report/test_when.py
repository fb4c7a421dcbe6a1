"""The page of needs and the main table, from records of both regimes in one folder, through `flix report`."""

import json
import math
import re
from pathlib import Path
from statistics import geometric_mean

from scipy import stats

from flix_lightning.commands.grids import planned
from flix_lightning.data.cells import Cell
from flix_lightning.data.predictions import Prediction, write_predictions
from flix_lightning.report.evidence import Evidence
from flix_lightning.report.feature_rows import feature_rows
from flix_lightning.report.needs import cost
from flix_lightning.report.paper import COMPUTE, FAITHFUL, HELD_OUT, LESS, MAIN_TABLES, PARAM, RECIPE, TABLE_1
from flix_lightning.report.results import BEGIN, END
from flix_lightning.report.when import added_language, answers_in, headline, serving
from tests.commands.test_commands import run_command
from tests.report.test_study import run

PARSED = {"task": "semantic_parsing", "language": "sw", "group": "unseen combination", "score": 1.0}
LANGUAGES = {"am": "seen", "yo": "seen", "gu": "unseen combination", "az": "unseen language"}
METHODS = {
    "lora": {"axes": ["shared"], "dropout_axes": []},
    "lora_param_matched": {"axes": ["shared"], "dropout_axes": []},
    "flix": {"axes": ["task", "language"], "dropout_axes": ["task", "language"]},
    "recipe": {"axes": ["task", "language"], "dropout_axes": ["language"]},
}


def kept_run(method: str, right: int, seed: int = 0, model: str = "tiny", p: float = 0.7, rows: int = 30) -> None:
    """A run of both mixtures in results/, `right` of the rows of each cell answered rightly; predictions for `tiny`."""
    tasks = ["ner", "semantic_parsing", "qa_in_lang", "qa_cross_lang"]
    groups = {
        "joint": {(t, lang): g for t in tasks for lang, g in LANGUAGES.items() if g == "seen" or t == "qa_cross_lang"},
        "held_out_semantic_parsing": {
            ("semantic_parsing", lang): "unseen combination" for lang in ("am", "yo", "de", "fi")
        },
    }
    for mixture, places in groups.items():
        answers = ["right" if (i * 7 + seed) % rows < right else "wrong" for i in range(rows)]
        score = 100 * answers.count("right") / rows
        known = run(
            method.replace("recipe", "flix"), seed, {(*place, g): score for place, g in places.items()}, mixture
        )
        known["config"]["adapter"] |= METHODS[method]
        known["config"] |= {
            "model": {"_target_": f"flix_lightning.models.{model}.load_{model}"},
            "feature_dropout": {"p": p},
        }
        known |= {"precision": "32-true", "parameters": {"all": 100}, "peak_memory_mib": 50.0 + right}
        known |= {"seconds": 90.0, "steps": 4, "validation_scores": [[2, score], [4, score + 1]]}
        known["feature_use"] = {"task=ner": 10 + seed, "task=qa": 20 + seed, "language=sw": 4}
        known["feature_use_alone"] = {"task=ner": 1, "task=qa": 5, "language=sw": 4}
        path = Path("results", mixture, f"{mixture}-{method}-{model}-{seed}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known))
        if model == "tiny":
            cells = [Cell(*place) for place in places]
            write_predictions(
                path, [Prediction(c, i, "exact_match", a, "right") for c in cells for i, a in enumerate(answers)]
            )


def report(monkeypatch) -> tuple[str, str, str]:
    """The page of needs, the results' page and the README's block."""
    Path("README.md").write_text(f"{BEGIN} {END}")
    assert run_command("report", "readme=README.md", monkeypatch=monkeypatch) == 0
    return tuple(Path(name).read_text() for name in ("results/when_flix_helps.md", "results/README.md", "README.md"))


def lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"| {start}")]


def test_both_regimes_in_one_folder(monkeypatch):
    for seed in (0, 1):
        for method, right in {"lora": 12, "lora_param_matched": 15, "flix": 5, "recipe": 24}.items():
            kept_run(method, right, seed)
        kept_run("lora", 20, seed, model="tiny_bytes")
        kept_run("flix", 20, seed, model="tiny_bytes", p=0.3)
    page, results, readme = report(monkeypatch)
    first = page.splitlines()[2]
    assert first.startswith("**One LoRA does not do as well everywhere** where the model knows the languages (`tiny`)")
    assert (
        "**One LoRA and FLix cannot be told apart** where the model knows the tasks (`tiny_bytes`): undecided:" in first
    )
    seen, other = lines(page, "seen average |")
    assert f"| {RECIPE} (80.0) | param-matched LoRA (50.0) | +30.0 |" in seen and seen.endswith("| rows | **holds** |")
    assert "| +0.0 | +0.0 to +0.0 | 0.0 | seeds only | **undecided** |" in other
    (memory, _) = lines(page, "memory | peak")
    assert "| FLix (paper's dropout) (55 MiB) | compute-matched LoRA (62 MiB) | 1.13 times |" in memory
    assert lines(page, "adding a language later")[0].count("not run") == 2

    assert f"| {FAITHFUL} beats {COMPUTE} on average | Table 1, avg | 0 | +7.3 |" in results
    assert all(line.endswith("| rows | **holds** |") for line in lines(results, f"{RECIPE} beats"))
    assert all(line.endswith("| rows | **fails** |") for line in lines(results, f"{FAITHFUL} beats"))
    assert all("seeds only" in line or "not run" in line for line in lines(results, "FLix beats"))
    assert results.count("| Table 2, avg | 0 | +3.0 |  |  |  | 0 |  | **not run** |") == 1
    assert "`tiny`" in readme and f"| {RECIPE} | 2 | **80.0" in readme and "`tiny_bytes`" not in readme
    joint = Path("results/joint.md").read_text()
    assert joint.startswith("## `tiny`, 32-true\n") and "## `tiny_bytes`, 32-true" in joint


def test_the_second_regime_stands_in_the_readme_until_the_first_has_runs(monkeypatch):
    kept_run("lora", 20, model="tiny_bytes")
    kept_run("flix", 5, model="tiny_bytes", p=0.3)
    page, results, readme = report(monkeypatch)
    assert "`tiny_bytes`" in readme and "not run" in readme
    assert "Not run: where the model knows the languages (`tiny`)." in page.splitlines()[2]
    assert "20 claims: not run." in results
    (seen,) = (line for line in lines(page, "seen average |") if "(66.7)" in line)
    assert seen.endswith("| +50.0 | unknown | unknown | seeds only, one seed | **undecided** |")


def test_one_lora_that_is_ahead_is_said_first(monkeypatch):
    for seed in (0, 1):
        kept_run("lora", 25, seed)
        kept_run("flix", 5, seed)
    page, *_ = report(monkeypatch)
    short = "**One LoRA does as well as FLix or better in all that can be told apart**"
    assert page.splitlines()[2].startswith(
        f"{short} where the model knows the languages (`tiny`): LoRA is ahead in seen "
    )


def test_a_column_is_redone_by_the_command_that_the_page_tells(monkeypatch):
    for method, right in {"lora": 12, "lora_param_matched": 15, "flix": 6}.items():
        kept_run(method, right, p=0.3)
    _, results, _ = report(monkeypatch)
    told = results.partition("## Redo a column")[2].partition("\n## ")[0]
    assert "took 4 minutes of training" in told  # 4.5, to even
    assert [line.split(" | ")[-1] for line in told.splitlines()[-4:] if "LoRA" in line] == ["40.0 |", "50.0 |"]
    command, *words = re.search(r"    flix (.*)", told)[1].split()
    assert command == "studies" and words[-2:] == ["processes=2", "results=mine"]
    studies, more = ([word for word in words[:-2] if ("=" in word) == setting] for setting in (False, True))
    made = {run.config["name"]: run.config for study in studies for run in planned(study, more)}
    assert {config["seed"] for config in made.values()} == {0} and len(made) == 3
    label = next(column for column in TABLE_1.columns if column.label == HELD_OUT)
    records = [{"config": config, "cells": [PARSED]} for config in made.values()]
    assert all(TABLE_1.runs(records, TABLE_1.row(method), label) for method in (COMPUTE, PARAM, LESS))


def test_without_any_run_of_a_method_nothing_is_best():
    answers = {table.name: answers_in(Evidence({}), table, Path("results")) for table in MAIN_TABLES}
    assert {answer.verdict for found in answers.values() for answer in found} == {"not run"}
    assert headline(answers).count("Not run:") == 2


def test_costs_are_ratios_with_students_interval_of_their_logarithms():
    ours, theirs = {0: 2.0, 1: 3.0, 2: 2.5}, {0: 3.0, 1: 4.0, 2: 4.5}
    found = cost(
        "need", "time", {"FLix": ours, "one LoRA": theirs, "slow LoRA": {0: 9.0, 1: 9.0, 2: 9.0}}, "rounds", " s"
    )
    logs = [math.log(theirs[i] / ours[i]) for i in ours]
    low, high = map(math.exp, stats.ttest_1samp(logs, 0).confidence_interval())
    assert found[2:4] == ("FLix (2.5 s)", "one LoRA (3.83 s)")
    assert found[4:6] == (f"{geometric_mean(map(math.exp, logs)):.2f} times", f"{low:.2f} to {high:.2f}")
    assert found.evidence == "3 rounds" and found.verdict == ("holds" if low > 1 else "undecided")
    exact = cost("need", "room", {"FLix": {0: 1.0}, "LoRA": {0: 4.0}}, "")
    assert exact[4:9] == ("4.00 times", "", "", "exact", "holds")
    assert cost("need", "room", {"FLix": {0: 1.0}}, "").verdict == "not run"


def test_serving_is_read_from_the_measurements_of_the_regimes_model():
    Path("speed/records").mkdir(parents=True)
    seconds = {"flix": [1.2, 1.3], "merged": [1.0, 1.1], "peft_adapter_names": [4.0, 4.0]}
    timed = {"seconds": {name: {"cpu": values} for name, values in seconds.items()}}
    Path("speed/records/tiny-generation.json").write_text(json.dumps(timed))
    sizes = {"the bank": 8e6, "12 cells": 96e6}
    served = {"backbone": "tiny", "cells": 12, "sizes": sizes, "rates": {"composed": [2.0], "static": [4.0]}}
    Path("speed/serving.json").write_text(json.dumps(served))
    batch, room, request = serving(Path("speed"), "tiny")
    assert (batch.best, batch.rival) == ("one LoRA, merged (1.05 s)", "FLix, cells mixed in a batch (1.25 s)")
    assert (room.best, room.difference) == ("FLix, one bank (8 MB)", "12.00 times")
    assert request.best == "LoRA for each cell, loaded at the start (0.25 s)" and request.evidence == "1 rounds"
    assert {answer.verdict for answer in serving(Path("speed"), "tiny_bytes")} == {"not run"}


def test_an_added_language_stands_in_the_regime_of_its_model():
    model = {"model": {"_target_": "flix_lightning.models.tiny.load_tiny"}}
    row = {"task": "ner", "language": "sw", "group": "seen"}
    joint, extended = (
        {"cells": [{**row, "score": score}], "steps": steps, "parameters": {"task": 1}, "config": model}
        for score, steps in ((90.0, 400), (88.0, 60))
    )
    features = {"of_base": 2, "unchanged": 2, "in_all": 3}
    Path("new.json").write_text(json.dumps({"joint": joint, "extended": extended, "features": features}))
    found = added_language(Path("new.json"), "tiny")
    assert found.difference == "-2.0" and found.evidence == "seeds only, one seed" and found.verdict == "undecided"
    assert "60 steps" in found.best and "LoRA: not run" in found.best
    assert added_language(Path("new.json"), "tiny_bytes").verdict == "not run"


def test_rows_a_feature_by_hand():
    for seed in (0, 2):
        kept_run("flix", 5, seed)
    kept_run("lora", 5, 0)
    records = [json.loads(path.read_text()) for path in sorted(Path("results").rglob("*.json"))]
    for record in records:
        if record["config"]["adapter"]["name"] == "lora":
            del record["feature_use_alone"]
    found = feature_rows(TABLE_1, records).splitlines()
    assert f"| {FAITHFUL} | joint | task | 2 | 16 | 3 | 13 |" in found  # of 10, 20, 12, 22; 1, 5; 9, 15, 11, 17
    assert f"| {FAITHFUL} | joint | language | 1 | 4 | 4 | 0 |" in found
    assert f"| {COMPUTE} | joint | task | 2 | 15 | not recorded | not recorded |" in found
    for record in records:
        record.pop("feature_use")
    assert f"| {COMPUTE} | joint |  |  | not recorded | not recorded | not recorded |" in feature_rows(TABLE_1, records)
    assert feature_rows(TABLE_1, []) is None
