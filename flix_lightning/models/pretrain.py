"""Pretrains the embedded model: `flix pretrain`.

It learns the five tasks of `cldr` in 42 languages that stand in no cell, on rows drawn afresh at every step. What it
reads at a step is a function of (seed, step), so a killed run continues from its last checkpoint as if nothing had
happened, on any number of processes.
"""

import math
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from random import Random

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from transformers import PreTrainedModel

from flix_lightning.common.errors import FlixError
from flix_lightning.common.files import make_directory
from flix_lightning.data.benchmarks.cldr.inventory import load_inventory
from flix_lightning.data.benchmarks.cldr.languages import PRETRAINING, language_name
from flix_lightning.data.benchmarks.cldr.rows import TASKS as DRAW
from flix_lightning.data.benchmarks.cldr.rows import split_of
from flix_lightning.data.benchmarks.cldr.tasks import TASKS
from flix_lightning.data.tokens.encoding import IGNORE, Encoded, encode, training_batch
from flix_lightning.models.shipping import round_to_shipped, ship
from flix_lightning.models.tiny import tiny_tokenizer, untrained_tiny

GROUP = 32  # batches drawn and sorted by length together
FINAL_ROWS = 2000  # held-out rows that the shipped weights are scored on
TASK_WEIGHTS = {"semantic_parsing": 2, "translation": 3, "ner": 3, "qa_in_lang": 3, "qa_cross_lang": 3}


@dataclass(frozen=True)
class Pretraining:
    """What `conf/pretrain.yaml` says."""

    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    processes: int
    save_every: int
    score_every: int
    work: str


def draw(rng: Random, split: str) -> tuple[str, Encoded]:
    """A random row of a random task and pretraining language, encoded, with its task."""
    while True:
        task = rng.choices(tuple(TASK_WEIGHTS), tuple(TASK_WEIGHTS.values()))[0]
        language = rng.choice(PRETRAINING)
        key, row = DRAW[task](rng, load_inventory(language))
        if split_of(key) == split:
            prompt = TASKS[task].render(language_name(language), input=row.input)
            return task, encode(_tokenizer(), [prompt], [row.target], is_encoder_decoder=False)[0]


@cache
def _tokenizer():
    return tiny_tokenizer()


@lru_cache(maxsize=1)
def group_of_batches(seed: int, group: int, size: int) -> list[list[Encoded]]:
    """`GROUP` batches of like lengths in random order."""
    rng = Random(f"pretrain/{seed}/{group}")
    rows = sorted(
        (draw(rng, "train")[1] for _ in range(GROUP * size)), key=lambda row: len(row.prompt) + len(row.target)
    )
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    rng.shuffle(batches)
    return batches


