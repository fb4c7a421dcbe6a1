"""`trainer.lightning`: the flags of Lightning's Trainer that a config may pass on, and reasons against the others."""

from collections.abc import Iterable
from inspect import signature

from lightning import Trainer

from flix_lightning.common.errors import FlixError, unknown

_STEPS = "training is counted in steps: trainer.max_steps"
_DATA = "a part of the data is chosen by mixture, benchmark.rows and trainer.max_steps"
_RESUME = "a stopped run would not continue with the same data"
REFUSED = {  # flag -> why not
    **dict.fromkeys(("accelerator", "devices", "num_nodes", "strategy", "precision"), "trainer.{flag} sets it"),
    **dict.fromkeys(("max_steps", "profiler", "log_every_n_steps"), "trainer.{flag} sets it"),
    **dict.fromkeys(("max_epochs", "min_epochs"), _STEPS),
    "min_steps": "a signal to stop would be forgotten when a stopped run continues; patience says when to stop",
    "max_time": "it would end a run at another step each time; a stopped run continues with the same command",
    **dict.fromkeys(("fast_dev_run", "overfit_batches"), _DATA),
    **dict.fromkeys((f"limit_{part}_batches" for part in ("train", "val", "test", "predict")), _DATA),
    **dict.fromkeys(("val_check_interval", "check_val_every_n_epoch"), "trainer.validate_every sets it"),
    "num_sanity_val_steps": "it would validate untrained adapters",
    "enable_checkpointing": "a run always keeps its state: trainer.checkpoint_every, trainer.keep_checkpoints",
    "barebones": "it turns checkpoints off",
    "accumulate_grad_batches": "data.micro_batch_size says how a step is divided",
    "gradient_clip_val": "trainer.gradient_clip sets it",
    **dict.fromkeys(("use_distributed_sampler", "reload_dataloaders_every_n_epochs"), _RESUME),
    "callbacks": "the callbacks group sets them",
    "logger": "the logger group sets them",
    "plugins": "the run's own write its checkpoints",
    "default_root_dir": "runs_dir sets it",
    "enable_progress_bar": "trainer.progress sets it",
    "enable_model_summary": "the record has the numbers of parameters",
    "model_registry": "a finished run is shipped by its export",
}


def check_flags(flags: Iterable[str]) -> None:
    """
    Raises:
        FlixError: a flag that is unknown, or one of `REFUSED`: it belongs to another key, or a stopped run would no
            longer end as if it had not been stopped.
    """
    taken = signature(Trainer).parameters
    for flag in flags:
        if flag in REFUSED:
            raise FlixError(f"trainer.lightning.{flag}: cannot be set here: {REFUSED[flag].format(flag=flag)}.")
        if flag not in taken:
            passed = [f"trainer.lightning.{name}" for name in taken if name not in REFUSED]
            raise unknown("config key", f"trainer.lightning.{flag}", passed)
