"""`flix compositional` from nothing to its table on a toy backbone with the smallest budgets; its runs exported."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from flix_lightning.common.errors import FlixError
from flix_lightning.evaluation.compositional import methods, serving, study
from flix_lightning.inference.export.folders import export
from flix_lightning.inference.model import FlixModel
from flix_lightning.report.compositional import METHODS
from tests.commands.test_commands import run_command
from tests.configs import untrained_backbone
from tests.docs.test_readme import COMMANDS
from tests.toy import toy_batch

pytestmark = pytest.mark.slow

LEAST = (
    "model=pretrained",
    "model.name=toy",
    "benchmark.rows={train: 4, validation: 1, test: 1}",
    "benchmark.composite_train_rows=4",
    "data.batch_size=4",
    "data.bucket=1",
    "trainer.max_steps=2",
    "trainer.validate_every=2",
    "trainer.checkpoint_every=2",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "optimizer.lr=0.1",
    "optimizer.warmup_steps=0",
    "logger=none",
)
RESULTS = Path("kept/compositional.json")


def call(*overrides: str) -> int:
    """Exit code of the command."""
    with pytest.MonkeyPatch.context() as patch:
        return run_command("compositional", "seeds=[0]", f"results={RESULTS}", *LEAST, *overrides, monkeypatch=patch)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Where the study of one seed lies when the command has ended."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(methods, "CANDIDATES", 2)
        patch.setattr(methods, "SHOTS", 1)
        patch.setattr(study, "latency_ratio", lambda *given: serving.latency_ratio(*given, tokens=2, rounds=1))
        backbone = untrained_backbone()
        backbone.model.save_pretrained("toy")
        backbone.tokenizer.save_pretrained("toy")
        assert call() == 0
    return folder


@pytest.fixture
def records(home, monkeypatch) -> list[dict]:
    monkeypatch.chdir(home)
    return json.loads(RESULTS.read_text())


def test_every_method_of_the_study_has_a_record_and_a_row(records):
    assert sorted(record["method"] for record in records) == sorted(METHODS)
    table = RESULTS.with_suffix(".md").read_text().splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in table[2:]] == list(METHODS)
    for record in records:
        assert len(record["cells"]) == 14 and record["latency_ratio"] > 0
        assert record["passes"] == (2 if record["method"] == "multi-step" else 1)
    added = {record["method"]: (record["added_parameters"], record["stored_bytes"]) for record in records}
    outputs, inputs = 4 * 16 + 2 * 32 + 16, 4 * 16 + 2 * 16 + 32  # of the toy's seven projections in one layer
    assert added["calibration (LC)"] == (outputs, 14 * outputs * 4)
    assert added["calibration ++, shared"] == (4 * (outputs + inputs), 4 * (outputs + inputs) * 4)
    assert added["joint-expert LoRA"][0] == 2 * 8 * (outputs + inputs)
    assert added["concat merge"] == (0, 0)


def test_a_second_call_makes_the_one_record_that_is_missing(home, records, monkeypatch, capsys):
    def refused(*_, **__):
        raise AssertionError("this was done in the first call")

    table = RESULTS.with_suffix(".md").read_text()
    missing = next(record for record in records if record["method"] == "calibration (LC)")
    RESULTS.write_text(json.dumps([record for record in records if record != missing]))
    monkeypatch.setattr("flix_lightning.training.run.train", refused)
    monkeypatch.setattr(study, "scores", refused)
    monkeypatch.setattr(study, "latency_ratio", lambda *_: missing["latency_ratio"])
    assert call() == 0
    assert capsys.readouterr().out == table
    assert json.loads(RESULTS.read_text())[-1] == missing
    monkeypatch.setattr(study, "latency_ratio", refused)
    assert call() == 0
    assert call("trainer.max_steps=3") == 1
    assert "name another file" in capsys.readouterr().err


def test_a_calibration_run_is_served_and_exported_as_the_page_says(records, monkeypatch):
    configs = {path.parent: json.loads(path.read_text()) for path in Path("runs").glob("*calibration*/*/config.json")}
    runs = {c["adapter"]["name"]: run for run, c in configs.items() if not c["adapter"]["shared"]}
    task, low_rank = "qa+translation_it", runs["calibration_pp"]
    for arguments in (c[2:] for c in COMMANDS if c[1:2] == ["export"] and "calibration_pp" in c[2]):
        assert run_command("export", f"run={low_rank}", *arguments[1:], monkeypatch=monkeypatch) == 0
    lora, merged = (low_rank / "export" / to / f"{task}-en" for to in ("peft", "merged"))
    assert len(list(lora.parent.iterdir())) == 14 and list(merged.parent.iterdir()) == [merged]
    assert json.loads((lora / "adapter_config.json").read_text())["r"] == 32, "two experts of rank 8, four more"
    card = (lora / "README.md").read_text()
    assert f"`dataset={task}/en`" in card and "Learnable Calibration" in card and f"| {task} | en | seen |" in card

    model = FlixModel.from_run(low_rank, "cpu")
    assert len(model.generate(["Chile: euro; Kenya: rand; Kenya?"], task, "en", max_new_tokens=3)) == 1
    batch = toy_batch(model.backbone, 2)
    model.active.set(model.composer.compose([model.cell(task, "en")] * 2))
    with torch.no_grad():
        wanted = model.backbone(**batch).logits
        peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("toy"), lora).eval()
        for theirs in (peft, AutoModelForCausalLM.from_pretrained(merged).eval()):
            torch.testing.assert_close(theirs(**batch).logits, wanted)


def test_what_a_format_cannot_hold_is_refused(records):
    runs = {path.parent.parent.name: path.parent for path in Path("runs").glob("*calibration*/*/config.json")}
    for run, to, message in (("calibration", "peft", "merged"), ("calibration_pp", "bank", "compositional_experts")):
        with pytest.raises(FlixError, match=message):
            export(str(runs[f"compositional_{run}"]), to, out="refused")
    assert not Path("refused").exists()
