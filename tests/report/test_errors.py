"""`flix report errors=...`: one run's errors, two runs' side by side, on the screen and as Markdown."""

import json
from pathlib import Path

from flix_lightning.data.benchmarks.benchmark import load_benchmark
from flix_lightning.data.benchmarks.cldr.benchmark import Cldr
from flix_lightning.data.cells import Cell
from flix_lightning.data.predictions import Prediction, predictions_file, read_predictions, write_predictions
from flix_lightning.report.results import collect
from flix_lightning.report.side_by_side import by_cell, errors_first, rows_of
from tests.commands.test_commands import run_command
from tests.configs import composed
from tests.report.test_report import record

SW, YO = Cell("ner", "sw"), Cell("ner", "yo")
TARGETS = ["LOC: a", "LOC: b $$ PER: c", "LOC: d", "no span", "PER: e"]
FLIX = ["LOC: a", "LOC: b", "x", "no span", "PER: \x1b[31mz"]  # right, 66.7, 0, right without any span, 0
LORA = ["x", "LOC: b", "LOC: d", "no span", "PER: y"]


def write(run: str, adapter: str, answers: list[str], targets=TARGETS, metric="span_f1") -> Path:
    """A finished run with these answers in two cells, in Yoruba all right."""
    path = Path("runs", run, "0", "record.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**record(adapter, 0, 50, 10), "split": "test", "benchmark": "cldr"}))
    rows = [Prediction(SW, i, metric, said, asked) for i, (said, asked) in enumerate(zip(answers, targets))]
    write_predictions(path, [*rows, Prediction(YO, 0, metric, "LOC: a", "LOC: a")])
    return path


def report(*words, monkeypatch, capsys) -> str:
    assert run_command("report", *words, monkeypatch=monkeypatch) == 0
    return capsys.readouterr().out


def refused(*words, monkeypatch, capsys) -> str:
    assert run_command("report", *words, monkeypatch=monkeypatch) == 1
    (line, _) = capsys.readouterr().err.splitlines()
    return line


def test_two_runs_side_by_side(monkeypatch, capsys):
    write("flix", "flix", FLIX), write("lora", "lora", LORA)
    words = ("runs/flix", "runs/lora", "errors=ner/sw", "markdown=errors.md")
    assert report(*words, monkeypatch=monkeypatch, capsys=capsys).splitlines() == [
        "A: runs/flix/0/record.json",
        "B: runs/lora/0/record.json",
        "5 rows: 1 both right, 1 A alone right, 1 B alone right, 2 both wrong; shown: 4 of 4 with an error",
        "", "ner/sw row 0", "  target       LOC: a", "  A     100.0  LOC: a", "  B       0.0  x",
        "", "ner/sw row 2", "  target       LOC: d", "  A       0.0  x", "  B     100.0  LOC: d",
        "", "ner/sw row 4", "  target       PER: e", "  A       0.0  PER: \\x1b[31mz", "  B       0.0  PER: y",
        "", "ner/sw row 1", "  target       LOC: b $$ PER: c", "  A      66.7  LOC: b", "  B      66.7  LOC: b",
    ]  # fmt: skip
    assert (
        Path("errors.md").read_text()
        == """\
- A: runs/flix/0/record.json
- B: runs/lora/0/record.json
- 5 rows: 1 both right, 1 A alone right, 1 B alone right, 2 both wrong; shown: 4 of 4 with an error

| cell | row | target | A | score | B | score |
| --- | --- | --- | --- | --- | --- | --- |
| ner/sw | 0 | LOC: a | LOC: a | 100.0 | x | 0.0 |
| ner/sw | 2 | LOC: d | x | 0.0 | LOC: d | 100.0 |
| ner/sw | 4 | PER: e | PER: \\x1b[31mz | 0.0 | PER: y | 0.0 |
| ner/sw | 1 | LOC: b $$ PER: c | LOC: b | 66.7 | LOC: b | 66.7 |
"""
    )


def test_one_run_and_only_so_many(monkeypatch, capsys):
    write("flix", "flix", FLIX)
    told = report("runs/flix", "errors=ner", "rows=1", monkeypatch=monkeypatch, capsys=capsys)
    assert told.splitlines() == [
        "runs/flix/0/record.json", "6 rows: 3 right, 3 wrong; shown: 1 of 3 with an error",
        "", "ner/sw row 1", "  target       LOC: b $$ PER: c", "  said   66.7  LOC: b",
    ]  # fmt: skip
    assert sorted(path.name for path in Path().iterdir()) == ["runs"], "nothing is written"


def test_two_evaluations_of_one_run_are_named_by_their_files(monkeypatch, capsys):
    path = write("flix", "flix", FLIX)
    other = path.with_name("scores-cldr-test-language-0.json")
    other.write_text(json.dumps({**json.loads(path.read_text()), "strengths": {"language": 0}}))
    predictions_file(other).write_bytes(predictions_file(path).read_bytes())
    told = report(str(path), str(other), "errors=ner/sw", monkeypatch=monkeypatch, capsys=capsys)
    assert told.splitlines()[:2] == [f"A: {path}", f"B: {other}"]
    table = report(str(path), str(other), monkeypatch=monkeypatch, capsys=capsys).splitlines()
    assert table[0].startswith("| method | strengths | seeds |")
    assert {line.split(" | ")[1] for line in table[2:]} == {"1", "language=0"}


def test_prompts_are_those_of_the_data(monkeypatch, capsys):
    section = composed("benchmark.rows={train: 1, validation: 1, test: 2}")["benchmark"]
    examples = Cldr(rows={"train": 1, "validation": 1, "test": 2}).examples(SW, "test")
    path = write("flix", "flix", ["x", "y"], [one.target for one in examples])
    write_predictions(path, [Prediction(SW, i, "span_f1", "x", one.target) for i, one in enumerate(examples)])
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "config": {**found["config"], "benchmark": section}}))
    words = ("runs/flix", "errors=ner/sw", "prompts=true", "markdown=errors.md")
    told = report(*words, monkeypatch=monkeypatch, capsys=capsys)
    for one in examples:
        assert f"  prompt       {one.prompt}\n  target       {one.target}\n" in told
    assert f"| {examples[0].prompt} | {examples[0].target} | x |" in Path("errors.md").read_text()
    write_predictions(path, [Prediction(SW, 0, "span_f1", "x", "another")])
    assert "row 0 of ner/sw is another one today" in refused(*words, monkeypatch=monkeypatch, capsys=capsys)
    one = {**json.loads(path.read_text()), "source": {**section, "seed": section["seed"] + 1}}
    path.write_text(json.dumps(one))
    (other,) = load_benchmark({**one["source"], "rows": {"train": 1, "validation": 1, "test": 1}}).examples(SW, "test")
    write_predictions(path, [Prediction(SW, 0, "span_f1", "x", other.target)])
    assert other.prompt in report(*words, monkeypatch=monkeypatch, capsys=capsys)


