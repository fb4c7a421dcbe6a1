"""The export command on a finished run of the embedded model: what it writes, that others load it, what it refuses."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from flix_lightning.adapters.bank import Bank
from flix_lightning.data.tokens.encoding import PROMPT_END
from flix_lightning.inference.export.folders import export
from flix_lightning.inference.model import FlixModel
from flix_lightning.models.tiny import load_tiny
from flix_lightning.training.results import read_record
from tests.commands.test_commands import run_command
from tests.configs import untrained_backbone
from tests.inference.serving.toy import toy_bank

TEXT = "9 Januari 1982"
HELD_OUT = ("semantic_parsing", "sw")


def call(*arguments: str, monkeypatch) -> int:
    """Exit code of the command."""
    return run_command("export", *arguments, monkeypatch=monkeypatch)


def logits(model, task: str, language: str, prompt: str) -> torch.Tensor:
    """Of the prompt's last token, by a `FlixModel` or a plain transformers model."""
    ids = load_tiny().tokenizer(prompt + PROMPT_END, add_special_tokens=False, return_tensors="pt").input_ids
    if isinstance(model, FlixModel):
        model.active.set(model.composer.compose([model.cell(task, language)]))
        model = model.backbone
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits[0, -1]


def test_every_cell_as_a_lora_that_peft_loads_on_the_exported_backbone(run, monkeypatch, capsys):
    assert call(f"run={run}", "to=peft", "out=loras", monkeypatch=monkeypatch) == 0
    assert call(f"run={run}", "to=backbone", "out=backbone", monkeypatch=monkeypatch) == 0
    record = read_record(run)
    folders = {f"loras/{row['task']}-{row['language']}" for row in record["cells"]}
    assert set(capsys.readouterr().out.split()) == {*folders, "backbone"}
    assert {str(path) for path in Path("loras").iterdir()} == folders
    assert {json.loads((Path(folder) / "adapter_config.json").read_text())["r"] for folder in folders} == {8}
    ours, prompt = FlixModel.from_run(run, "cpu"), f"Parse Swahili: {TEXT}"
    for task, language in (HELD_OUT, ("semantic_parsing", "bn"), ("translation", "sw")):
        theirs = AutoModelForCausalLM.from_pretrained("backbone")
        theirs = PeftModel.from_pretrained(theirs, f"loras/{task}-{language}")
        wanted = logits(ours, task, language, prompt)
        torch.testing.assert_close(logits(theirs, task, language, prompt), wanted, rtol=0, atol=1e-4)
        with theirs.disable_adapter():
            assert (logits(theirs, task, language, prompt) - wanted).abs().max() > 0.01


def test_an_unseen_language_is_its_task(run):
    folders = export(str(run), "peft", ["semantic_parsing/xx", "semantic_parsing/sw"], lora_rank=16)
    assert folders == [run / "export" / "peft" / name for name in ("semantic_parsing-xx", "semantic_parsing-sw")]
    cards = [(folder / "README.md").read_text() for folder in folders]
    assert "`task=semantic_parsing`," in cards[0] and "| unseen language | exact_match |  |" in cards[0]
    assert "`task=semantic_parsing` and `language=sw`" in cards[1] and "| unseen combination |" in cards[1]
    assert json.loads((folders[0] / "adapter_config.json").read_text())["r"] == 16


