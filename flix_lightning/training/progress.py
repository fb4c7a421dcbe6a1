"""Progress of training and scoring: bars on a terminal, a line at least every ten seconds in a log file."""

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, RichProgressBar

from flix_lightning.common.progress import Pace, duration, on_terminal, tell


class StepBar(RichProgressBar):
    """Bars that count steps: there are no epochs here."""

    def __init__(self) -> None:
        super().__init__(console_kwargs={"stderr": True})

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"


class StepLines(Callback):
    """Lines with step, loss, speed and the time left: after the first step and every validation, and at least
    every ten seconds, unless a micro-batch takes longer.
    """

    def __init__(self) -> None:
        self._pace, self._scoring = Pace(), Pace()
        self._first, self._began, self._validating, self._validation = 0, 0.0, 0.0, 0.0

    def on_train_start(self, trainer: Trainer, _: LightningModule) -> None:
        self._began, self._first, self._validating = time.monotonic(), trainer.global_step, 0.0

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        first = trainer.global_step == self._first + 1 and trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if trainer.is_global_zero and (self._pace.due() or first):
            tell(self._line(trainer))

    def _line(self, trainer: Trainer) -> str:
        """The line for the current step."""
        step, scores = trainer.global_step, trainer.callback_metrics
        shown = [f"{name} {float(scores[name]):.3f}" for name in ("train/loss", "val/score") if name in scores]
        done = step - self._first
        if not done:
            return f"step {step}/{trainer.max_steps}"
        speed = (time.monotonic() - self._began - self._validating) / done
        left = f"{duration(self._seconds_left(trainer, speed))} left"
        return "  ".join([f"step {step}/{trainer.max_steps}", *shown, f"{speed:.2f} s/step", left])

    def _seconds_left(self, trainer: Trainer, speed: float) -> float:
        """Of training, and of its validations once one has been seen."""
        every = trainer.val_check_interval // trainer.accumulate_grad_batches
        validations = trainer.max_steps // every - trainer.global_step // every
        return (trainer.max_steps - trainer.global_step) * speed + validations * self._validation

    def _start_scoring(self, *_: Any) -> None:
        self._scoring = Pace()

    def _scored(self, trainer: Trainer, what: str, done: int, batches: float) -> None:
        if trainer.is_global_zero and self._pace.due():
            tell(f"{what}: batch {done}/{batches}  {self._scoring.left(done, int(batches))} left")

    on_validation_start = on_test_start = _start_scoring

    def on_validation_batch_end(self, trainer: Trainer, _: Any, __: Any, ___: Any, batch_idx: int, *____: Any) -> None:
        self._scored(trainer, "validation", batch_idx + 1, sum(trainer.num_val_batches))

    def on_test_batch_end(self, trainer: Trainer, _: Any, __: Any, ___: Any, batch_idx: int, *____: Any) -> None:
        self._scored(trainer, "test", batch_idx + 1, sum(trainer.num_test_batches))

    def on_validation_end(self, trainer: Trainer, _: LightningModule) -> None:
        self._validation = time.monotonic() - self._scoring.began
        self._validating += self._validation
        if trainer.is_global_zero:
            tell(self._line(trainer))


def progress(wanted: bool) -> list[Callback]:
    """The callback to show progress with, if any."""
    if not wanted:
        return []
    return [StepBar()] if on_terminal() else [StepLines()]
