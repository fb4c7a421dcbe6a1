"""SLURM's warning while a run starts or changes over to its test: noted, since unanswered it would end the process."""

import os
import signal
from types import FrameType

# The time limit is near, or a preemption: `--signal=USR1@120`. Windows has neither signal, and no SLURM.
REQUEUE = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name))
_noted: list[signal.Signals] = []


def job_id() -> str | None:
    """Of this SLURM job, as scontrol wants it; None outside SLURM."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def note_warnings() -> None:
    """From now on, in a SLURM job, keep them in mind; what something else handles, as submitit does, stays its own."""
    for number in REQUEUE if job_id() is not None else ():
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _note)


def noted_warning() -> signal.Signals | None:
    return _noted[-1] if _noted else None


def _note(number: int, _: FrameType | None) -> None:
    _noted.append(signal.Signals(number))