def test_a_merged_model_answers_as_the_composition(run):
    (folder,) = export(str(run), "merged", "semantic_parsing/sw", out="merged")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    prompt = f"Parse Swahili: {TEXT}"
    ours = FlixModel.from_run(run, "cpu")
    torch.testing.assert_close(logits(model, "", "", prompt), logits(ours, *HELD_OUT, prompt), rtol=0, atol=1e-4)
    ids = tokenizer(prompt + PROMPT_END, add_special_tokens=False, return_tensors="pt").input_ids
    tokens = model.generate(input_ids=ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    said = tokenizer.decode(tokens, skip_special_tokens=True).strip()
    assert [said] == ours.generate(TEXT, *HELD_OUT, max_new_tokens=12)


def test_the_bank_comes_back_and_serves_another_model(run):
    (folder,) = export(str(run), "bank", out="bank")
    again, own = Bank.read(folder / "adapter.safetensors"), Bank.read(run)
    assert again.ranks == own.ranks and again.cells == own.cells
    assert all(torch.equal(again.factors[name], factor) for name, factor in own.factors.items())
    one, other = FlixModel.from_run(run), FlixModel.from_bank(folder / "adapter.safetensors", load_tiny())
    assert one.generate([TEXT] * 2, "semantic_parsing", ["sw", "bn"]) == other.generate(
        [TEXT] * 2, "semantic_parsing", ["sw", "bn"]
    )


@pytest.mark.parametrize("to", ["peft", "merged", "bank"])
def test_the_card_has_the_records_scores_and_readable_front_matter(run, to):
    folders = export(str(run), to, out=to)
    cards = [(folder / "README.md").read_text() for folder in folders]
    front = [yaml.safe_load(card.split("---")[1]) for card in cards]
    assert {part["base_model"] for part in front} == {"tiny"}
    rows = read_record(run)["cells"]
    assert {language for part in front for language in part["language"]} == {row["language"] for row in rows}
    for row in rows:
        line = f"| {row['task']} | {row['language']} | {row['group']} |"
        (found,) = [text for card in cards for text in card.splitlines() if text.startswith(line)]
        assert found.endswith(f"| {row['score']:.1f} |")
    for part in (
        "Unicode License v3",
        "Apache-2.0",
        "Parse {language}: {input}",
        read_record(run)["environment"]["commit"],
    ):
        assert any(part in card for card in cards)


BAD = {
    "to=pfet": ["'pfet'", "did you mean 'peft'"],
    "cells=[ner]": ["task/language", "'ner'"],
    "cells=[semantic_parsing/../up]": ["task/language"],
    "cells=[semantc_parsing/sw]": ["did you mean 'semantic_parsing'"],
    "lora_rank=5": ["6 ranks are active; 5"],
    "lora_rank=1000": ["lora_rank: at most", "1000"],
    "cells=[]": ["cells: none named"],
    "lora_rank=many": ["lora_rank: expected a whole number of at least 1", "got 'many'"],
    "run=nowhere": ["nowhere"],
    "celss=all": ["did you mean 'cells'"],
    "peft": ["key=value"],
    "cells=[": ["cells=["],
    "strengths={langage: 1}": ["did you mean 'language'"],
    "strengths=2": ["strengths: expected"],
    "unseen_language=few_shot": ["few_shot is learned in evaluation"],
}


@pytest.mark.parametrize("argument", BAD)
def test_what_cannot_be_is_one_clear_error_and_leaves_nothing(run, argument, monkeypatch, capsys):
    given = {"run": str(run), "to": "peft", "out": "out"}
    key = argument.partition("=")[0]
    others = [f"{name}={value}" for name, value in given.items() if name != key]
    assert call(*others, argument, monkeypatch=monkeypatch) == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    for part in BAD[argument]:
        assert part in told
    assert not Path("out").exists() or not list(Path("out").iterdir())


@pytest.mark.parametrize("setting", ["strengths={language: 1}", "unseen_language=mean", "base_model_name_or_path=x"])
def test_a_setting_that_a_kind_of_export_would_not_use_is_refused(run, setting, monkeypatch, capsys):
    assert call(f"run={run}", "to=bank", "out=out", setting, monkeypatch=monkeypatch) == 1
    assert f"{setting.partition('=')[0]}: an export to=bank" in capsys.readouterr().err and not Path("out").exists()


def test_help_is_the_documentation(monkeypatch, capsys):
    assert call("--help", monkeypatch=monkeypatch) == 0
    assert "to=merged" in capsys.readouterr().out


def test_an_export_again_takes_the_place_of_the_first_and_of_nothing_else(run):
    export(str(run), "peft", "semantic_parsing/sw", out="loras", lora_rank=8)
    export(str(run), "peft", "semantic_parsing/sw", out="loras", lora_rank=16)
    folder = Path("loras/semantic_parsing-sw")
    assert json.loads((folder / "adapter_config.json").read_text())["r"] == 16
    (folder / "thesis.txt").write_text("years of work")
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(Exception, match="something else"):
        export(str(run), "peft", "semantic_parsing/sw", out="loras", lora_rank=8)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert [path.name for path in Path("loras").iterdir()] == ["semantic_parsing-sw"]


def test_pefts_automatic_loader_finds_the_backbone_by_name(run):
    """As for a backbone of the hub: the name in adapter_config.json is enough where a folder of that name lies."""
    export(str(run), "backbone", out="tiny")
    (folder,) = export(str(run), "peft", "semantic_parsing/sw", out="loras")
    theirs, prompt = AutoPeftModelForCausalLM.from_pretrained(folder), f"Parse Swahili: {TEXT}"
    wanted = logits(FlixModel.from_run(run, "cpu"), *HELD_OUT, prompt)
    torch.testing.assert_close(logits(theirs, *HELD_OUT, prompt), wanted, rtol=0, atol=1e-4)


def test_a_cell_with_strengths_and_relatives_in_the_place_of_its_language(run, monkeypatch, capsys):
    """`base_model_name_or_path` says where vLLM's own resolver finds the backbone."""
    words = ("cells=[semantic_parsing/gu]", "unseen_language=family", "strengths={task: 0.5}", "out=loras")
    assert call(f"run={run}", "to=peft", *words, "base_model_name_or_path=b", monkeypatch=monkeypatch) == 0
    folder = Path("loras/semantic_parsing-gu")
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "b"
    assert "0.5 times `task=semantic_parsing` and `language=bn`" in (folder / "README.md").read_text()
    theirs, prompt = PeftModel.from_pretrained(load_tiny().model, folder), f"Parse Swahili: {TEXT}"
    ours = FlixModel.from_run(run, "cpu")
    ours.composer = ours.serving([], {"task": 0.5, "language": {"gu": {"bn": 1}}})
    wanted = logits(ours, "semantic_parsing", "gu", prompt)
    torch.testing.assert_close(logits(theirs, "", "", prompt), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind, told", [("t5", True), ("llama", False)])
def test_that_no_server_takes_an_encoder_decoder_is_told(run, kind, told, monkeypatch, capsys):
    model = FlixModel(untrained_backbone(kind), toy_bank(kind=kind), "cpu")
    monkeypatch.setattr(FlixModel, "from_run", staticmethod(lambda *settings: model))
    (folder,) = export(str(run), "peft", "ner/sw", out="loras")
    assert ("do not serve encoder-decoder" in capsys.readouterr().err) == told
    assert ("do not serve encoder-decoder" in (folder / "README.md").read_text()) == told
