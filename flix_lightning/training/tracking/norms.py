"""Statistics of features in training: norms of gradients and updates by axis, and how often each feature is used."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from flix_lightning.adapters.composition import Composer, Composition
from flix_lightning.common.errors import FlixError


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
    """Counts the training examples that each feature served, and those that it served alone.

    An example that a feature was dropped for is none of its own; where all others were dropped, or there is no other,
    it trains the feature alone.
    """

    def __init__(self, composer: Composer) -> None:
        self.composer = composer
        ranks = [composer.ranks_of(feature) for feature in composer.space]
        self._first = torch.tensor([rank.start for rank in ranks for _ in rank])  # of each rank's feature
        self._uses, self._alone = (torch.zeros(composer.total_rank, dtype=torch.long) for _ in range(2))

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, _: Any, __: Any, batch_idx: int) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:  # every micro-batch knows the whole global batch
            self.count(module.global_composition)

    def count(self, composition: Composition) -> None:
        """Add the examples of a batch."""
        rows, examples = composition.row_uses()
        self._uses[rows] += examples
        first, off = self._first[composition.index], composition.weight == 0
        lowest, highest = first.masked_fill(off, self.composer.total_rank).amin(1), first.masked_fill(off, -1).amax(1)
        rows, examples = lowest[lowest == highest].unique(return_counts=True)
        self._alone[rows] += examples

    def record(self) -> dict[str, dict[str, int]]:
        """The record's part: feature -> examples, in the order of the feature space; in all, and alone."""
        counted = {"feature_use": self._uses, "feature_use_alone": self._alone}
        return {
            key: {str(f): int(examples[self.composer.ranks_of(f).start]) for f in self.composer.space}
            for key, examples in counted.items()
        }

    def state_dict(self) -> dict[str, Any]:
        return self.record()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        Raises:
            FlixError: an earlier version wrote the checkpoint, and did not count examples that a feature served alone.
        """
        if missing := self.record().keys() - state.keys():
            raise FlixError(
                f"the checkpoint was written by an earlier version, which did not count {', '.join(sorted(missing))}; "
                "start the run anew, with the same command, after removing its folder."
            )
        for key, examples in {"feature_use": self._uses, "feature_use_alone": self._alone}.items():
            for feature in self.composer.space:
                examples[list(self.composer.ranks_of(feature))] = state[key][str(feature)]
