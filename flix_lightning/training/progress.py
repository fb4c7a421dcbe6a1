"""Progress on the screen: a bar on a terminal, plain lines in a log file."""

import sys
import time

from lightning import Trainer
from lightning.pytorch.callbacks import Callback, RichProgressBar


class StepBar(RichProgressBar):
    """A bar that counts steps: there are no epochs here."""

    def _get_train_description(self, current_epoch: int) -> str:
        return "training"


class StepLines(Callback):
    """A line at every validation, for logs."""

    def on_train_start(self, trainer: Trainer, _) -> None:
        self._began, self._first = time.monotonic(), trainer.global_step

    def on_validation_end(self, trainer: Trainer, _) -> None:
        if not trainer.is_global_zero:
            return
        per_step = (time.monotonic() - self._began) / max(1, trainer.global_step - self._first)
        figures = {name: float(trainer.callback_metrics[name]) for name in ("train/loss", "val/score")}
        told = "  ".join(f"{name} {value:.3f}" for name, value in figures.items())
        print(f"step {trainer.global_step}/{trainer.max_steps}  {told}  {per_step:.2f} s/step", flush=True)


def progress(wanted: bool) -> list[Callback]:
    """The callback to show progress with, if any."""
    if not wanted:
        return []
    return [StepBar()] if sys.stderr.isatty() else [StepLines()]
