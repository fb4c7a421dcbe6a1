"""Callbacks that a config names: Lightning's and the user's own, if a stopped run can continue with them."""

import io
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from lightning.pytorch import callbacks as lightning
from lightning.pytorch.callbacks import Callback

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.targets import Trust, construct

REFUSED = {  # kind -> why
    lightning.Checkpoint: "the run writes its own checkpoints: trainer.checkpoint_every, trainer.keep_checkpoints",
    lightning.ProgressBar: "trainer.progress shows the progress",
    lightning.GradientAccumulationScheduler: "data.micro_batch_size says how a step is divided",
    lightning.BatchSizeFinder: "the batch decides the result: data.batch_size, data.micro_batch_size",
    lightning.LearningRateFinder: "the learning rate decides the result: optimizer.lr",
    lightning.Timer: "it would end a run at another step each time; a stopped run continues with the same command",
    lightning.BaseFinetuning: "the backbone stays frozen",
    lightning.ModelPruning: "the adapters' size is their rank",
    lightning.StochasticWeightAveraging: "it counts epochs, and training has none",
    lightning.WeightAveraging: "it averages the frozen backbone too, and the best adapters are kept as trained",
}


def make_callbacks(sections: Mapping[str, Any], trust: Trust = ()) -> list[Callback]:
    """The callbacks of a config's `callbacks` section, name -> section.

    Args:
        trust: see `construct`.

    Raises:
        FlixError: a section that names no callback, arguments it does not take, or one that is `REFUSED`.
    """
    made = []
    for name, section in sections.items():
        callback = construct(f"callbacks.{name}", section, Callback, trust)
        for kind, reason in REFUSED.items():
            if isinstance(callback, kind):
                raise FlixError(f"callbacks.{name}: a {type(callback).__name__} cannot be used here: {reason}.")
        made.append(callback)
    return made


def check_monitors(callbacks: Iterable[Callback], logged: Collection[str]) -> None:
    """
    Raises:
        FlixError: early stopping monitors a value that validation does not log.
    """
    for callback in callbacks:
        if isinstance(callback, lightning.EarlyStopping) and callback.monitor not in logged:
            raise unknown("callbacks: monitor of EarlyStopping", callback.monitor, logged)


def check_states(callbacks: Iterable[Callback]) -> None:
    """
    Raises:
        FlixError: a callback's state could not be restored: checkpoints hold tensors and plain values only.
    """
    for callback in callbacks:
        content = io.BytesIO()
        try:
            torch.save(callback.state_dict(), content)
            content.seek(0)
            torch.load(content, weights_only=True)
        except Exception as error:
            raise FlixError(
                f"callbacks: the state_dict of {type(callback).__name__} holds more than tensors and plain values, "
                f"and a stopped run could not go on with it: {str(error).splitlines()[0]}"
            ) from error
