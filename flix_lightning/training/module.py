"""The LightningModule: adapters, feature dropout, loss, generation, scores."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.bank_file import ADAPTER
from flix_lightning.adapters.composition import Composer, Composition
from flix_lightning.adapters.dropout import FeatureDropout
from flix_lightning.adapters.features import Feature
from flix_lightning.adapters.injection import ALL_LINEAR, adapter_state, inject, load_adapter_state
from flix_lightning.adapters.working_set import WorkingSet
from flix_lightning.data.batches import EvalBatch, TrainBatch, sent
from flix_lightning.data.cells import Cell
from flix_lightning.data.predictions import Prediction
from flix_lightning.data.prompting import Prompting
from flix_lightning.data.scores import CellScores, mean_by_task, scored
from flix_lightning.data.tasks import Task
from flix_lightning.data.tokens.encoding import IGNORE
from flix_lightning.models.decoder_start import decoder_inputs
from flix_lightning.models.generation import answers
from flix_lightning.models.target_head import TargetHead
from flix_lightning.training.answered import gathered
from flix_lightning.training.feature_rows import FEATURES, by_name
from flix_lightning.training.optimizer import ActiveRowsAdamW, Optimization
from flix_lightning.training.results import parameters_by_axis
from flix_lightning.training.sharding import shard_layers


class FlixModule(LightningModule):
    """A frozen backbone with adapted layers.

    Args:
        backbone: a transformers encoder-decoder or decoder-only model; adapted in place.
        tokenizer: the backbone's.
        tasks: the benchmark's, with the metrics of answers.
        composer: cells -> composition.
        dropout: feature dropout, off outside training.
        optimization: of the adapters.
        max_steps: the length of training, which the learning rate's decay needs.
        seed: of the adapters' initial values and the dropout gates.
        target_modules, scaling: see `inject`.
        prompting: kept with the trained bank.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        tasks: Mapping[str, Task],
        composer: Composer,
        dropout: FeatureDropout,
        optimization: Optimization,
        max_steps: int,
        seed: int,
        target_modules: str | Sequence[str] = ALL_LINEAR,
        scaling: float = 1.0,
        prompting: Prompting | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.tokenizer, self.tasks = backbone, tokenizer, tasks
        self.composer, self.dropout, self.prompting = composer, dropout, prompting
        self.optimization, self.max_steps, self.seed = optimization, max_steps, seed
        self.active = ActiveComposition(composer.total_rank)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.banks = inject(backbone.train(), composer.total_rank, self.active, target_modules, scaling)
        self.head = TargetHead(backbone.get_output_embeddings())
        self.working: WorkingSet | None = None
        self.strict_loading = False  # checkpoints hold the adapters only
        self.sharded = False
        self.train_forward: Callable[..., Any] = backbone.__call__
        self.active_rows: Tensor | None = None  # of the global batch: those that the optimizer moves
        self.global_composition: Composition | None = None  # of the same batch
        self.hold(())
        self.scores: CellScores | None = None
        self.validation_scores: dict[int, float] = {}  # step -> mean over the training cells
        self.test_scores: dict[Cell, float] = {}
        self.predictions: list[Prediction] = []  # of the test pass; after it, of all processes on the first one

    def configure_model(self) -> None:
        """Shard the frozen layers over the processes if the strategy does."""
        if self.device_mesh is not None and not self.sharded:
            shard_layers(self.backbone, self.device_mesh["data_parallel"])
            self.sharded = True

    # ---------------------------------------------------------------- training

    def factors(self) -> list[nn.Parameter]:
        """The trained tensors, all with the same rows."""
        return [factor for bank in self.banks for factor in (bank.lora_a, bank.lora_b)]

    def factor_rows(self) -> dict[str, slice]:
        """Axis -> its rows of `factors`."""
        return self.composer.rows_by_axis()

    def hold(self, features: Iterable[Feature]) -> None:
        """Keep the factors of `features` as they are, bit for bit, from now on."""
        self.held = tuple(features)
        rows = [row for feature in self.held for row in self.composer.ranks_of(feature)]
        self.held_rows = torch.tensor(rows, dtype=torch.long)

    def _trainable(self, rows: Tensor) -> Tensor:
        """Those of `rows`, indices into the list of all ranks, whose features are not held."""
        return rows[~torch.isin(rows, self.held_rows)]

    def training_step(self, batch: TrainBatch, _: int) -> Tensor:
        """The mean loss over all target tokens of the global batch, as this share's part of it."""
        cells = batch.global_cells
        whole = self.dropout.compose(self.composer, cells, batch.step, self.seed)
        self.global_composition = whole
        self.active_rows = self._trainable(whole.row_uses()[0])
        if self.working:
            whole = self.working.load(whole)
        self.active.set(whole.rows(batch.positions).to(self.device), working=self.working is not None)
        total = self.target_loss(batch.inputs, batch.places)
        shares = self.trainer.world_size * self.trainer.accumulate_grad_batches  # both are averaged over later
        return total * shares / batch.global_targets

    def target_loss(self, inputs: Mapping[str, Tensor], places: Tensor) -> Tensor:
        """The summed cross-entropy of the target tokens.

        Args:
            inputs: as `training_batch` makes them.
            places: (2, places), as returned by `target_places`.
        """
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        if self.backbone.config.is_encoder_decoder:
            inputs["decoder_input_ids"] = decoder_inputs(labels, self.backbone.config)
        else:
            del inputs["attention_mask"]  # causal attention never reaches right padding
        self.head.places = places[0]
        try:
            logits = self.train_forward(**inputs, use_cache=False).logits
        finally:
            self.head.places = None
        return functional.cross_entropy(logits.float(), places[1], reduction="sum", ignore_index=IGNORE)

    def compile_training(self) -> None:
        """Train with the backbone compiled for dynamic shapes; generation, with a new shape at every token, is not."""
        self.train_forward = torch.compile(self.backbone.__call__, dynamic=True)

    def work_on(self, examples: int, width: int) -> None:
        """Train in a working set for global batches of `examples` with at most `width` active ranks each, if it is
        smaller than the banks.
        """
        if examples * width < self.composer.total_rank:
            self.working = WorkingSet(self.banks, examples, width)

    def setup(self, stage: str) -> None:
        data = self.trainer.datamodule
        if stage == "fit" and self.working is None:
            self.work_on(data.batching.batch_size, self.composer.active_rank(data.mixture.train))

    def trained(self) -> list[nn.Parameter]:
        """The tensors with gradients: the factors, or their working rows."""
        return list(self.working.wholes()) if self.working else self.factors()

    def configure_optimizers(self) -> dict[str, Any]:
        wholes = self.working.wholes() if self.working else {}
        settings = self.optimization
        named = zip(self.trained_state(), self.trained(), strict=True)
        optimizer = ActiveRowsAdamW(named, settings.lr, weight_decay=settings.weight_decay, wholes=wholes)
        row_lr = settings.row_lr(self.factor_rows(), len(self.factors()[0]))
        optimizer.row_lr = None if row_lr is None else row_lr.to(self.device)
        factor = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: self.optimization.factor(s, self.max_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": factor, "interval": "step"}}

    def on_train_start(self) -> None:
        """Set the learning rate of the current step: a run continued for more steps has another schedule now."""
        optimizer, schedule = self.optimizers().optimizer, self.lr_schedulers()
        factor = self.optimization.factor(schedule.last_epoch, self.max_steps)
        for group, peak in zip(optimizer.param_groups, schedule.base_lrs):
            group["lr"] = peak * factor

    def on_after_backward(self) -> None:
        """Zero the gradients of held features, so that they count neither in clipping nor in logged norms."""
        rows = self.held_rows
        if self.working:
            rows = self.working.places(rows[torch.isin(rows, self.working.rows)])
        if len(rows):
            rows = sent(rows, self.device)
            for parameter in self.trained():
                parameter.grad.index_fill_(0, rows, 0.0)

    def on_before_optimizer_step(self, optimizer: ActiveRowsAdamW) -> None:
        optimizer.active_rows = sent(self.active_rows, self.device)
        optimizer.gradient_rows = sent(self.working.places(self.active_rows), self.device) if self.working else None

    # ----------------------------------------------------------------- scoring

    def generate(self, batch: EvalBatch) -> list[str]:
        """Greedy continuations of a batch that mixes cells, one for each example."""
        self.active.set(self.composer.compose(batch.cells).to(self.device))
        return answers(self.backbone, self.tokenizer, batch.inputs, batch.limits)

    def _start_scoring(self, cells: Sequence[Cell]) -> None:
        self.scores = CellScores(cells, self.tasks, self.device)

    def _score(self, batch: EvalBatch) -> list[Prediction]:
        """Count a batch's answers, and return them; none of a batch that another process counts."""
        predictions = self.generate(batch)
        if not batch.counted:
            return []
        self.scores.update(batch.cells, predictions, batch.targets)
        rows = zip(batch.cells, batch.rows, predictions, batch.targets, strict=True)
        metrics = {name: task.metric_path for name, task in self.tasks.items()}
        return [
            Prediction(cell, row, metrics[cell.task], scored(said), scored(asked)) for cell, row, said, asked in rows
        ]

    def on_validation_epoch_start(self) -> None:
        self._start_scoring(self.trainer.datamodule.validated_cells)

    def validation_step(self, batch: EvalBatch, _: int) -> None:
        self._score(batch)

    def on_validation_epoch_end(self) -> None:
        scores = self.scores.compute()
        self.validation_scores[self.global_step] = fmean(scores.values())
        self.log("val/score", fmean(scores.values()), prog_bar=True)
        self.log_dict({f"val/{task}": score for task, score in mean_by_task(scores).items()})

    def logged(self, cells: Iterable[Cell]) -> list[str]:
        """The names of the scores that a validation of `cells` logs."""
        return ["val/score", *dict.fromkeys(f"val/{cell.task}" for cell in cells)]

    def on_test_epoch_start(self) -> None:
        self._start_scoring(self.trainer.datamodule.scored_cells)
        self.predictions = []

    def test_step(self, batch: EvalBatch, _: int) -> None:
        self.predictions += self._score(batch)

    def on_test_epoch_end(self) -> None:
        self.test_scores = self.scores.compute()
        self.predictions = gathered(self.predictions, self.scores.cells)
        self.active.set(None)

    # ----------------------------------------------------------------- results

    def trained_state(self) -> dict[str, Tensor]:
        """The trained tensors by name, in the order of `factors`."""
        return adapter_state(self.backbone)

    def load_trained_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore them; see `load_adapter_state`."""
        load_adapter_state(self.backbone, state)

    def parameters_by_axis(self) -> dict[str, int]:
        """Axis -> trained parameters."""
        return parameters_by_axis(self.composer, self.banks, self.held)

    def write(self, run: Path, cells: Iterable[Cell], model: Mapping[str, Any]) -> None:
        """Keep what was trained on `cells` in the run's directory; `model` is the section that loads the backbone."""
        Bank.of(self.backbone, self.composer, self.tasks, cells, self.prompting, model).write(run / ADAPTER)

    # ------------------------------------------------------------- checkpoints

    def feature_rows(self) -> dict[str, int]:
        """Feature -> its rows of `factors`, in their order."""
        return {str(feature): self.composer.allocation[feature] for feature in self.composer.space}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the trained tensors and the features of their rows; the backbone is frozen and known by name."""
        checkpoint["state_dict"] = self.trained_state()
        checkpoint[FEATURES] = self.feature_rows()
        checkpoint["validation_scores"] = dict(self.validation_scores)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        by_name(checkpoint, self.feature_rows(), list(self.trained_state()))
        self.load_trained_state(checkpoint["state_dict"])
        checkpoint["state_dict"] = {}  # nothing is left for Lightning to load
        self.validation_scores = dict(checkpoint["validation_scores"])
