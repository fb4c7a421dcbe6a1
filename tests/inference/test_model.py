"""Inference: mixed requests in one batch are answered as each alone, in order, with the task's own prompt."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.injection import inject
from flix_lightning.adapters.unseen import UnseenLanguage
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.data.tasks import Task
from flix_lightning.inference.generate import read_requests
from flix_lightning.inference.model import FlixModel
from tests.commands.test_commands import run_command
from tests.configs import untrained_backbone
from tests.toy import CELLS, fill, toy_composer

TASKS = {
    "ner": Task("ner", "Entities {language}: {input}", "span_f1", 6),
    "parse": Task("parse", "Parse {language}: {input}", "exact_match", 12),
    "qa": Task("qa", "{question} {language} {context}", "f1", 9),
}
REQUESTS = [
    ("moja mbili tatu", "ner", "sw"),
    ("a", "parse", "yo"),
    ({"question": "q?", "context": "long " * 9}, "qa", "am"),
    ("nne", "ner", "bn"),
    ("tano sita", "parse", "sw"),
    ("saba", "ner", "fr"),  # a language that was never trained
]


@pytest.fixture(params=["llama", "t5"])
def model(request, tmp_path) -> FlixModel:
    """Random adapters, large enough that cells answer differently, through their file."""
    backbone, composer = untrained_backbone(request.param), toy_composer()
    banks = inject(backbone.model, composer.total_rank, ActiveComposition(composer.total_rank), scaling=0.5)
    fill(banks, size=0.6)
    Bank.of(backbone.model, composer, TASKS, CELLS).write(tmp_path / "bank.safetensors")
    return FlixModel.from_bank(tmp_path / "bank.safetensors", untrained_backbone(request.param), device="cpu")


def test_mixed_requests_are_answered_as_each_alone(model):
    texts, tasks, languages = (list(column) for column in zip(*REQUESTS))
    alone = [model.generate(*request)[0] for request in REQUESTS]
    assert len(set(alone)) >= 5, "the requests tell wrong orders and wrong adapters apart"
    for batch_size in (1, 2, 4, 64):
        assert model.generate(texts, tasks, languages, batch_size=batch_size) == alone
        mixed = model.generate(texts, tasks, languages, batch_size=batch_size, max_new_tokens=6)
        for got, want in zip(mixed, [model.generate(*request, max_new_tokens=6)[0] for request in REQUESTS]):
            assert got == want


def test_drawn_answers_follow_from_request_and_seed(model):
    settings = {"temperature": 1.5, "top_p": 0.95, "num_answers": 3}
    texts, tasks, languages = (list(column) for column in zip(*REQUESTS))
    drawn = model.sample(texts, tasks, languages, **settings)
    assert [len(answers) for answers in drawn] == [3] * len(REQUESTS)
    assert sum(len(set(answers)) for answers in drawn) > 2 * len(REQUESTS), "several answers, not one thrice"
    for batch_size in (1, 5):
        back = model.sample(texts[::-1], tasks[::-1], languages[::-1], batch_size=batch_size, **settings)
        assert back[::-1] == drawn
    assert model.sample(*REQUESTS[0], **{**settings, "num_answers": 2}) == [drawn[0][:2]]
    twice = model.sample([texts[0]] * 3, tasks[0], languages[0], temperature=1.5, top_p=0.95)
    assert twice == [[answer] for answer in drawn[0]], "the same request again goes on where it ended before"
    assert model.sample(texts, tasks, languages, seed=1, **settings) != drawn
    assert model.sample(texts, tasks, languages, temperature=1e-6) == [
        [a] for a in model.generate(texts, tasks, languages)
    ]


def test_the_adapters_of_the_cell_answer(model):
    """The same text, answered by other features."""
    said = {model.generate("moja mbili", task, language)[0] for task in ("ner", "parse") for language in ("sw", "yo")}
    assert len(said) == 4


def test_one_task_or_language_stands_for_all(model):
    texts = ["moja", "mbili"]
    assert model.generate(texts, "ner", "sw") == model.generate(texts, ["ner", "ner"], ["sw", "sw"])
    assert model.generate([], "ner", "sw") == []


def test_the_prompt_is_the_tasks_own(model):
    assert model.prompt("moja", Cell("ner", "sw")) == "Entities Swahili: moja"
    assert model.prompt({"question": "nini?", "context": "c"}, Cell("qa", "am")) == "nini? Amharic c"


BAD = {
    "unknown task": (["a"], "nre", "sw", "did you mean 'ner'"),
    "too few tasks": (["a", "b"], ["ner"], "sw", "each of the 2; got 1"),
    "fields needed": (["a"], "qa", "sw", "question, context"),
    "a field missing": ([{"question": "a"}], "qa", "sw", "context"),
}


@pytest.mark.parametrize("case", BAD)
def test_requests_that_cannot_be_are_refused(model, case):
    texts, task, language, told = BAD[case]
    with pytest.raises(FlixError, match=told):
        model.generate(texts, task, language)


def test_the_bank_must_fit_the_backbone(model, tmp_path):
    with pytest.raises(FlixError):
        FlixModel.from_bank(
            tmp_path / "bank.safetensors", untrained_backbone("t5" if "Llama" in repr(model.backbone) else "llama")
        )


# ------------------------------------------------------------------ the command


def test_a_file_of_requests_is_answered_in_order(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(FlixModel, "from_run", staticmethod(lambda run, *settings: model))
    lines = [{"task": t, "language": code, **(x if isinstance(x, dict) else {"text": x})} for x, t, code in REQUESTS]
    Path("requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Path("run").mkdir()
    Path("run/config.json").write_text("{}")
    for words in (["out=answers.jsonl"], []):
        assert run_command("generate", "run=run", "requests.jsonl", *words, monkeypatch=monkeypatch) == 0
    told = Path("answers.jsonl").read_text()
    assert told == capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("requests.jsonl").read_bytes())))
    assert run_command("generate", "run=run", "-", monkeypatch=monkeypatch) == 0
    assert told == capsys.readouterr().out
    texts, tasks, languages = (list(column) for column in zip(*REQUESTS))
    said = model.generate(texts, tasks, languages)
    assert [json.loads(line) for line in told.splitlines()] == [
        {**line, "answer": text} for line, text in zip(lines, said)
    ]


def test_the_command_draws_answers_when_a_temperature_is_set(model, monkeypatch, capsys):
    monkeypatch.setattr(FlixModel, "from_run", staticmethod(lambda run, *settings: model))
    Path("requests.jsonl").write_text('{"task": "ner", "language": "sw", "text": "moja"}\n')
    Path("run").mkdir()
    Path("run/config.json").write_text("{}")
    said = model.sample("moja", "ner", "sw", num_answers=2, temperature=1.2, top_p=0.9, seed=5)[0]
    words = ["run=run", "requests.jsonl", "temperature=1.2", "top_p=0.9", "seed=5"]
    assert run_command("generate", *words, "num_answers=2", monkeypatch=monkeypatch) == 0
    assert run_command("generate", *words, monkeypatch=monkeypatch) == 0
    several, one = map(json.loads, capsys.readouterr().out.splitlines())
    assert several["answers"] == said and "answer" not in several and one["answer"] == said[0]


@pytest.mark.parametrize(
    "bad, told",
    [
        ("num_answers=2", "num_answers: of drawn answers only; set temperature=1"),
        ("top_p=0.9 seed=1", "top_p, seed: "),
        ("temperature=0.0", "temperature: above 0"),
        ("temperature=1.0 top_p=2.0", "top_p: above 0, at most 1; got 2.0"),
        ("temperature=1.0 num_answers=0", "num_answers: expected a whole number of at least 1"),
    ],
)
def test_the_command_refuses_drawing_that_cannot_be(bad, told, model, monkeypatch, capsys):
    monkeypatch.setattr(FlixModel, "from_run", staticmethod(lambda run, *settings: model))
    Path("requests.jsonl").write_text('{"task": "ner", "language": "sw", "text": "moja"}\n')
    Path("run").mkdir()
    Path("run/config.json").write_text("{}")
    words = ["run=run", "requests.jsonl", "out=answers.jsonl", *bad.split()]
    assert run_command("generate", *words, monkeypatch=monkeypatch) == 1
    assert told in capsys.readouterr().err
    assert not Path("answers.jsonl").exists()


@pytest.mark.parametrize("line", ["{", "[]", '{"task": "ner", "text": "a"}', '{"task": 3, "language": "sw"}', ""])
def test_a_line_that_is_no_request_is_told_by_number(line):
    Path("requests.jsonl").write_text('{"task": "ner", "language": "sw", "text": "a"}\n' + line + "\n")
    with pytest.raises(FlixError, match="requests.jsonl:2"):
        read_requests("requests.jsonl")


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(FlixError, match="nowhere"):
        read_requests("nowhere")


TYPED = [
    'He said: "x, y" (z)?',
    "a=b",
    "'quoted'",
    '"quoted"',
    "ends in \\",
    "[1, 2]",
    "{a: b}",
    "${HOME}",
    "12",
    "null",
]


@pytest.mark.parametrize("text", TYPED)
def test_one_request_is_taken_as_it_is_typed_and_its_answer_alone_is_shown(text, model, monkeypatch, capsys):
    monkeypatch.setattr(FlixModel, "from_run", staticmethod(lambda run, *settings: model))
    Path("run").mkdir()
    Path("run/config.json").write_text("{}")
    words = ["run=run", "task=ner", "language=sw", f"text={text}"]
    assert run_command("generate", *words, monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == model.generate(text, "ner", "sw")[0] + "\n"
    assert run_command("generate", *words, "out=answer.jsonl", monkeypatch=monkeypatch) == 0
    assert json.loads(Path("answer.jsonl").read_text())["text"] == text


@pytest.mark.parametrize("words", [[], ["requests.jsonl", "task=ner", "language=sw", "text=x"]])
def test_a_file_or_one_request_is_asked_for(words, monkeypatch, capsys):
    assert run_command("generate", "run=run", *words, monkeypatch=monkeypatch) == 1
    assert "or one request" in capsys.readouterr().err


def test_generation_needs_no_gradients(model):
    model.generate("moja", "ner", "sw")
    assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()


def said(model: FlixModel, cells: list[Cell], **settings) -> list[str]:
    """Answers to the same prompts, whatever the cells."""
    prompts = [f"{number} moja mbili" for number in range(len(cells))]
    return model.answer(cells, prompts, [12] * len(cells), **settings)


SERVED = [Cell(task, language) for task in ("ner", "parse", "qa") for language in ("sw", "yo")]


def test_strengths_serve_as_a_bank_with_weaker_features_and_as_other_cells_do(model, tmp_path):
    bank = Bank.read(tmp_path / "bank.safetensors")
    rows = torch.ones(sum(bank.ranks.values()), 1)
    for feature, places in bank.rows().items():
        rows[list(places)] = {"language": 0.5, "task": 2.0}[feature.axis]
    factors = {name: factor * rows if name.endswith("lora_b") else factor for name, factor in bank.factors.items()}
    kind = "t5" if model.backbone.config.is_encoder_decoder else "llama"
    scaled = FlixModel(untrained_backbone(kind), replace(bank, factors=factors), "cpu")
    strengths = {"language": 0.5, "task": 2.0}
    assert said(model, SERVED, strengths=strengths) == said(scaled, SERVED) != said(model, SERVED)
    own = FlixModel(untrained_backbone(kind), bank, "cpu", strengths=strengths)
    assert said(own, SERVED) == said(scaled, SERVED) and said(own, SERVED, strengths={}) == said(model, SERVED)
    task_alone = [Cell(cell.task, "xx") for cell in SERVED]
    assert said(model, SERVED, strengths={"language": 0}) == said(model, task_alone)
    other = [Cell(cell.task, "am") for cell in SERVED]
    swapped = {"language": {"sw": {"am": 1}, "yo": {"am": 1}}}
    assert said(model, SERVED, strengths=swapped) == said(model, other)


def test_strengths_reach_every_way_to_ask(model):
    request, weak = ("moja mbili tatu", "parse", "sw"), {"language": {"sw": {"yo": 1.5}}}
    cell, prompt = model.cell("parse", "sw"), model.prompt(request[0], model.cell("parse", "sw"))
    wanted = model.answer([cell], [prompt], [12], strengths=weak)
    assert model.generate(*request, strengths=weak) == wanted != model.generate(*request)
    assert model.sample(*request, temperature=1e-6, strengths=weak) == [wanted]


def test_a_policy_serves_unknown_languages_and_strengths_come_before_it(model):
    model.unseen_language = UnseenLanguage("mean")
    unknown = [Cell(cell.task, "xx") for cell in SERVED]
    mean = said(model, unknown)
    by_hand = {"language": {"xx": dict.fromkeys(("am", "bn", "sw", "yo"), 0.25)}}
    named = said(model, unknown, strengths={"language": {"xx": {"yo": 1}}})
    model.unseen_language = UnseenLanguage()
    assert mean == said(model, unknown, strengths=by_hand) != said(model, unknown)
    assert named == said(model, [Cell(cell.task, "yo") for cell in SERVED])


@pytest.mark.parametrize(
    "strengths, told",
    [
        ({"langage": 1}, "did you mean 'language'"),
        ({"language": {"sw": {"xx": 1}}}, "unknown feature in the place of language=sw"),
        ({"language": "much"}, "strengths.language: a finite number"),
    ],
)
def test_strengths_that_cannot_be_are_told(model, strengths, told):
    with pytest.raises(FlixError, match=told):
        model.generate("moja", "ner", "sw", strengths=strengths)
