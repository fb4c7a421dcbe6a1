"""Calibration runs on a toy backbone: what trains, what they write, how they are scored and served again."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger
from safetensors.torch import load_file

from flix_lightning.adapters.corrections import CORRECTIONS
from flix_lightning.adapters.injection import adapter_state
from flix_lightning.common.errors import FlixError
from flix_lightning.data.benchmarks.cldr_compositional.benchmark import CldrCompositional
from flix_lightning.evaluation.evaluate import evaluate
from flix_lightning.training.assembly import build_experiment
from flix_lightning.training.run import train
from tests.configs import composed, untrained_backbone
from tests.docs.test_readme import COMMANDS

SMALL = (
    "benchmark=cldr_compositional",
    "benchmark.rows={train: 20, validation: 1, test: 1}",
    "benchmark.composite_train_rows=10",
    "data.batch_size=8",
    "data.bucket=2",
    "trainer.max_steps=4",
    "trainer.validate_every=4",
    "trainer.checkpoint_every=2",
    "trainer.progress=false",
    "trainer.accelerator=cpu",
    "logger=none",
)
COMPOSITE = "mixture.tasks=[qa+style_long, ner+style_short]"


def benchmark() -> CldrCompositional:
    return CldrCompositional({"train": 20, "validation": 1, "test": 1}, 10)


def run(folder: str | Path, *overrides: str) -> dict:
    return train(composed(*SMALL, *overrides), Path(folder), benchmark(), untrained_backbone(), None)


@pytest.fixture(scope="module")
def experts(tmp_path_factory) -> Path:
    """A finished run of single-task features."""
    folder = tmp_path_factory.mktemp("runs") / "experts"
    run(folder, "mixture=single_tasks", "adapter=flix", "adapter.axes=[task]", "adapter.dropout_axes=[]",
        "optimizer.lr=0.1")  # fmt: skip
    return folder


@pytest.mark.parametrize("adapter", ["calibration", "calibration_pp"])
def test_norms_of_the_corrections_are_logged(experts, adapter, tmp_path):
    config = composed(*SMALL, *calibration(experts, f"adapter={adapter}"), "trainer.max_steps=10")
    logger = CSVLogger(tmp_path, "", "")
    train(config, tmp_path / "run", benchmark(), untrained_backbone(), logger)
    with open(tmp_path / "metrics.csv") as file:
        logged = [row for row in csv.DictReader(file) if row.get("gradient_norm/dataset")]
    assert float(logged[0]["gradient_norm/dataset"]) > 0 and float(logged[0]["update_norm/dataset"]) > 0


def calibration(experts: Path, *overrides: str) -> tuple[str, ...]:
    return ("mixture=composite_tasks", COMPOSITE, f"adapter.bank={experts}", *overrides)


@pytest.mark.parametrize("adapter", ["calibration", "calibration_pp"])
def test_a_run_trains_the_corrections_only_and_is_found_again(experts, adapter):
    before = load_file(experts / "adapter.safetensors")
    record = run("run", *calibration(experts, f"adapter={adapter}", "optimizer.lr=0.1"))
    assert json.loads(Path("run/record.json").read_text()) == record
    corrections = load_file(f"run/{CORRECTIONS}")
    assert sum(t.numel() for t in corrections.values()) == sum(record["parameters"].values())
    assert list(record["parameters"]) == ["dataset"]
    assert all(t.any() for t in corrections.values())
    assert not Path("run/adapter.safetensors").exists()
    again = load_file(experts / "adapter.safetensors")
    assert all(torch.equal(tensor, again[name]) for name, tensor in before.items())
    assert {row["task"] for row in record["cells"]} == {"qa+style_long", "ner+style_short"}
    trainer = Trainer(accelerator="cpu", precision=record["precision"], logger=False, enable_progress_bar=False)
    chosen = {"tasks": ["qa+style_long", "ner+style_short"]}
    scored, _ = evaluate(Path("run"), benchmark(), benchmark(), untrained_backbone(), trainer, **chosen)
    key = ("task", "score")
    assert [[row[k] for k in key] for row in scored["cells"]] == [[row[k] for k in key] for row in record["cells"]]


def test_one_correction_for_all_has_its_own_axis(experts):
    overrides = calibration(experts, "adapter=calibration", "adapter.shared=true")
    module = build_experiment(composed(*SMALL, *overrides), benchmark(), untrained_backbone()).module
    assert list(module.parameters_by_axis()) == ["shared"]
    assert all(len(parameter) == 1 for parameter in module.factors())


@pytest.mark.parametrize("adapter", ["calibration", "calibration_pp"])
def test_the_study_corrects_the_bank_as_it_was_trained(experts, adapter):
    config = composed("experiment=compositional_calibration", f"adapter={adapter}", f"adapter.bank={experts}")
    assert config["name"] == f"compositional_{adapter}"
    module = build_experiment(config, benchmark(), untrained_backbone()).module
    wanted = load_file(experts / "adapter.safetensors")
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in adapter_state(module.backbone).items())
    corrections = [feature for feature in module.composer.space if feature.axis == "dataset"]
    assert len(corrections) == 14


@pytest.mark.parametrize(
    "arguments", [c for c in COMMANDS if any(part.startswith("adapter.bank") for part in c)], ids=" ".join
)
def test_the_commands_of_the_page_build(experts, arguments):
    shutil.copytree(experts, "runs/compositional_experts/HASH")
    module = build_experiment(composed(*arguments[2:]), benchmark(), untrained_backbone()).module
    low_rank, shared = ("adapter=calibration_pp" in arguments), ("adapter.shared=true" in arguments)
    assert {name.rpartition(".")[2] for name in module.trained_state()} == {"lora_b"} | (
        {"lora_a"} if low_rank else set()
    )
    assert {len(factor) for factor in module.factors()} == {(4 if low_rank else 1) * (1 if shared else 14)}


@pytest.mark.slow
def test_a_run_cut_off_and_continued_equals_one_that_was_not(experts, monkeypatch):
    overrides = calibration(experts, "adapter=calibration_pp")
    whole = run("whole", *overrides)
    steps = {"left": 3}
    from flix_lightning.training.calibrated_module import CalibratedModule

    step = CalibratedModule.training_step

    def dying(self, batch, index):
        steps["left"] -= 1
        if steps["left"] < 0:
            raise RuntimeError("power cut")
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(CalibratedModule, "training_step", dying)
        with pytest.raises(RuntimeError, match="power cut"):
            run("cut", *overrides)
    assert run("cut", *overrides)["cells"] == whole["cells"]
    first, second = (load_file(f"{name}/{CORRECTIONS}") for name in ("whole", "cut"))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.mark.parametrize(
    "override, told",
    [
        ("adapter.bank=nowhere", "^adapter.bank: .*nowhere"),
        ("adapter.rank=0", "adapter.rank"),
        ("+adapter.ranks=4", "adapter.rank"),
        ("+warm_start={bank: x}", "warm_start"),
    ],
)
def test_bad_settings_are_one_clear_error(experts, override, told):
    overrides = [*calibration(experts, "adapter=calibration")]
    if override.startswith("adapter.bank"):
        overrides = [o for o in overrides if not o.startswith("adapter.bank")]
    with pytest.raises(FlixError, match=told):
        run("refused", *overrides, override)
    assert not Path("refused").exists()