def test_what_cannot_be_shown_is_one_line(monkeypatch, capsys):
    given = {"monkeypatch": monkeypatch, "capsys": capsys}
    first = write("flix", "flix", FLIX)
    assert "did you mean 'ner/sw'" in refused("runs/flix", "errors=nre/sw", **given)
    write("other", "flix", FLIX, [*TARGETS[:4], "PER: f"])
    assert "ner/sw: these runs were scored on other rows" in refused(
        "runs/flix", "runs/other", "errors=ner/sw", **given
    )
    write("third", "flix", FLIX)
    assert "runs names 3" in refused("runs", "errors=ner/sw", **given)
    assert "runs names 0" in refused("errors=ner/sw", **given)
    assert "rows: expected a whole number of at least 1" in refused("runs/flix", "errors=ner/sw", "rows=0", **given)
    predictions_file(first).unlink()
    assert "`flix evaluate` writes scores with predictions" in refused("runs/flix", "errors=ner/sw", **given)
    for content in ("{", "[]", "{}"):
        Path("x.json").write_text(content)
        assert "'x.json'" in refused("x.json", **given)


def test_a_metric_of_ones_own_is_right_or_wrong():
    predictions = [Prediction(SW, i, "lab.Metric", said, "a") for i, said in enumerate(["b", "a", "A"])]
    rows = rows_of([by_cell(predictions)], "ner/sw")
    assert [row.answers[0].score for row in rows] == [0, 100, 0]
    assert [row.number for row in errors_first(rows)] == [0, 2]


def test_collected_records_bring_their_predictions():
    path = write("flix", "flix", FLIX)
    config = {"name": "mine", "adapter": {"name": "flix"}, "seed": 0}
    path.write_text(json.dumps({**json.loads(path.read_text()), "config": config}))
    collect([Path("runs")], Path("results"))
    assert read_predictions(Path("results/mine/flix-0.json")) == read_predictions(path)
    predictions_file(path).unlink()
    collect([Path("runs")], Path("others"))
    assert [file.name for file in Path("others/mine").iterdir()] == ["flix-0.json"]
