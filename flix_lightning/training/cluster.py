"""Which processes make a run: those that srun started, torchrun's, or this one and what Lightning starts."""

import os

from lightning.fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, TorchElasticEnvironment
from lightning.pytorch.plugins.environments import SLURMEnvironment

from flix_lightning.common.errors import FlixError

STEP = "SLURM_STEP_ID"  # only what srun starts has one; a shell in an allocation, or sbatch's script, has not


def cluster_environments(num_nodes: int = 1) -> list[ClusterEnvironment]:
    """As a plugin for Lightning's trainer; empty where Lightning finds out by itself.

    Lightning takes every process in an allocation of SLURM's for one that srun started: it refuses the allocation's
    number of tasks, or waits for processes that nobody starts. Its own requeueing is off: it saves elsewhere and
    outside of the schedule, see `preemption`.

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
