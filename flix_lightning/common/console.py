"""What reaches the screen: every character in some form, warnings that a user can act on, nothing else."""

import io
import logging
import sys
import warnings

# beginnings of messages, each with the reason to hide it
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
    """Print characters that a terminal's encoding lacks as backslash escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def quieten() -> None:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # which faster kernels a CPU could have
    for message in IRRELEVANT:
        warnings.filterwarnings("ignore", message)
