"""Around every training step: the random numbers it draws, and its loss over all micro-batches and processes."""

from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from flix_lightning.common.errors import FlixError
from flix_lightning.training.checkpoints import Checkpoints


class StepSeed(Callback):
    """Seeds PyTorch for every micro-batch, so that a backbone's own dropout is the same after a restart.

    Feature dropout does not need it: its gates are a function of the step, on any number of processes. A backbone's
    dropout also depends on the process and micro-batch, since each has other examples.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, _: LightningModule, __: Any, batch_idx: int) -> None:
        place = [self.seed, trainer.global_rank, batch_idx]
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))


class StepLoss(Callback):
    """Logs `train/loss`, the mean over all target tokens of the global batch, and stops when it is not finite.

    Args:
        checkpoints: of the run, for the message.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self._sum = torch.zeros(())

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: dict[str, Any], _: Any, batch_idx: int
    ) -> None:
        """
        Raises:
            FlixError: the loss is not finite; checked only when it is logged, to avoid waiting for a GPU at every step.
        """
        self._sum = self._sum.to(module.device) + outputs["loss"].detach()  # a share of it already
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        loss, self._sum = trainer.strategy.reduce(self._sum, reduce_op="mean"), torch.zeros(())
        module.log("train/loss", loss, prog_bar=True)
        if trainer.global_step % trainer.log_every_n_steps == 0 and not loss.isfinite():
            raise FlixError(f"the loss is {loss.item()} at step {trainer.global_step}. {self.checkpoints.last_good()}")
