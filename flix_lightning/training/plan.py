"""The plan of a run, shown before it starts: cells and shares, parameters, device, number format, time."""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from flix_lightning.common.progress import duration, tell
from flix_lightning.data.batches import TrainBatch
from flix_lightning.data.datamodule import MixtureDataModule
from flix_lightning.models.precision import MIXED, bf16_is_fast, computed_in
from flix_lightning.training.assembly import Experiment
from flix_lightning.training.module import FlixModule
from flix_lightning.training.trainer import TrainerSettings

FEW = 8  # cells that are listed one by one


class Plan(Callback):
    """Shows what a run will do, once its data is ready.

    Args:
        settings: of the trainer.
        precision: what the run computes in.
        run: its directory.
        vocabulary: tokens of the backbone in the run, and of all, where it was cut.
    """

    def __init__(
        self, settings: TrainerSettings, precision: str, run: Path, vocabulary: tuple[int, int] | None
    ) -> None:
        self.settings, self.precision, self.run, self.vocabulary = settings, precision, run, vocabulary

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        if self.settings.progress and trainer.is_global_zero:
            for line in self.lines(trainer, module, trainer.datamodule):
                tell(line)

    def lines(self, trainer: Trainer, module: FlixModule, data: MixtureDataModule) -> Iterator[str]:
        """One line for each of data, parameters, machine, steps and directory."""
        yield f"data    {'; '.join(shares(data))}"
        if unseen := data.mixture.zero_shot:
            yield f"scored  also {counted(len(unseen), 'cell')} not trained"
        if self.vocabulary:
            yield "tokens  {:,} of {:,}, those that the data use".format(*self.vocabulary)
        by_axis = module.parameters_by_axis()
        by_name = ", ".join(f"{axis} {count:,}" for axis, count in by_axis.items())
        yield f"trains  {sum(by_axis.values()):,} parameters: {by_name}"
        chosen = "" if self.settings.precision == self.precision else f" (trainer.precision={self.settings.precision})"
        yield f"device  {device_words(trainer)}, {self.precision}{chosen}"
        if slow := slow_format(self.precision, module):
            yield f"slow    {slow}"
        begun = f", from step {trainer.global_step} on" if trainer.global_step else ""
        yield f"steps   {trainer.max_steps} of {data.batching.batch_size} examples{begun}"
        yield f"run     {self.run}"


def shares(data: MixtureDataModule) -> list[str]:
    """The share of each trained cell, or of each task if there are many cells."""
    cells = list(zip(data.mixture.train, data.probabilities))
    if len(cells) <= FEW:
        return [f"{cell} {share:.1%}" for cell, share in cells]
    tasks = {cell.task: [share for other, share in cells if other.task == cell.task] for cell, _ in cells}
    return [f"{task} {sum(found):.1%} ({counted(len(found), 'cell')})" for task, found in tasks.items()]


def counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def device_words(trainer: Trainer) -> str:
    device = trainer.strategy.root_device
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"CPU, {counted(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else device.type.upper()
    return name if trainer.world_size == 1 else f"{trainer.world_size} x {name}"


def slow_format(precision: str, module: FlixModule) -> str | None:
    """What to set if the run computes in bfloat16 and the device is slow at it."""
    kind = module.device.type
    stored = {parameter.dtype for parameter in module.backbone.parameters() if not parameter.requires_grad}
    if bf16_is_fast(kind) or not (precision == MIXED or torch.bfloat16 in stored):
        return None
    better = "trainer.precision=32-true" if precision == MIXED else "model.dtype=float32"
    return f"this device computes bfloat16 slowly: {better} is faster, as a run of its own"


def dry_run(plan: Plan, trainer: Trainer, experiment: Experiment) -> None:
    """Show the plan with the time of a step, and write nothing; tokenised data is not kept."""
    module, data = experiment.module, experiment.datamodule
    data.trainer, data.tokenised.store.keeps = trainer, False
    data.prepare_data()
    data.setup("fit")
    module.to(trainer.strategy.root_device)
    seconds = step_seconds(plan.precision, module, data) * trainer.accumulate_grad_batches
    if trainer.is_global_zero:
        for line in plan.lines(trainer, module, data):
            print(line)
        print(f"time    about {duration(seconds * trainer.max_steps)}, {seconds:.2f} s a step; scoring comes on top")


def step_seconds(precision: str, module: FlixModule, data: MixtureDataModule) -> float:
    """How long a micro-batch of mean size takes, forward and backward."""
    device, batches = module.device, data.train_dataloader()
    bucket = [batch for batch, _ in zip(batches, range(data.batching.bucket))]
    mean = fmean(map(_tokens, bucket))
    batch = min(bucket, key=lambda batch: abs(_tokens(batch) - mean)).to(device)
    module.active.set(module.composer.compose([batch.global_cells[n] for n in batch.positions]).to(device))
    for _ in range(2):  # the first prepares kernels
        began = time.perf_counter()
        with computed_in(precision, device.type):
            module.target_loss(batch.inputs, batch.places).backward()
        if device.type != "cpu":
            torch.accelerator.synchronize()
    module.zero_grad(set_to_none=True)
    return (time.perf_counter() - began) * mean / _tokens(batch)


def _tokens(batch: TrainBatch) -> int:
    return batch.inputs["input_ids"].numel()