class TargetLogits(nn.Module):
    """The backbone's logits at target tokens only."""

    def __init__(self, backbone: PreTrainedModel) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (targets, vocabulary), labels (targets,) and row numbers (targets,).

        Rows are padded on the right, where a causal model's earlier tokens do not look: no mask is needed.
        """
        hidden = self.backbone.model(input_ids=batch["input_ids"]).last_hidden_state
        rows, columns = (batch["labels"] != IGNORE).nonzero(as_tuple=True)
        return self.backbone.lm_head(hidden[rows, columns - 1]).float(), batch["labels"][rows, columns], rows


def learning_rate(step: int, steps: int, peak: float, warmup: int = 100, decay: float = 0.3) -> float:
    """Warm-up, constant, then linear to zero over the last `decay` of the run."""
    return peak * min(1.0, (step + 1) / warmup, (steps - step) / (decay * steps))


class Optimizers:
    """Muon for the matrices of the blocks, AdamW for embeddings and norms."""

    def __init__(self, model: nn.Module) -> None:
        blocks = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
        others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
        self.all = [
            torch.optim.Muon(blocks, lr=0.0, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=0.0, weight_decay=0.0, betas=(0.9, 0.98)),
        ]

    def step(self, rate: float) -> None:
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [optimizer.state_dict() for optimizer in self.all]

    def load_state_dict(self, states: list[dict]) -> None:
        for optimizer, state in zip(self.all, states, strict=True):
            optimizer.load_state_dict(state)


@torch.inference_mode()
def exact_match(module: TargetLogits, rows: int, seed: int) -> dict[str, float]:
    """Per task, the share (0 to 100) of unseen rows whose greedy continuation is the target.

    Greedy decoding gives the target if and only if every target token is the likeliest after the ones before it.
    """
    rng = Random(f"pretrain/held out/{seed}")
    drawn = [draw(rng, "test") for _ in range(rows)]
    drawn.sort(key=lambda item: len(item[1].prompt) + len(item[1].target))
    right, total = Counter(), Counter()
    for start in range(0, rows, 64):
        part = drawn[start : start + 64]
        logits, labels, row = module(training_batch([r for _, r in part], 0, False))
        wrong = set(row[logits.argmax(-1) != labels].tolist())
        for i, (task, _) in enumerate(part):
            total[task] += 1
            right[task] += i not in wrong
    return {task: round(100 * right[task] / total[task], 1) for task in TASK_WEIGHTS if total[task]}


def save(path: Path, state: dict) -> None:
    """Write whole or not at all."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def pretrain(fabric: Fabric, args: Pretraining) -> None:
    """Train to `args.steps`, continuing from `args.work`/last.pt where it exists; the end is shipped in the package."""
    module = TargetLogits(untrained_tiny(args.seed))
    optimizers, start = Optimizers(module), 0
    checkpoint = Path(args.work) / "last.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        module.load_state_dict(state["module"])
        optimizers.load_state_dict(state["optimizers"])
        start = state["step"]
        fabric.print(f"continuing from step {start}")
    parallel = fabric.setup_module(module)
    began, losses, loss = time.monotonic(), [], state.get("loss", math.nan) if start else math.nan
    for step in range(start, args.steps):
        rows = group_of_batches(args.seed, step // GROUP, args.batch_size)[step % GROUP]
        logits, labels, _ = parallel(training_batch(rows[fabric.global_rank :: fabric.world_size], 0, False))
        summed = nn.functional.cross_entropy(logits, labels, reduction="sum")
        targets = sum(len(row.target) for row in rows)
        fabric.backward(summed * fabric.world_size / targets)  # ranks are averaged: the mean over all targets
        optimizers.step(learning_rate(step, args.steps, args.learning_rate))
        losses.append(summed.item() / labels.numel())
        done = step + 1
        if done % 50 == 0:
            seconds = (time.monotonic() - began) / (done - start)
            loss = sum(losses) / len(losses)
            fabric.print(f"step {done} loss {loss:.4f} {seconds:.2f} s/step", flush=True)
            losses.clear()
        if fabric.is_global_zero and (done % args.save_every == 0 or done == args.steps):
            state = {"module": module.state_dict(), "optimizers": optimizers.state_dict(), "step": done, "loss": loss}
            save(checkpoint, state)
        if fabric.is_global_zero and done % args.score_every == 0:
            fabric.print(f"step {done} held-out exact match {exact_match(module, 640, args.seed)}", flush=True)
    if fabric.is_global_zero:
        round_to_shipped(module.backbone)
        facts = {name: getattr(args, name) for name in ("steps", "batch_size", "learning_rate", "seed")}
        command = "flix pretrain"
        scores = exact_match(module, FINAL_ROWS, args.seed)
        ship(
            module.backbone, {**facts, "command": command, "loss": round(loss, 4), "rows": FINAL_ROWS, "scores": scores}
        )


def launch(args: Pretraining) -> None:
    """Pretrain on as many processes of one thread each."""
    if args.processes < 1 or args.steps < 1 or args.batch_size < 1:
        raise FlixError("processes, steps and batch_size: at least 1.")
    make_directory(Path(args.work))
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=args.processes, strategy="ddp", precision="bf16-mixed")
    fabric.launch()
    pretrain(fabric, args)
