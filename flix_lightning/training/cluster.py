"""The processes of a run: those of srun, those of torchrun, or this one and those that Lightning starts."""

import os

from lightning.fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, TorchElasticEnvironment
from lightning.pytorch.plugins.environments import SLURMEnvironment

from flix_lightning.common.errors import FlixError

STEP = "SLURM_STEP_ID"  # set for srun's processes only, not for a shell in an allocation or sbatch's script


def cluster_environments(num_nodes: int = 1) -> list[ClusterEnvironment]:
    """Plugins for Lightning's trainer; none where Lightning detects the environment correctly.

    Lightning takes every process in a SLURM allocation for one that srun started: it refuses the allocation's number of
    tasks, or waits for processes that nobody starts. Its own requeueing is off, since it saves elsewhere and outside of
    the schedule; see `preemption`.

    Raises:
        FlixError: several nodes without srun or torchrun, or tasks of srun that Lightning cannot number.
    """
    if TorchElasticEnvironment.detect() or not any(name.startswith("SLURM_") for name in os.environ):
        return []
    if STEP not in os.environ:
        if num_nodes > 1 and "SLURM_NTASKS" in os.environ:
            raise FlixError(f"trainer.num_nodes={num_nodes}: in SLURM, start the command with srun, or with torchrun.")
        return [LightningEnvironment()] if "SLURM_NTASKS" in os.environ else []
    try:
        return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []
    except RuntimeError as error:
        raise FlixError(f"SLURM: {' '.join(str(error).split())}") from error
