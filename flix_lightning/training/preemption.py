"""SLURM's warning before a job loses its machines: save, requeue the job, exit."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only

from flix_lightning.training.checkpoints import Checkpoints
from flix_lightning.training.early_warning import REQUEUE, job_id, noted_warning

SAVE_ONLY = signal.SIGTERM  # the job ends; if it was preempted, SLURM itself puts it back


class Preemption(Callback):
    """Ends a SLURM job after the step in which the warning came, with that step saved; after the first step if it came
    earlier, so that a job that is warned at every start gets on.

    The requeued job runs the same command and continues. Under submitit its own handler requeues, since it has to store
    what to run again.

    Args:
        checkpoints: of the run.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self._warned: signal.Signals | None = None
        self._first = 0
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, _: LightningModule) -> None:
        self._first = trainer.global_step
        self._watch(self._note)
        self._warned = self._warned or noted_warning()

    def on_train_end(self, *_: Any) -> None:
        self._unwatch()

    def on_test_start(self, *_: Any) -> None:
        self._watch(self._leave)
        if self._before and (warned := self._warned or noted_warning()):
            self._leave(warned, None)

    def on_test_end(self, *_: Any) -> None:
        self._unwatch()

    def _watch(self, handler: Callable[[int, FrameType | None], None]) -> None:
        if job_id() is not None:
            self._before = {number: signal.signal(number, handler) for number in (*REQUEUE, SAVE_ONLY)}

    def _unwatch(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, _: FrameType | None) -> None:
        self._warned = signal.Signals(number)

    def on_train_batch_start(self, trainer: Trainer, _: LightningModule, __: Any, batch_idx: int) -> None:
        """Between two whole steps, validation included, all processes exit if one was warned."""
        if not self._before or batch_idx % trainer.accumulate_grad_batches or trainer.global_step == self._first:
            return
        if trainer.strategy.reduce_boolean_decision(self._warned is not None, all=False):
            self.checkpoints.save(trainer)
            rank_zero_only(print)(f"saved after step {trainer.global_step}, on SLURM's warning", flush=True)
            self._leave(self._warned or SAVE_ONLY, None)

    def _leave(self, number: int, _: FrameType | None) -> None:
        if int(os.environ.get("SLURM_PROCID", 0)) == 0 and number in REQUEUE:
            submitits = self._before[signal.Signals(number)]
            if callable(submitits):
                submitits(number, None)
            subprocess.run(["scontrol", "requeue", job_id()], check=True)
        sys.exit(0)
