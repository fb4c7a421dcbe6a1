"""Several training processes on this machine, forked so that the libraries are imported once."""

import json
import os
import socket
from multiprocessing import get_context
from pathlib import Path

from flix_lightning.training.module import FlixModule
from flix_lightning.training.run import train
from tests.configs import SMALL, composed, small_benchmark, untrained_backbone

FORK = get_context("fork")
FULL = ("trainer.precision=32-true", "data.eval_batch_size=4", "feature_dropout.p=0.3", "trainer.log_every_n_steps=1")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_on(
    processes: int, folder: str, *overrides: str, kind: str = "llama", strategy: str = "ddp", working: bool = True
) -> dict:
    """Train on so many processes, as torchrun would start them; returns the record.

    Without `working`, whole banks are trained where a working set would be smaller.
    Every process writes what it saw of each step to `<folder>/seen-<rank>.json`.
    """
    port = str(free_port())
    started = [
        FORK.Process(target=_one, args=(rank, processes, port, folder, overrides, kind, strategy, working))
        for rank in range(processes)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * processes
    return json.loads(Path(folder, "record.json").read_text())


def _one(
    rank: int,
    processes: int,
    port: str,
    folder: str,
    overrides: tuple[str, ...],
    kind: str,
    strategy: str,
    working: bool,
) -> None:
    ddp = []
    if processes > 1:
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "LOCAL_WORLD_SIZE": processes}
        os.environ.update({name: str(number) for name, number in numbers.items()})
        os.environ.update(WORLD_SIZE=str(processes), MASTER_ADDR="127.0.0.1", MASTER_PORT=port, TORCHELASTIC_RUN_ID="1")
        ddp = [f"trainer.strategy={strategy}", f"trainer.devices={processes}"]
    seen: list[dict] = []
    step, log = FlixModule.training_step, FlixModule.log

    def watched_step(self, batch, index):
        ids, mask = batch.inputs["input_ids"], batch.inputs["attention_mask"].bool()
        rows = [row[kept].tolist() for row, kept in zip(ids, mask)]
        loss = step(self, batch, index)
        gates = self.active.current.weight.tolist()
        seen.append(
            {
                "step": batch.step,
                "examples": dict(zip(batch.positions, rows)),
                "gates": dict(zip(batch.positions, gates)),
                "working": self.active.working,
            }
        )
        return loss

    def watched_log(self, name, value, *arguments, **named):
        if name == "train/loss":
            seen[-1]["loss"] = float(value)
        log(self, name, value, *arguments, **named)

    FlixModule.training_step, FlixModule.log = watched_step, watched_log
    if not working:
        FlixModule.work_on = lambda *sizes: None
    run = Path(folder)
    train(composed(*SMALL, *FULL, *ddp, *overrides), run, small_benchmark(), untrained_backbone(kind), None)
    (run / f"seen-{rank}.json").write_text(json.dumps(seen))


def steps_seen(folder: str) -> dict[int, dict]:
    """Step -> the examples and gates of all processes by their place in the global batch, and the losses told."""
    steps: dict[int, dict] = {}
    for path in Path(folder).glob("seen-*.json"):
        for part in json.loads(path.read_text()):
            step = steps.setdefault(
                part["step"], {"examples": {}, "gates": {}, "losses": set(), "working": part["working"]}
            )
            assert not step["examples"].keys() & part["examples"].keys(), "an example is served twice"
            step["examples"] |= part["examples"]
            step["gates"] |= part["gates"]
            step["losses"] |= {part["loss"]} if "loss" in part else set()
    return steps
