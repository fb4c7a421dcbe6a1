"""Inference: mixed requests in one batch are answered as each alone, in order, with the task's own prompt."""

import json
from pathlib import Path

import pytest
import torch

from flix_lightning.bank import Bank
from flix_lightning.composition import ActiveComposition
from flix_lightning.errors import FlixError
from flix_lightning.features import Cell
from flix_lightning.generate import answer, read_requests
from flix_lightning.inference import FlixModel
from flix_lightning.injection import inject
from flix_lightning.tasks import Task
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
        mixed = model.generate(texts, tasks, languages, batch_size=batch_size, max_new_tokens=6)
        for got, want in zip(mixed, [model.generate(*request, max_new_tokens=6)[0] for request in REQUESTS]):
            assert got == want


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
    monkeypatch.setattr(FlixModel, "from_run", staticmethod(lambda run, device, trust_remote_code: model))
    lines = [{"task": t, "language": code, **(x if isinstance(x, dict) else {"text": x})} for x, t, code in REQUESTS]
    Path("requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    answer("run", "requests.jsonl", out="answers.jsonl")
    answer("run", "requests.jsonl")
    told = Path("answers.jsonl").read_text()
    assert told == capsys.readouterr().out
    texts, tasks, languages = (list(column) for column in zip(*REQUESTS))
    said = model.generate(texts, tasks, languages)
    assert [json.loads(line) for line in told.splitlines()] == [
        {**line, "answer": text} for line, text in zip(lines, said)
    ]


@pytest.mark.parametrize("line", ["{", "[]", '{"task": "ner", "text": "a"}', '{"task": 3, "language": "sw"}', ""])
def test_a_line_that_is_no_request_is_told_by_number(line):
    Path("requests.jsonl").write_text('{"task": "ner", "language": "sw", "text": "a"}\n' + line + "\n")
    with pytest.raises(FlixError, match="requests.jsonl:2"):
        read_requests(Path("requests.jsonl"))


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(FlixError, match="nowhere"):
        read_requests(Path("nowhere"))


def test_generation_needs_no_gradients(model):
    model.generate("moja", "ner", "sw")
    assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()
