"""One training step of every method on the same batch: FLix, our LoRA, PEFT's, full fine-tuning, nothing trained."""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.dropout import FeatureDropout
from flix_lightning.adapters.features import FeatureSpace, Featurizer
from flix_lightning.adapters.injection import target_names
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.data.batches import TrainBatch
from flix_lightning.data.cells import Cell
from flix_lightning.data.tokens.places import target_places
from flix_lightning.training.module import FlixModule
from flix_lightning.training.optimizer import Optimization
from speed.device import computed, device
from speed.shapes import Shape, tokenizer

TASKS, RANK = 4, 6  # FLix: 4 for the task, 2 for the language
ALLOCATION = RankAllocation({"task": 4, "language": 2, "shared": RANK})
CELLS_IN_BATCH = 8  # distinct ones; what PEFT's switching pays for
LEARNING_RATE = 1e-3

Step = Callable[[], Tensor]


def cells(features: int) -> list[Cell]:
    """Cells over `features` features, tasks and languages together."""
    return [Cell(f"t{i % TASKS}", f"l{i:04d}") for i in range(features - TASKS)]


class _Detached(FlixModule):
    """A module without a Lightning trainer around it."""

    trainer = SimpleNamespace(world_size=1, accumulate_grad_batches=1)

    def log(self, *args, **options) -> None:
        """Nowhere."""


def flix_module(shape: Shape, axes: tuple[str, ...], features: int) -> FlixModule:
    """A module as a run builds it: FLix over `features` features, or LoRA for the axis `shared`."""
    featurizer, known = Featurizer(axes), cells(features)
    composer = Composer(featurizer, FeatureSpace.of(known, featurizer), ALLOCATION)
    module = _Detached(
        shape.backbone(), tokenizer(), {}, composer, FeatureDropout(0.0), Optimization(LEARNING_RATE), 10**6, 0
    )
    module.work_on(shape.rows, composer.active_rank(known))
    return module.to(device())


def flix_step(shape: Shape, axes: tuple[str, ...] = ("task", "language"), features: int = 8) -> Step:
    module = flix_module(shape, axes, features)
    optimizer = module.configure_optimizers()["optimizer"]
    known = cells(features)
    chosen = [known[i * len(known) // CELLS_IN_BATCH % len(known)] for i in range(CELLS_IN_BATCH)]
    is_encoder_decoder = module.backbone.config.is_encoder_decoder
    inputs = shape.batch(is_encoder_decoder, module.backbone.config.vocab_size)
    places = target_places(inputs["labels"], is_encoder_decoder)
    own = [chosen[row % CELLS_IN_BATCH] for row in range(shape.rows)]
    batch = TrainBatch(inputs, 0, own, list(range(shape.rows)), shape.rows * shape.targets, places).to(device())

    def step() -> Tensor:
        with computed():
            loss = module.training_step(batch, 0)
        optimizer.zero_grad()
        loss.backward()
        module.on_before_optimizer_step(optimizer)
        optimizer.step()
        return loss.detach()

    return step


def _trained(model, shape: Shape, optimizer: torch.optim.Optimizer | None, parts: int = 1, switch=None) -> Step:
    """A step as a plain loop writes it; `switch(part)` before each of the sub-batches."""
    inputs = shape.batch(model.config.is_encoder_decoder, model.config.vocab_size)
    batches = [{name: tensor[part::parts].to(device()) for name, tensor in inputs.items()} for part in range(parts)]

    def step() -> Tensor:
        if optimizer:
            optimizer.zero_grad()
        for part, batch in enumerate(batches):
            if switch:
                switch(part)
            with computed():
                loss = model(**batch, use_cache=False).loss / parts
            loss.backward()
        if optimizer:
            optimizer.step()
        return loss.detach()

    return step


def _adamw(model) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], LEARNING_RATE, fused=True)


def peft_model(shape: Shape, adapters: int = 1):
    """PEFT's LoRA at the same rank on the same linears, as adapters `a0`, `a1`, ..."""
    backbone = shape.backbone()
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=target_names(backbone, "all-linear"))
    model = get_peft_model(backbone, config, adapter_name="a0")
    for number in range(1, adapters):
        model.add_adapter(f"a{number}", config)
    return model.to(device())


def peft_step(shape: Shape) -> Step:
    model = peft_model(shape)
    return _trained(model, shape, _adamw(model))


def peft_switched_step(shape: Shape) -> Step:
    """An adapter for each of the batch's cells, switched from sub-batch to sub-batch."""
    model = peft_model(shape, CELLS_IN_BATCH)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    optimizer = _adamw(model)
    return _trained(model, shape, optimizer, CELLS_IN_BATCH, lambda part: model.set_adapter(f"a{part}"))


def full_step(shape: Shape) -> Step:
    model = shape.backbone().to(device())
    return _trained(model, shape, _adamw(model))


def frozen_step(shape: Shape) -> Step:
    """The floor: forward, and backward to the input embeddings, with no adapter and nothing to update."""
    model = shape.backbone().to(device()).requires_grad_(False)
    model.enable_input_require_grads()
    return _trained(model, shape, None)


STEPS: dict[str, Callable[[Shape], Step]] = {
    "flix": flix_step,
    "lora": lambda shape: flix_step(shape, ("shared",)),
    "peft_lora": peft_step,
    "peft_switched": peft_switched_step,
    "full": full_step,
    "frozen": frozen_step,
}
