"""The LightningModule: owns the adapters and the feature-dropout schedule; loss, generation, scores."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from flix_lightning.bank import ADAPTER, Bank
from flix_lightning.batches import EvalBatch, TrainBatch
from flix_lightning.composition import ActiveComposition, Composer, FeatureDropout
from flix_lightning.features import Cell, Feature
from flix_lightning.generation import greedy
from flix_lightning.injection import ALL_LINEAR, adapter_state, inject, load_adapter_state
from flix_lightning.optim import ActiveRowsAdamW
from flix_lightning.optimization import Optimization
from flix_lightning.prompting import Prompting
from flix_lightning.results import parameters_by_axis
from flix_lightning.scores import CellScores, mean_by_task
from flix_lightning.sharding import shard_layers
from flix_lightning.target_head import TargetHead
from flix_lightning.tasks import Task
from flix_lightning.tokens.encoding import IGNORE
from flix_lightning.working_set import WorkingSet


class FlixModule(LightningModule):
    """A frozen backbone with adapter banks.

    Args:
        backbone: a transformers encoder-decoder or decoder-only model; adapted in place.
        tokenizer: the backbone's.
        tasks: the benchmark's; they say how answers are scored.
        composer: cells -> composition.
        dropout: feature dropout, off outside training.
        optimization: of the adapters.
        max_steps: the length of training, which the learning rate's decay needs.
        seed: of the adapters' start and the dropout gates.
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
        self.active_rows: Tensor | None = None  # of the global batch: those that the optimizer moves
        self.row_uses: tuple[Tensor, Tensor] | None = None  # its rows, and how many of its examples use each
        self.held: tuple[Feature, ...] = ()
        self.scores: CellScores | None = None
        self.validation_scores: dict[int, float] = {}  # step -> mean over the training cells
        self.test_scores: dict[Cell, float] = {}

    def configure_model(self) -> None:
        """Share out the frozen layers over the processes where the strategy does so."""
        if self.device_mesh is not None and not self.sharded:
            shard_layers(self.backbone, self.device_mesh["data_parallel"])
            self.sharded = True

    # ---------------------------------------------------------------- training

    def factors(self) -> list[nn.Parameter]:
        """What training changes, all with the same rows."""
        return [factor for bank in self.banks for factor in (bank.lora_a, bank.lora_b)]

    def factor_rows(self) -> dict[str, slice]:
        """Axis -> its rows of `factors`."""
        return self.composer.rows_by_axis()

    def hold(self, features: Iterable[Feature]) -> None:
        """Keep the factors of `features` as they are, bit for bit, from now on."""
        self.held = tuple(features)

    def _trainable(self, rows: Tensor) -> Tensor:
        """Those of `rows`, places in the row of all ranks, whose features are not held."""
        held = [row for feature in self.held for row in self.composer.ranks_of(feature)]
        return rows[~torch.isin(rows, torch.tensor(held, dtype=rows.dtype))]

    def training_step(self, batch: TrainBatch, _: int) -> Tensor:
        """The mean loss over all target tokens of the global batch, as this share's part of it."""
        cells = batch.global_cells
        axes, gated = self.composer.gate_axes(cells), self.composer.gated(cells)
        whole = self.composer.compose(cells, self.dropout.gates(axes, len(cells), batch.step, self.seed, gated))
        self.row_uses = whole.index[whole.weight != 0].unique(return_counts=True)
        self.active_rows = self._trainable(self.row_uses[0])
        if self.working:
            whole = self.working.load(whole)
        mine = batch.positions
        self.active.set(whole.rows(mine).to(self.device), working=self.working is not None)
        total = self.target_loss(batch.inputs, batch.places)
        self.log("train/feature_dropout", self.dropout.probability(batch.step), batch_size=len(mine))
        shares = self.trainer.world_size * self.trainer.accumulate_grad_batches  # both are averaged over later
        return total * shares / batch.global_targets

    def target_loss(self, inputs: Mapping[str, Tensor], places: Tensor) -> Tensor:
        """The summed cross-entropy of the target tokens.

        Args:
            inputs: as `training_batch` makes them.
            places: (2, places), as `target_places` finds them in the labels.
        """
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        if self.backbone.config.is_encoder_decoder:
            inputs["decoder_input_ids"] = self.backbone.prepare_decoder_input_ids_from_labels(labels)
        else:
            del inputs["attention_mask"]  # rows are padded on the right, where a causal model's earlier tokens look not
        self.head.places = places[0]
        try:
            logits = self.backbone(**inputs, use_cache=False).logits
        finally:
            self.head.places = None
        return functional.cross_entropy(logits.float(), places[1], reduction="sum", ignore_index=IGNORE)

    def work_on(self, examples: int, width: int) -> None:
        """Train in a working set for global batches of `examples` with at most `width` active ranks each, where that
        is smaller than the banks.
        """
        if examples * width < self.composer.total_rank:
            self.working = WorkingSet(self.banks, examples, width)

    def setup(self, stage: str) -> None:
        data = self.trainer.datamodule
        if stage == "fit" and self.working is None:
            self.work_on(data.batching.batch_size, self.composer.active_rank(data.mixture.train))

    def trained(self) -> list[nn.Parameter]:
        """What gradients are taken of: the factors, or their working rows."""
        return list(self.working.wholes()) if self.working else self.factors()

    def configure_optimizers(self) -> dict[str, Any]:
        wholes = self.working.wholes() if self.working else {}
        settings = self.optimization
        optimizer = ActiveRowsAdamW(self.trained(), settings.lr, weight_decay=settings.weight_decay, wholes=wholes)
        optimizer.row_lr = settings.row_lr(self.factor_rows(), len(self.factors()[0]))
        factor = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: self.optimization.factor(s, self.max_steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": factor, "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: ActiveRowsAdamW) -> None:
        optimizer.active_rows = self.active_rows
        optimizer.gradient_rows = self.working.places(self.active_rows) if self.working else None

    # ----------------------------------------------------------------- scoring

    def generate(self, batch: EvalBatch) -> list[str]:
        """Greedy continuations, one an example, in a batch that mixes cells."""
        self.active.set(self.composer.compose(batch.cells).to(self.device))
        return greedy(self.backbone, self.tokenizer, batch.inputs, batch.max_new_tokens)

    def _start_scoring(self, cells: Sequence[Cell]) -> None:
        self.scores = CellScores(cells, self.tasks).to(self.device)

    def _score(self, batch: EvalBatch) -> None:
        predictions = self.generate(batch)
        if batch.counted:
            self.scores.update(batch.cells, predictions, batch.targets)

    def on_validation_epoch_start(self) -> None:
        self._start_scoring(self.trainer.datamodule.validated_cells)

    def validation_step(self, batch: EvalBatch, _: int) -> None:
        self._score(batch)

    def on_validation_epoch_end(self) -> None:
        scores = self.scores.compute()
        self.validation_scores[self.global_step] = fmean(scores.values())
        self.log("val/score", fmean(scores.values()), prog_bar=True)
        self.log_dict({f"val/{task}": score for task, score in mean_by_task(scores).items()})

    def on_test_epoch_start(self) -> None:
        self._start_scoring(self.trainer.datamodule.scored_cells)

    def test_step(self, batch: EvalBatch, _: int) -> None:
        self._score(batch)

    def on_test_epoch_end(self) -> None:
        self.test_scores = self.scores.compute()
        self.active.set(None)

    # ---------------------------------------------------- what a run results in

    def trained_state(self) -> dict[str, Tensor]:
        """What training changes, by name."""
        return adapter_state(self.backbone)

    def load_trained_state(self, state: Mapping[str, Tensor]) -> None:
        """Put it back; see `load_adapter_state`."""
        load_adapter_state(self.backbone, state)

    def parameters_by_axis(self) -> dict[str, int]:
        """Axis -> trained parameters."""
        return parameters_by_axis(self.composer, self.banks, self.held)

    def write(self, run: Path, cells: Iterable[Cell]) -> None:
        """Keep what was trained on `cells` in the run's directory."""
        Bank.of(self.backbone, self.composer, self.tasks, cells, self.prompting).write(run / ADAPTER)

    # ------------------------------------------------------------- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the adapters only: the backbone is frozen and known by name."""
        names = ("lora_a", "lora_b")
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k.rpartition(".")[2] in names}
        checkpoint["validation_scores"] = dict(self.validation_scores)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.validation_scores = dict(checkpoint["validation_scores"])
