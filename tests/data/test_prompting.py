"""Serving reads what training read: a request with the fields of a row gives the row's tokens."""

import json
from itertools import product
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from flix_lightning.adapters.bank import Bank
from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.benchmark import SPLITS, load_benchmark
from flix_lightning.data.cells import Cell
from flix_lightning.data.tokens.store import Caching
from flix_lightning.data.tokens.tokenised import TokenisedCells
from flix_lightning.inference import model as inference
from flix_lightning.inference.export.folders import export
from flix_lightning.inference.model import FlixModel
from flix_lightning.models.backbone import load_backbone
from flix_lightning.training.run import train
from tests.commands.test_commands import run_command
from tests.configs import composed

LONGEST = 24
DOMAINS = ("law", "news/politics", "../../up", "[/b]")
TASKS = [
    "+benchmark.tasks.topic={prompt: 'Topic in {language}, {domain}: {text}', target: '{label}', metric: exact_match, "
    "max_target_tokens: 4}",
    "+benchmark.tasks.speak={prompt: 'From {source} into {language}: {text} ({hint.0})', target: '{label}', "
    "metric: f1, max_target_tokens: 4, files: '{source}-{language}'}",
]
OWN = [
    "benchmark=directory", "benchmark.root=rows", *TASKS,
    "+benchmark.names={sw: Kiswahili, en: the English}",
    "+benchmark.axes={domain: domain, family: {language: {sw: bantu, zu: bantu}}}",
    "mixture=all", "adapter.axes=[task,language,domain,family]", "+rank.domain=1", "+rank.family=1",
    f"data.max_prompt_tokens={LONGEST}", "data.batch_size=4", "trainer.max_steps=1", "trainer.validate_every=1",
    "trainer.accelerator=cpu", "trainer.progress=false", "trainer.precision=32-true", "logger=none", "optimizer.lr=0.1",
    "optimizer.warmup_steps=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run of one step on data with names, file names of two codes, and two further axes."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for split, (task, name) in product(SPLITS, (("topic", "sw"), ("topic", "no"), ("speak", "en-sw"))):
            path = Path("rows", task, split, f"{name}.jsonl")
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [{"text": "habari " * n, "label": "a", "hint": [n], "domain": d} for n, d in enumerate(DOMAINS, 1)]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
        config = composed(*OWN)
        config["benchmark"]["root"] = str(folder / "rows")
        train(config, folder / "run", load_benchmark(config["benchmark"]), load_backbone(config["model"]), None)
    return folder / "run"


def rows_of(run: Path, cell: Cell) -> list[dict]:
    name = "en-sw" if cell.task == "speak" else cell.language
    text = (run.parent / "rows" / cell.task / "test" / f"{name}.jsonl").read_text(encoding="utf8")
    rows = [json.loads(line) for line in text.splitlines()]
    return [row | {"source": "en"} for row in rows if row["domain"] == dict(cell.attributes)["domain"]]


def test_a_request_with_a_rows_fields_is_read_as_the_row_was(run, monkeypatch):
    config = json.loads((run / "config.json").read_text())
    benchmark, model = load_benchmark(config["benchmark"]), FlixModel.from_run(run, "cpu")
    trained = TokenisedCells(benchmark, model.tokenizer, False, LONGEST, Caching())
    read, batch, composed_for, compose = [], inference.generation_batch, [], model.composer.compose
    monkeypatch.setattr(inference, "generation_batch", lambda rows, *rest: read.extend(rows) or batch(rows, *rest))
    monkeypatch.setattr(model.composer, "compose", lambda cells: composed_for.extend(cells) or compose(cells))
    assert len(benchmark.cells) == 3 * len(DOMAINS)
    for cell in benchmark.cells:
        for row, was in zip(rows_of(run, cell), trained.encoded(cell, "test"), strict=True):
            model.generate(row, cell.task, cell.language)
            assert read.pop().prompt == was.prompt
            assert composed_for.pop() == cell
    assert model.truncated == trained.truncated > 0


def test_the_words_are_those_of_training_and_cldrs_where_it_had_none(run):
    model = FlixModel.from_run(run, "cpu")
    row = {"text": "a", "hint": ["h"], "source": "en", "domain": "law"}
    said = {code: model.prompt(row, Cell("speak", code)) for code in ("sw", "zu")}
    assert said["sw"] == "From the English into Kiswahili: a (h)"
    assert said["zu"] == "From the English into Zulu: a (h)"
    assert dict(model.cell("topic", "zu", row).attributes)["family"] == "bantu", "a family follows from the language"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "axis 'domain'.*law, news/politics"),
        ({"domain": "lw"}, "'lw'; did you mean 'law'"),
        ({"domain": 7.5}, "axis 'domain'.*7.5"),
        ({"domain": "law", "family": "batnu"}, "did you mean 'bantu'"),
    ],
)
def test_an_axis_is_asked_for_or_refused(run, given, message):
    model = FlixModel.from_run(run, "cpu")
    with pytest.raises(FlixError, match=message):
        model.generate({"text": "a", **given}, "topic", "sw")


