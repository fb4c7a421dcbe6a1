"""The state of a run on disk: whole files, the last few kept; a damaged one is skipped for the one before."""

import io
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import make_directory, write_whole
from flix_lightning.training.callbacks import check_states
from flix_lightning.training.checkpoint_files import STEPS, damage, path_of
from flix_lightning.training.feature_rows import FEATURES, moved, places
from flix_lightning.training.memory import peak_memory_mib


def newest_sound(folder: Path) -> Path | None:
    """The last whole checkpoint; None without checkpoints.

    Raises:
        FlixError: there are checkpoints, and all of them are damaged.
    """
    found = sorted(folder.glob(STEPS), reverse=True)
    for path in found:
        wrong = damage(path)
        if wrong is None:
            return path
        rank_zero_warn(f"checkpoint {str(path)!r} is damaged ({wrong}); the one before it is tried.")
    if found:
        raise FlixError(f"checkpoints: every file in {str(folder)!r} is damaged; remove them to train from the start.")
    return None


def last_state(parent: str | None) -> Path | None:
    """The last checkpoint of the run in directory `parent`; None without such a run.

    Raises:
        FlixError: the run has none left.
    """
    if parent is None:
        return None
    state = newest_sound(Path(parent) / "checkpoints")
    if state is None:
        raise FlixError(f"continue_from: {parent!r} has no checkpoint left to start from.")
    return state


class WholeFiles(TorchCheckpointIO):
    """Lightning's checkpoint files, written whole or not at all, read without executing code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_whole(Path(path), content.getvalue())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Tensors and plain values only, whatever `weights_only` says.

        Raises:
            FlixError: the file holds anything else, or is not a checkpoint of a training run.
        """
        try:
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise FlixError(
                f"checkpoint {str(path)!r} holds more than tensors and plain values, or is damaged; nothing in it was "
                f"run. Remove it if you do not know where it comes from. ({str(error).splitlines()[0]})"
            ) from error
        if not isinstance(checkpoint, dict) or not {"state_dict", "loops", "global_step"} <= checkpoint.keys():
            raise FlixError(f"checkpoint {str(path)!r} is not one of a training run.")
        if FEATURES not in checkpoint:
            raise FlixError(
                f"checkpoint {str(path)!r} was written by an earlier version, which found features by position; "
                "remove the run's folder to train from the start."
            )
        return checkpoint


