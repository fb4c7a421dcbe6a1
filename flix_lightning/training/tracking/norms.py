"""Statistics of features in training: norms of gradients and updates by axis, and how often each feature is used."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from flix_lightning.adapters.composition import Composer


def axis_norms(tensors: list[Tensor], axes: Mapping[str, slice]) -> dict[str, Tensor]:
    """Axis -> the Euclidean norm of its rows in all of `tensors`, (rows, width) each; no synchronisation."""
    return {
        axis: torch.linalg.vector_norm(torch.stack(torch._foreach_norm([tensor[rows] for tensor in tensors])))
        for axis, rows in axes.items()
    }


class AxisNorms(Callback):
    """Logs `gradient_norm/<axis>`, before clipping, `update_norm/<axis>` and the learning rate.

    Only logged steps pay for it: a copy of the factors and a few products, without synchronising the device.
    """

    def __init__(self) -> None:
        self._before: list[Tensor] = []
        self._gradients: dict[str, Tensor] = {}

    def on_before_optimizer_step(self, trainer: Trainer, module: LightningModule, _: Any) -> None:
        if (trainer.global_step + 1) % trainer.log_every_n_steps == 0:
            self._before = [factor.detach().clone() for factor in module.factors()]
            axes = module.factor_rows()
            if module.working:  # its rows stand in the same order
                ends = {axis: torch.tensor([rows.start, rows.stop]) for axis, rows in axes.items()}
                axes = {axis: slice(*module.working.places(found).tolist()) for axis, found in ends.items()}
            self._gradients = axis_norms([factor.grad for factor in module.trained()], axes)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        if not self._before:
            return
        factors = [factor.detach() for factor in module.factors()]
        updates = axis_norms(torch._foreach_sub(factors, self._before), module.factor_rows())
        self._before = []
        module.log_dict({f"gradient_norm/{axis}": norm for axis, norm in self._gradients.items()})
        module.log_dict({f"update_norm/{axis}": norm for axis, norm in updates.items()})
        module.log("train/lr", trainer.optimizers[0].param_groups[0]["lr"])


class FeatureUse(Callback):
    """Counts the training examples that each feature served, without those that it was dropped for."""

    def __init__(self, composer: Composer) -> None:
        self.composer = composer
        self._uses = torch.zeros(composer.total_rank, dtype=torch.long)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, _: Any, __: Any, batch_idx: int) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:  # every micro-batch knows the whole global batch
            rows, examples = module.row_uses
            self._uses[rows] += examples

    def counts(self) -> dict[str, int]:
        """Feature -> examples, in the order of the feature space."""
        return {str(f): int(self._uses[self.composer.ranks_of(f).start]) for f in self.composer.space}

    def state_dict(self) -> dict[str, Any]:
        return {"uses": self.counts()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for feature in self.composer.space:
            self._uses[list(self.composer.ranks_of(feature))] = state["uses"][str(feature)]
