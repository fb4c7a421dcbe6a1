"""`model.vocabulary=used` through the door: trained, scored again, resumed, served and exported, refused."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.bank_file import ADAPTER
from flix_lightning.data.predictions import read_predictions
from flix_lightning.inference.model import FlixModel
from flix_lightning.models.backbone import load_backbone
from flix_lightning.training.run_directory import fingerprint
from tests.configs import composed
from tests.families import save_family
from tests.own import LEAST, OWN, call, trained, write_project
from tests.training.test_resume import PowerCut, cut_at, result, run_small

USED = "model.vocabulary=used"
KINDS = {"gemma3": AutoModelForCausalLM, "mt5": AutoModelForSeq2SeqLM}  # tied; untied, an encoder-decoder


@pytest.fixture(scope="module", params=KINDS)
def done(request, tmp_path_factory):
    """A run with fewer tokens on the data of `tests.own`."""
    folder = tmp_path_factory.mktemp("used")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_project()
        shutil.rmtree("model")
        save_family(request.param, Path("model"))
        run = folder / trained(USED)
    record = json.loads((run / "record.json").read_text())
    return SimpleNamespace(family=request.param, folder=folder, run=run, record=record)


@pytest.fixture
def at(done, monkeypatch):
    monkeypatch.chdir(done.folder)
    return done


def rows(path: Path) -> list:
    return sorted(read_predictions(path), key=repr)


def test_a_run_is_scored_again_with_its_tokens(at):
    fewer, whole = at.record["vocabulary"]
    assert fewer < whole
    assert call("evaluate", f"run={at.run}") == 0
    assert json.loads((at.run / "scores-directory-test.json").read_text())["vocabulary"] == [fewer, whole]
    said = rows(at.run / "record.json")
    assert rows(at.run / "scores-directory-test.json") == said
    assert len({row.prediction for row in said}) > 2, "equal answers would hide differences"


def test_what_the_run_did_not_read_is_scored_with_all_tokens(at):
    assert call("evaluate", f"run={at.run}", "tasks=[topic]", "unseen_language=few_shot") == 0
    assert "vocabulary" not in json.loads((at.run / "scores-directory-test-few_shot.json").read_text())


def test_its_bank_serves_the_whole_model(at):
    assert "vocabulary" not in Bank.read(at.run).model
    model = FlixModel.from_run(at.run, "cpu")
    assert model.backbone.get_input_embeddings().num_embeddings == at.record["vocabulary"][1]
    texts, asked = ["habari sw 1", "\u00e9 \u65e5 12"], dict(task="topic", language="sw", max_new_tokens=6)
    answers = model.generate(texts, **asked)
    assert FlixModel.from_bank(at.run / ADAPTER, device="cpu").generate(texts, **asked) == answers
    for to in ("peft", "merged"):
        assert call("export", f"run={at.run}", f"to={to}", "cells=[topic/sw]", f"out={to}") == 0
    tokenizer = AutoTokenizer.from_pretrained("merged/topic-sw")
    assert len(tokenizer) == len(model.tokenizer)
    merged = KINDS[at.family].from_pretrained("merged/topic-sw").eval()
    tuned = PeftModel.from_pretrained(KINDS[at.family].from_pretrained("model"), "peft/topic-sw").eval()
    decodes = at.family == "gemma3"
    for text, answer in zip(texts, answers):
        prompt = model.prompt(text, model.cell("topic", "sw")) + "\n" * decodes
        inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        for served in (merged, tuned):
            tokens = served.generate(**inputs, max_new_tokens=6, do_sample=False, eos_token_id=tokenizer.eos_token_id)
            tokens = tokens[0, inputs["input_ids"].shape[1] * decodes :]
            assert tokenizer.decode(tokens, skip_special_tokens=True).strip() == answer


def test_a_run_that_was_stopped_ends_as_without_the_stop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_family("gemma3", Path("model"))
    words = ("model=pretrained", "model.name=model", USED, "optimizer.lr=0.5", "trainer.max_steps=3")

    def train(folder: str) -> tuple:
        return result(folder, run_small(folder, *words, backbone=load_backbone(composed(*words)["model"])))

    whole = train("whole")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, "step", 3)
        train("stopped")
    assert train("stopped") == whole
    assert whole[0]["vocabulary"][0] < whole[0]["vocabulary"][1]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("data.stream_chunk=2",), "with data.stream_chunk the texts are not known before training"),
        (("model.quantization=4bit",), "not with quantized weights; set model.quantization=null"),
        (("model.vocabulary=few",), "unknown model.vocabulary 'few'"),
    ],
)
def test_what_cannot_be_is_refused(words, told, at, capfd):
    assert call("train", *OWN, *LEAST, "logger=none", USED, *words) == 1
    assert told in capfd.readouterr().err


def test_the_embedded_models_know_no_such_setting(at, capfd):
    assert call("train", *OWN, "mixture=all", "logger=none", "+model.vocabulary=used") == 1
    assert "model.vocabulary" in capfd.readouterr().err


def test_runs_with_all_tokens_keep_the_hash_that_they_had_before_there_was_a_choice():
    config = composed("model=pretrained", "model.name=model")
    before = json.loads(json.dumps(config))
    del before["model"]["vocabulary"]
    assert fingerprint(config) == fingerprint(before)
    assert fingerprint(composed("model=pretrained", "model.name=model", USED)) != fingerprint(config)
