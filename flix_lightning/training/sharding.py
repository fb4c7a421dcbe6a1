"""A frozen backbone that does not fit one device, its layers sharded over the processes (FSDP2).

The adapters are small and whole in every process, so checkpoints, optimizer and features work as with other strategies.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.strategies.strategy import Strategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from flix_lightning.adapters.layer import FeaturizedLinear


def shard_layers(backbone: nn.Module, mesh: DeviceMesh) -> None:
    """Shard the frozen weights of every layer, whole only while it computes; embeddings and adapters stay whole."""
    for stack in [module for module in backbone.modules() if isinstance(module, nn.ModuleList)]:
        for layer in stack:
            banks = [module for module in layer.modules() if isinstance(module, FeaturizedLinear)]
            adapters = {p for bank in banks for p in set(bank.parameters()) - set(bank.base.parameters())}
            if adapters and not any(isinstance(inner, nn.ModuleList) for inner in layer.modules()):
                # said, since FSDP2 leaves whole what is nobody's child, as every layer is here
                fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=adapters)


class MeanGradients(Callback):
    """The adapters' gradients, averaged over the processes as by DDP, for the parameters that FSDP2 does not shard."""

    def on_before_optimizer_step(self, trainer: Trainer, _: LightningModule, optimizer: torch.optim.Optimizer) -> None:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(together)
        together /= trainer.world_size
        for gradient, mean in zip(gradients, together.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(mean.view_as(gradient))


class ShardedBackbone(ModelParallelStrategy):
    """Lightning's FSDP2 with the checkpoints of every other strategy: adapters, their optimizer, counters."""

    def __init__(self) -> None:
        super().__init__(data_parallel_size="auto", tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_processes * self.num_nodes
        super().setup_environment()

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Nothing: the module itself saves and restores its state."""
        return {}

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Nothing is left to load."""

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        return optimizer.state_dict()

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        Strategy.load_optimizer_state_dict(self, checkpoint)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        return self.checkpoint_io.load_checkpoint(checkpoint_path)
