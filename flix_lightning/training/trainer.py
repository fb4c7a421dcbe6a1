"""The `trainer` section of a config, and the Lightning trainer it stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from flix_lightning.common.errors import FlixError
from flix_lightning.models.precision import check_precision
from flix_lightning.training.checkpoints import WholeFiles
from flix_lightning.training.cluster import cluster_environments
from flix_lightning.training.progress import progress
from flix_lightning.training.sharding import MeanGradients, ShardedBackbone


@dataclass(frozen=True)
class TrainerSettings:
    """How long, on what and how often.

    Args:
        accelerator, devices, num_nodes, strategy: Lightning's; strategy `fsdp2` shares out a backbone that does not
            fit one device.
        precision: of products, one of `PRECISIONS`.
        max_steps: the length of training.
        validate_every, checkpoint_every: in steps.
        keep_checkpoints: how many are kept, in case the last is damaged.
        gradient_clip: the largest norm of the gradient; None clips nothing.
        gradient_checkpointing: recompute activations in the backward pass, for memory.
        progress: show it.
    """

    accelerator: str
    devices: int | str
    num_nodes: int
    strategy: str
    precision: str
    max_steps: int
    validate_every: int
    checkpoint_every: int
    keep_checkpoints: int
    gradient_clip: float | None
    gradient_checkpointing: bool
    progress: bool

    def __post_init__(self) -> None:
        for name in ("max_steps", "validate_every", "checkpoint_every", "keep_checkpoints", "num_nodes"):
            if getattr(self, name) < 1:
                raise FlixError(f"trainer.{name}: a whole number of at least 1; got {getattr(self, name)!r}.")
        check_precision("trainer.precision", self.precision)
        if self.gradient_clip is not None and not self.gradient_clip > 0:
            raise FlixError(f"trainer.gradient_clip: above 0, or null; got {self.gradient_clip!r}.")

    def build(self, run: Path, precision: str, logger: Logger | None, callbacks: Sequence[Callback]) -> Trainer:
        """The trainer of one run; how it splits a step into micro-batches is set once its processes are known.

        Args:
            precision: what the run computes in, see `run_precision`.

        Raises:
            FlixError: see `lightning_trainer`.
        """
        shown = progress(self.progress)
        own = {"ddp": partial(DDPStrategy, forward_sync_buffers=False), "fsdp2": ShardedBackbone}
        strategy = own[self.strategy]() if self.strategy in own else self.strategy
        sharing = [MeanGradients()] if self.strategy == "fsdp2" else []
        return lightning_trainer(
            accelerator=self.accelerator,
            devices=self.devices,
            num_nodes=self.num_nodes,
            strategy=strategy,
            precision=precision,
            max_steps=self.max_steps,
            max_epochs=1,
            gradient_clip_val=self.gradient_clip,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            use_distributed_sampler=False,
            enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in shown),
            default_root_dir=run,
            logger=logger or False,
            plugins=[WholeFiles()],
            callbacks=[*sharing, *callbacks, *shown],
        )


def lightning_trainer(**settings: Any) -> Trainer:
    """Lightning's trainer, without its table of the model.

    Raises:
        FlixError: what Lightning refuses: devices that are not there, an unknown strategy.
    """
    try:
        plugins = [*settings.pop("plugins", []), *cluster_environments(settings.get("num_nodes", 1))]
        return Trainer(**settings, plugins=plugins, enable_model_summary=False)
    except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError, MisconfigurationException) as error:
        raise FlixError(f"trainer: {' '.join(str(error).split())}") from error
