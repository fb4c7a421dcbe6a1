"""What reaches the screen: every character one way or another, warnings that a user can act on, no chatter."""

import io
import logging
import sys
import warnings

# message beginnings, each with why it does not matter here
IRRELEVANT = (
    ".*isinstance.treespec, LeafSpec.*",  # Lightning's own use of a torch name
    ".*Experiment logs directory.*",  # the run directory is ours, and continued on purpose
    ".*does not have many workers.*",  # batches are made from token ids in memory
    ".*Checkpoint directory .* exists and is not empty.*",  # runs continue in their directory
    ".*dataloader .* is not resumable.*",  # the order of data is a function of the step: nothing to restore
    ".*srun.*command is available.*",
    ".*``compute`` method of metric.*",  # a process may see no example of a cell; its counts are then zeros
    ".*inputs will be cast from .* during quantization.*",  # 8-bit products take float16
    ".*sync_dist=True.*",  # scores are summed over processes before they are logged
)


def tolerate() -> None:
    """Print what a terminal's encoding lacks with backslashes: a result is worth more than its characters."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def quieten() -> None:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # which faster kernels a CPU could have
    for message in IRRELEVANT:
        warnings.filterwarnings("ignore", message)
