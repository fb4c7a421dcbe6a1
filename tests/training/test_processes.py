"""Two or four processes train what one trains, and may take over from one another."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from flix_lightning.adapters.bank_file import ADAPTER
from flix_lightning.data.predictions import predictions_file
from tests.configs import FLIX, ROOT, SMALL
from tests.processes import run_on, steps_seen

pytestmark = pytest.mark.slow


def predictions(folder: str) -> bytes:
    return predictions_file(Path(folder, "record.json")).read_bytes()


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The run on one process: its folder and record."""
    folder = str(tmp_path_factory.mktemp("one"))
    return folder, run_on(1, folder)


@pytest.mark.parametrize(
    ("processes", "overrides"), [(2, ()), (4, ()), (2, ("data.micro_batch_size=2", "data.workers=1"))]
)
def test_any_number_of_processes_trains_the_same_run(processes, overrides, one, tmp_path):
    many = run_on(processes, "many", *overrides)
    ours, theirs = steps_seen(one[0]), steps_seen("many")
    assert ours.keys() == theirs.keys() == set(range(6))
    for step, whole in ours.items():
        assert whole["examples"] == theirs[step]["examples"]
        assert whole["gates"] == theirs[step]["gates"]
        (loss,), (same, *others) = whole["losses"], theirs[step]["losses"]
        assert not others, "all processes tell the same loss"
        assert abs(same - loss) <= 1e-5 * loss
    assert many["cells"] == one[1]["cells"]
    assert many["validation_scores"] == one[1]["validation_scores"]
    assert many["mixing"] == one[1]["mixing"]
    assert predictions("many") == predictions(one[0])
    weights, same = load_file(f"{one[0]}/{ADAPTER}"), load_file(f"many/{ADAPTER}")
    for name in weights:
        torch.testing.assert_close(weights[name], same[name], rtol=1e-4, atol=1e-5)


def test_the_number_of_processes_may_change_on_resume(one):
    run = Path("changed")
    run_on(2, "changed", "trainer.checkpoint_every=2", "trainer.keep_checkpoints=3")
    for late in [run / "record.json", *run.glob("checkpoints/step-*[56].ckpt")]:
        late.unlink()
    for seen in run.glob("seen-*.json"):
        seen.unlink()
    again = run_on(1, "changed")
    assert list(steps_seen("changed"))[-2:] == [4, 5]
    assert again["cells"] == one[1]["cells"]
    assert predictions("changed") == predictions(one[0])
    assert again["validation_scores"] == one[1]["validation_scores"]
    weights, same = load_file(f"{one[0]}/{ADAPTER}"), load_file(f"changed/{ADAPTER}")
    for name in weights:
        torch.testing.assert_close(weights[name], same[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_the_last_step_is_validated_on_several_processes(strategy, tmp_path):
    odd = ("trainer.max_steps=5", "trainer.validate_every=3")
    one, many = run_on(1, "one", *odd), run_on(2, "many", *odd, strategy=strategy)
    assert [step for step, _ in many["validation_scores"]] == [3, 5]
    assert many["validation_scores"] == one["validation_scores"]


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_backbone_shared_out_trains_the_same_adapters(kind, tmp_path):
    run_on(1, "one", kind=kind)
    stop = ("trainer.checkpoint_every=2", "trainer.keep_checkpoints=3")
    run_on(2, "many", *stop, kind=kind, strategy="fsdp2")
    for late in [Path("many/record.json"), *Path("many/checkpoints").glob("step-*6.ckpt")]:
        late.unlink()
    run_on(2, "many", *stop, kind=kind, strategy="fsdp2")  # from step 4
    one, many = (json.loads(Path(run, "record.json").read_text()) for run in ("one", "many"))
    assert many["cells"] == one["cells"]
    assert predictions("many") == predictions("one")
    state = torch.load(sorted(Path("many/checkpoints").iterdir())[-1], weights_only=True)["state_dict"]
    assert {name.rpartition(".")[2] for name in state} == {"lora_a", "lora_b"}
    weights, same = load_file(f"one/{ADAPTER}"), load_file(f"many/{ADAPTER}")
    for name in weights:
        torch.testing.assert_close(weights[name], same[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_a_working_set_across_processes_trains_what_whole_banks_train(strategy, tmp_path):
    few = ("data.batch_size=2", "trainer.max_steps=4")  # of 18 ranks, 12 at most are used by a step
    run_on(1, "one", *few, working=False)
    run_on(2, "many", *few, strategy=strategy)
    ours, theirs = steps_seen("one"), steps_seen("many")
    for step in range(4):
        (loss,), (same,) = ours[step]["losses"], theirs[step]["losses"]
        assert abs(same - loss) <= 1e-5 * loss
    assert {step["working"] for step in ours.values()} == {False} and theirs[0]["working"]
    weights, same = load_file(f"one/{ADAPTER}"), load_file(f"many/{ADAPTER}")
    for name in weights:
        torch.testing.assert_close(weights[name], same[name], rtol=1e-4, atol=1e-5)


TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
LAUNCHES = {
    "flix": [str(Path(sys.executable).with_name("flix")), "train"],
    "flix without a console script": [*FLIX, "train"],
    "train.py": [sys.executable, str(ROOT / "train.py")],
    "torchrun": [*TORCHRUN, "-m", "flix_lightning", "train"],
    "torchrun train.py": [*TORCHRUN, str(ROOT / "train.py")],
}


@pytest.mark.parametrize("launch", LAUNCHES)
def test_the_commands_start_two_processes(launch, tmp_path):
    small = [override for override in SMALL if not override.startswith("runs_dir")]
    several = ["trainer=ddp", "trainer.devices=2", "trainer.max_steps=2", f"runs_dir={tmp_path}/runs"]
    told = subprocess.run(
        [*LAUNCHES[launch], *small, *several], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("semantic_parsing") == 1, "one process reports"
    (record,) = tmp_path.glob("runs/*/*/record.json")
    assert json.loads(record.read_text())["steps"] == 2
