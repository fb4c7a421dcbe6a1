"""`model.vocabulary=used` through the door: trained, scored again, continued, served, exported, refused."""

import json
import shutil
from pathlib import Path

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from flix_lightning.adapters.bank_file import ADAPTER
from flix_lightning.data.predictions import read_predictions
from flix_lightning.inference.model import FlixModel
from tests.families import save_family
from tests.own import call, trained, write_project

USED = "model.vocabulary=used"
KINDS = {"gemma3": AutoModelForCausalLM, "mt5": AutoModelForSeq2SeqLM}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Saves a family's model there, beside the data of `tests.own`."""
    monkeypatch.chdir(tmp_path)
    write_project()
    shutil.rmtree("model")
    return lambda family: save_family(family, Path("model"))


def rows(path: Path) -> list:
    return sorted(read_predictions(path), key=repr)


@pytest.mark.parametrize("family", KINDS)
def test_a_run_is_scored_again_with_its_tokens_and_serves_the_whole_model(family, project, capfd):
    project(family)
    run = trained(USED)
    record = json.loads((run / "record.json").read_text())
    fewer, whole = record["vocabulary"]
    assert call("evaluate", f"run={run}") == 0
    assert rows(run / "scores-directory-test.json") == rows(run / "record.json")
    assert json.loads((run / "scores-directory-test.json").read_text())["vocabulary"] == [fewer, whole]
    assert len({row.prediction for row in rows(run / "record.json")}) > 2, "equal answers would hide differences"
    assert call("evaluate", f"run={run}", "split=train") == 0
    assert call("evaluate", f"run={run}", "unseen_language=few_shot") == 0
    assert "vocabulary" not in json.loads((run / "scores-directory-test-few_shot.json").read_text())

    model = FlixModel.from_run(run, "cpu")
    assert model.backbone.get_input_embeddings().num_embeddings == whole > fewer
    asked = dict(texts=["habari sw 1", "\u00e9 \u65e5 12"], task="topic", language="sw", max_new_tokens=6)
    answers = model.generate(**asked)
    assert FlixModel.from_bank(run / ADAPTER, device="cpu").generate(**asked) == answers
    for to in ("peft", "merged"):
        assert call("export", f"run={run}", f"to={to}", "cells=[topic/sw]", f"out={to}") == 0
    tokenizer = AutoTokenizer.from_pretrained("merged/topic-sw")
    merged = KINDS[family].from_pretrained("merged/topic-sw").eval()
    tuned = PeftModel.from_pretrained(KINDS[family].from_pretrained("model"), "peft/topic-sw").eval()
    assert len(tokenizer) == len(model.tokenizer)
    for text, answer in zip(asked["texts"], answers):
        prompt = model.prompt(text, model.cell("topic", "sw")) + ("" if family == "mt5" else "\n")
        inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        for served in (merged, tuned):
            tokens = served.generate(**inputs, max_new_tokens=6, do_sample=False, eos_token_id=tokenizer.eos_token_id)
            tokens = tokens[0, 0 if family == "mt5" else inputs["input_ids"].shape[1] :]
            assert tokenizer.decode(tokens, skip_special_tokens=True).strip() == answer
