"""On a GPU: a step that waits for nothing, the numbers of a CPU, exact continuation, sharded weights;
skipped where there is none.
"""

import csv
import warnings
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch.distributed.tensor import DTensor

from flix_lightning.adapters.bank_file import ADAPTER
from flix_lightning.adapters.injection import featurized_linears
from flix_lightning.training.module import FlixModule
from flix_lightning.training.run import train
from flix_lightning.training.tracking.metrics_file import MetricsFile
from tests.commands.test_commands import run_command
from tests.configs import SMALL, composed, small_benchmark, untrained_backbone
from tests.families import save_family
from tests.processes import FULL
from tests.training.test_resume import PowerCut, cut_at

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of CUDA")]
GPU = "trainer.accelerator=gpu"


def run(folder: str, *overrides: str, kind: str = "llama", callbacks: tuple[Callback, ...] = ()) -> dict:
    """Of `train`: the record."""
    path, config = Path(folder), composed(*SMALL, *FULL, *overrides)
    return train(config, path, small_benchmark(), untrained_backbone(kind), MetricsFile(path), callbacks=[*callbacks])


def losses(folder: str) -> list[float]:
    with Path(folder, "metrics.csv").open() as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]


class Waits(Callback):
    """The files of the code that waited for the GPU, from the start of the second step to the end of the fifth."""

    def __init__(self) -> None:
        self.told = warnings.catch_warnings(record=True)

    def on_train_batch_start(self, trainer, *_) -> None:
        if trainer.global_step == 1:
            self.found = self.told.__enter__()
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")

    def on_train_batch_end(self, trainer, *_) -> None:
        if trainer.global_step == 5:
            torch.cuda.set_sync_debug_mode("default")
            self.told.__exit__()

    def files(self) -> set[str]:
        return {Path(warned.filename).name for warned in self.found if "synchronizing" in str(warned.message)}


@pytest.mark.parametrize("kind", ["llama", "t5"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(
    "sizes", [(), ("data.batch_size=2", "+optimizer.axis_lr.task=2")], ids=["whole banks", "a working set"]
)
def test_a_step_waits_for_nothing_of_ours(sizes, precision, kind):
    """transformers asks a GPU whether a batch is packed, or padded, when it builds a mask."""
    often, waits = ("trainer.validate_every=6", "trainer.checkpoint_every=6", "trainer.log_every_n_steps=10"), Waits()
    run("run", GPU, f"trainer.precision={precision}", *often, *sizes, kind=kind, callbacks=(waits,))
    assert waits.files() <= {"masking_utils.py"}


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_run_is_that_of_a_cpu(kind):
    there, here = run("gpu", GPU, kind=kind), run("cpu", kind=kind)
    assert losses("gpu") == pytest.approx(losses("cpu"), rel=1e-4)
    assert there["peak_device_memory_mib"] > 0
    for cell, other in zip(there["cells"], here["cells"]):
        assert cell["score"] == pytest.approx(other["score"], abs=1.0), cell


@pytest.mark.parametrize("changed", ["trainer.compile=true", "trainer.gradient_checkpointing=true"])
def test_options_change_no_loss(changed):
    run("plain", GPU), run("changed", GPU, changed)
    assert losses("changed") == pytest.approx(losses("plain"), rel=1e-4)


def test_auto_is_bf16_on_a_gpu_that_has_it():
    has_it = torch.cuda.get_device_capability() >= (8, 0)
    assert run("run", GPU, "trainer.precision=auto")["precision"] == ("bf16-mixed" if has_it else "32-true")


@pytest.mark.parametrize("kind", ["llama", "t5"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_run_cut_off_ends_the_same(precision, kind, monkeypatch):
    """Bit for bit, as on a CPU, where PyTorch is asked for it: else a GPU adds up in no fixed order."""
    settings = (GPU, f"trainer.precision={precision}", "+trainer.lightning.deterministic=true")
    run("whole", *settings, kind=kind)
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, "validation", 2)
        run("cut", *settings, kind=kind)
    assert not Path("cut/record.json").exists()
    run("cut", *settings, kind=kind)
    assert losses("cut") == losses("whole")
    assert Path("cut", ADAPTER).read_bytes() == Path("whole", ADAPTER).read_bytes()


class SharedOut(Callback):
    """Whether the frozen linears lie in shards after a step and after a batch is scored."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    def _look(self, module: FlixModule) -> None:
        weights = [bank.base.weight for bank in featurized_linears(module.backbone).values()]
        self.seen.append(all(isinstance(weight, DTensor) for weight in weights))

    def on_train_batch_end(self, _, module, *__) -> None:
        self._look(module)

    def on_validation_batch_end(self, _, module, *__) -> None:
        self._look(module)


def test_a_sharded_run_is_that_of_one_process():
    look = SharedOut()
    sharded = run("sharded", GPU, "trainer=fsdp2", "trainer.devices=1", callbacks=(look,))
    whole = run("whole", GPU)
    assert look.seen and all(look.seen)
    assert losses("sharded") == pytest.approx(losses("whole"), rel=1e-4)
    assert [cell["score"] for cell in sharded["cells"]] == pytest.approx([c["score"] for c in whole["cells"]], abs=1.0)


def test_quantized_weights_on_a_gpu_are_not_trained_on_the_cpu(tmp_path, monkeypatch, capfd):
    pytest.importorskip("bitsandbytes")
    model = (f"model.name={save_family('qwen3', tmp_path / 'model')}", "model.quantization=4bit")
    assert run_command("train", "model=pretrained", *model, *SMALL, monkeypatch=monkeypatch) == 1
    assert "trainer.accelerator=cpu is a cpu, and the model's weights lie on cuda:0" in capfd.readouterr().err