def test_null_stands_for_no_value(run):
    model = FlixModel.from_run(run, "cpu")
    assert model.cell("topic", "sw", {"domain": None}).attributes == (("family", "bantu"),)
    assert model.cell("topic", "sw", {"domain": None, "family": None}).attributes == ()


REQUESTS = {
    "a field is missing": ({"text": "a", "domain": "law"}, "task 'speak' takes the fields source, text, hint"),
    "no value on an axis": ({"text": "a", "source": "en", "hint": ["h"]}, "axis 'domain'"),
    "an unknown value": ({"text": "a", "source": "en", "hint": ["h"], "domain": "C#"}, "'C#'"),
    "a number": ({"text": 5, "domain": "law"}, "5"),
    "null": ({"text": None, "domain": "law"}, "None"),
    "a list": ({"text": ["a"], "domain": "law"}, "'a'"),
    "half a character": ({"text": "a\ud83d", "domain": "law"}, "lone surrogate"),
    "half a character elsewhere": ({"text": "a", "id": "\ud83d", "domain": "law"}, "lone surrogate"),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_the_command_tells_file_line_and_reason(run, case, monkeypatch, capsys):
    request, message = REQUESTS[case]
    good = {"task": "topic", "language": "sw", "text": "a", "domain": "law"}
    lines = [good, {"task": "speak", "language": "sw", **request}]
    Path("requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run_command("generate", f"run={run}", "requests.jsonl", "device=cpu", monkeypatch=monkeypatch) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: requests.jsonl:2: ") and message in error and len(error.splitlines()) == 2


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_only_a_line_feed_ends_a_line(run, odd, monkeypatch, capsys):
    request = {"task": "topic", "language": "sw", "text": f"habari{odd}dunia", "domain": "law"}
    line = json.dumps(request, ensure_ascii=odd < " ") + "\n"
    Path("requests.jsonl").write_text(line * 2, encoding="utf8")
    arguments = (f"run={run}", "requests.jsonl", "out=answers.jsonl")
    assert run_command("generate", *arguments, monkeypatch=monkeypatch) == 0, capsys.readouterr()
    found = [json.loads(line) for line in Path("answers.jsonl").read_bytes().split(b"\n")[:-1]]
    assert [{k: v for k, v in row.items() if k != "answer"} for row in found] == [request] * 2


def test_exported_cells_are_named_with_their_axes(run):
    for name, message in (
        ("topic/sw", "axis 'domain'"),
        ("topic/sw/domain=lw", "'law'"),
        ("topic/sw/law", "axis=value"),
    ):
        with pytest.raises(FlixError, match=message):
            export(str(run), "peft", name, out="loras")
    (folder,) = export(str(run), "peft", "topic/sw/domain=law", out="loras")
    card = (folder / "README.md").read_text()
    assert "domain=law" in card and "family=bantu" in card and "| topic | sw | law | bantu | seen |" in card


def test_every_folder_of_an_export_lies_in_out(run):
    found = export(str(run), "peft", out="deep/out")
    assert len(set(found)) == 3 * len(DOMAINS)
    assert {path.parent for path in found} == {Path("deep/out")} and set(Path("deep/out").iterdir()) == set(found)
    assert [path.name for path in Path().iterdir()] == ["deep"]


def test_a_bank_of_the_format_before_is_read_and_does_not_guess_prompts(run, tmp_path):
    with safe_open(run / "adapter.safetensors", "pt") as file:
        metadata = file.metadata()
    metadata = {key: text for key, text in metadata.items() if key != "prompting"}
    save_file(load_file(run / "adapter.safetensors"), tmp_path / "old", {**metadata, "format": "flix_lightning.bank/1"})
    assert Bank.read(tmp_path / "old").ranks == Bank.read(run).ranks
    config = json.loads((run / "config.json").read_text())
    model = FlixModel.from_bank(tmp_path / "old", load_backbone(config["model"]), "cpu")
    with pytest.raises(FlixError, match="format 1.*[Tt]rain"):
        model.generate({"text": "a", "domain": "law", "family": None}, "topic", "sw")