class Checkpoints(Checkpoint):
    """Saves the run every few steps, and keeps the adapters that were best in validation.

    At a step with a validation the checkpoint is written after it and holds the best adapters so far: each file is the
    whole state of the run, so a kill between two files leaves nothing inconsistent.

    Args:
        folder: of the files.
        every, validate_every: in steps; the last step is validated and saved too.
        keep: how many files.
        adapters: gives the adapters' state.
        features: whose rows these are: feature -> their number, in order.
        brought: the user's callbacks, whose state the files hold too.
    """

    def __init__(
        self,
        folder: Path,
        every: int,
        validate_every: int,
        keep: int,
        adapters: Callable[[], dict[str, Tensor]],
        features: Mapping[str, int],
        brought: Sequence[Callback] = (),
    ) -> None:
        self.folder, self.every, self.validate_every, self.keep = folder, every, validate_every, keep
        self.adapters, self.features, self.brought = adapters, features, brought
        self.best_score: float | None = None
        self.best_step = 0
        self.best_adapters: dict[str, Tensor] = {}
        self._before, self._began, self._memory, self._device_memory = 0.0, time.monotonic(), 0.0, 0.0
        self._saved = 0
        self._stopped: int | None = None  # the `max_steps` of a training that was told to stop before it

    @property
    def seconds(self) -> float:
        """Spent on the run so far, over all restarts, without work that a kill has lost."""
        return self._before + time.monotonic() - self._began

    @property
    def peak_memory_mib(self) -> float:
        """The largest so far, over all restarts."""
        return max(self._memory, peak_memory_mib())

    @property
    def peak_device_memory_mib(self) -> float:
        """The same of a GPU's memory, as far as tensors held it; 0 on a CPU."""
        held = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        return max(self._device_memory, held / 2**20)

    def state_dict(self) -> dict[str, Any]:
        best = {"best_score": self.best_score, "best_step": self.best_step, "best_adapters": self.best_adapters}
        state = {**best, FEATURES: dict(self.features), "stopped": self._stopped}
        peaks = {"peak_memory_mib": self.peak_memory_mib, "peak_device_memory_mib": self.peak_device_memory_mib}
        return {**state, "seconds": self.seconds, **peaks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best_score, self.best_step = state["best_score"], state["best_step"]
        self.best_adapters = moved(state["best_adapters"], places(state[FEATURES], self.features))
        self._before, self._memory = state["seconds"], state["peak_memory_mib"]
        self._device_memory = state.get("peak_device_memory_mib", 0.0)
        self._stopped = state["stopped"]

    def on_load_checkpoint(self, trainer: Trainer, _: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restate progress in the current micro-batches: the number of processes may have changed.

        Lightning then sees a training that was saved after the step's last batch, and validates next where it would
        have without the stop. A training that was told to stop stays stopped, unless `max_steps` is now larger.
        """
        trainer.should_stop = checkpoint["callbacks"][self.state_key]["stopped"] == trainer.max_steps
        loop, step = checkpoint["loops"]["fit_loop"], checkpoint["global_step"]
        done = step * trainer.accumulate_grad_batches
        progress = loop["epoch_loop.batch_progress"]
        progress["is_last_batch"] = False
        for counts in (progress["total"], progress["current"]):
            counts.update(ready=done, started=done, processed=done, completed=done - 1)
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] = step - 1
        self._saved = step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Validate after the last step, whatever `validate_every`: Lightning then validates after any batch."""
        if trainer.global_step == trainer.max_steps:
            trainer.val_check_batch = 1
        elif trainer.global_step % self.validate_every and not trainer.should_stop:  # then a validation comes first
            self._save_if_due(trainer)

    def on_validation_end(self, trainer: Trainer, _: LightningModule) -> None:
        score = float(trainer.callback_metrics["val/score"])
        if self.best_score is None or score > self.best_score:
            self.best_score, self.best_step = score, trainer.global_step
            self.best_adapters = {name: tensor.cpu().clone() for name, tensor in self.adapters().items()}
        self._save_if_due(trainer)

    def _save_if_due(self, trainer: Trainer) -> None:
        self._stopped = trainer.max_steps if trainer.should_stop else None
        last = trainer.should_stop or trainer.global_step == trainer.max_steps
        if last or trainer.global_step % self.every == 0:
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write the state after the last step, unless it is written; every process must call this.

        Raises:
            FlixError: the adapters hold numbers that are not finite, or the disk refuses. Older files stay.
        """
        step = trainer.global_step
        if step == self._saved:
            return
        wrong = [name for name, tensor in self.adapters().items() if not tensor.isfinite().all()]
        if wrong:
            raise FlixError(f"step {step}: {len(wrong)} adapter factors are not finite. {self.last_good()}")
        check_states(self.brought)
        for logger in trainer.loggers:
            logger.save()
        if trainer.is_global_zero:
            make_directory(self.folder)
        trainer.save_checkpoint(path_of(self.folder, step))
        self._saved = step
        if trainer.is_global_zero:
            kept = sorted(path for path in self.folder.glob(STEPS) if path <= path_of(self.folder, step))[-self.keep :]
            for path in set(self.folder.iterdir()) - set(kept):  # older, damaged or half-written
                path.unlink(missing_ok=True)

    def last_good(self) -> str:
        """What is saved, for the message about a failed training."""
        kept = f"The state after step {self._saved} is kept" if self._saved else "Nothing has been saved yet"
        return f"{kept}; a lower optimizer.lr, more optimizer.warmup_steps or trainer.precision=32-true may help."
