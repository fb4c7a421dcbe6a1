"""A training step waits neither for a GPU nor, but for its gradients, for other processes; a validation meets once."""

import json
import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import Callback

from flix_lightning.training.run import train
from tests.configs import SMALL, composed, small_benchmark, untrained_backbone
from tests.processes import FORK, FULL, free_port
from tests.waiting import Copies, Waits, meetings

pytestmark = pytest.mark.slow
FIRST, LAST = 1, 4  # of the steps that are watched, from the end of the one to the end of the other
ON_CPUS = {"_unique2 in flix_lightning/adapters/active.py:set"}  # only where compositions lie on a CPU
LIGHTNINGS = {"broadcast in lightning/pytorch/loops/training_epoch_loop.py:_broadcast_sigterm_tensor"}  # and DDP's sum
SETTINGS = ("trainer.validate_every=6", "trainer.checkpoint_every=6", "trainer.log_every_n_steps=10")


class Watch(Callback):
    """Counts over some steps, and over a validation."""

    def __init__(self) -> None:
        self.stack = ExitStack()

    def on_train_batch_end(self, trainer, module, *_) -> None:
        if trainer.global_step == FIRST:
            self.waits = Waits([*module.parameters(), *module.buffers()])
            self.met = self.stack.enter_context(meetings())
            self.stack.enter_context(self.waits)
            self.stack.enter_context(Copies(self.waits))
        if trainer.global_step == LAST:
            self.stack.close()

    def on_validation_start(self, *_) -> None:
        self.scored = self.stack.enter_context(meetings())

    def on_validation_end(self, *_) -> None:
        self.stack.close()

    def told(self) -> dict[str, dict[str, int]]:
        return {"values": self.waits.values, "copies": self.waits.copies, "met": self.met, "scored": self.scored}


def run(rank: int, processes: int, port: str, overrides: tuple[str, ...]) -> None:
    if processes > 1:
        numbers = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "LOCAL_WORLD_SIZE": 2, "WORLD_SIZE": 2}
        os.environ.update({name: str(number) for name, number in numbers.items()})
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, TORCHELASTIC_RUN_ID="1")
        overrides = (*overrides, "trainer.strategy=ddp", "trainer.devices=2")
    watch = Watch()
    config = composed(*SMALL, *FULL, *SETTINGS, *overrides)
    train(config, Path("run"), small_benchmark(), untrained_backbone(), None, callbacks=[watch])
    Path(f"waited-{rank}.json").write_text(json.dumps(watch.told()))


@pytest.mark.parametrize(
    ("processes", "overrides"),
    [(1, ()), (2, ()), (2, ("data.batch_size=2", "+optimizer.axis_lr.task=2"))],
    ids=["one process", "whole banks", "a working set"],
)
def test_a_step_waits_for_nothing_but_its_gradients(processes, overrides, tmp_path):
    port = str(free_port())
    started = [FORK.Process(target=run, args=(rank, processes, port, overrides)) for rank in range(processes)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * processes
    for rank in range(processes):
        told = json.loads(Path(f"waited-{rank}.json").read_text())
        assert set(told["values"]) <= ON_CPUS, told["values"]
        assert set(told["copies"]) == {"flix_lightning/data/batches.py:sent"}, told["copies"]
        assert set(told["met"]) == (LIGHTNINGS if processes > 1 else set()), told["met"]
        meetings = {"all_reduce in flix_lightning/data/scores.py:summed": 1} if processes > 1 else {}
        assert told["scored"] == meetings
