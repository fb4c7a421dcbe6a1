"""The `trainer` section of a config, and the Lightning trainer it stands for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lightning import Trainer
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Count, Positive, Text, checked
from flix_lightning.models.precision import check_precision
from flix_lightning.training.checkpoints import WholeFiles
from flix_lightning.training.cluster import cluster_environments
from flix_lightning.training.flags import check_flags
from flix_lightning.training.progress import progress
from flix_lightning.training.sharding import MeanGradients, ShardedBackbone

PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}


@checked("trainer")
@dataclass(frozen=True)
class TrainerSettings:
    """Length, devices and intervals of training.

    Args:
        accelerator, devices, num_nodes, strategy: Lightning's; strategy `fsdp2` shards a backbone that does not fit one
            device.
        precision: of products, one of `PRECISIONS`.
        max_steps: the length of training.
        validate_every, checkpoint_every: in steps; the last step is validated and saved too.
        keep_checkpoints: how many are kept, in case the last is damaged.
        gradient_clip: the largest norm of the gradient; None clips nothing.
        gradient_checkpointing: recompute activations in the backward pass, for memory.
        progress: show bars or lines.
        compile: train with the backbone compiled by `torch.compile`.
        log_every_n_steps: interval between points of the curves.
        profiler: one of `PROFILERS`; it writes into the run's directory.
        lightning: further flags of Lightning's Trainer, see `check_flags`.
    """

    accelerator: Text
    devices: int | Text
    num_nodes: Count
    strategy: Text
    precision: Text | int
    max_steps: Count
    validate_every: Count
    checkpoint_every: Count
    keep_checkpoints: Count
    gradient_clip: Positive | None
    gradient_checkpointing: bool
    progress: bool
    compile: bool = False
    log_every_n_steps: Count = 10
    profiler: Literal["simple", "advanced", "pytorch"] | None = None
    lightning: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_precision("trainer.precision", self.precision)
        check_flags(self.lightning)

    def build(
        self,
        run: Path,
        precision: str,
        logger: Logger | Iterable[Logger] | None,
        callbacks: Sequence[Callback],
    ) -> Trainer:
        """The trainer of one run; the number of micro-batches is set once its processes are known.

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
            log_every_n_steps=self.log_every_n_steps,
            profiler=self.profiler and PROFILERS[self.profiler](run, "profile"),
            use_distributed_sampler=False,
            enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in shown),
            default_root_dir=run,
            logger=logger or False,
            plugins=[WholeFiles()],
            callbacks=[*sharing, *callbacks, *shown],
            **self.lightning,
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
