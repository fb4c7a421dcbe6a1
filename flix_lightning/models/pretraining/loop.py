"""The loop of pretraining: exact in its seed, on one thread, in float32; a killed run continues from its checkpoint."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import Count, Positive, Seed
from flix_lightning.data.tokens.encoding import training_batch
from flix_lightning.models.pretraining.abilities import TargetLogits, exact_match, held_out
from flix_lightning.models.pretraining.batches import Batches
from flix_lightning.models.pretraining.muon import Optimizers
from flix_lightning.models.tiny import untrained_tiny

SAVE_EVERY, LOG_EVERY, SCORE_EVERY = 50, 50, 500  # steps
WARMUP, DECAY = 100, 0.3  # steps; share of all steps
SCORED = 600  # rows of the validation split


@dataclass(frozen=True)
class Settings:
    steps: Count
    batch_size: Count
    learning_rate: Positive
    seed: Seed


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm-up, constant, then linear to zero over the last `DECAY` of the run."""
    return peak * min(1.0, (step + 1) / WARMUP, (steps - step) / (DECAY * steps))


def _check(state: dict, settings: Settings, checkpoint: Path) -> None:
    """
    Raises:
        FlixError: a checkpoint of other settings. Only the number of steps may differ, before the learning rate falls.
    """
    there = state["settings"]
    constant = state["step"] <= (1 - DECAY) * min(settings.steps, there["steps"])
    if there != {**asdict(settings), "steps": there["steps"] if constant else settings.steps}:
        raise FlixError(f"{checkpoint} is of another pretraining, {there}; remove it or choose another `work`.")


def pretrain(
    settings: Settings, tokenizer: PreTrainedTokenizerBase, work: Path
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Train to the last step, from the checkpoint in `work` where there is one; `work`/log.jsonl has the progress.

    Returns:
        The model; and of its training `settings`, `loss` (the mean of the last steps), `cpu_seconds`.
    """
    torch.set_num_threads(1)
    module = TargetLogits(untrained_tiny(settings.seed))
    optimizers, batches = Optimizers(module), Batches(tokenizer, settings.seed, settings.batch_size)
    checkpoint, start, summed, loss, before = work / "last.pt", 0, 0.0, None, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        _check(state, settings, checkpoint)
        module.load_state_dict(state["module"])
        optimizers.load_state_dict(state["optimizers"])
        start, summed, loss, before = (state[key] for key in ("step", "summed", "loss", "cpu_seconds"))
    began, used = time.monotonic(), time.process_time()
    for step in range(start, settings.steps):
        logits, labels, _ = module(training_batch(batches[step], 0, False))
        mean = nn.functional.cross_entropy(logits, labels)
        mean.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizers.step(learning_rate(step, settings.steps, settings.learning_rate))
        summed += mean.item()
        done = step + 1
        if done % LOG_EVERY == 0:
            loss, summed = round(summed / LOG_EVERY, 4), 0.0
            seconds = (time.monotonic() - began) / (done - start)
            entry = {"step": done, "loss": loss, "seconds_a_step": round(seconds, 3)}
            if done % SCORE_EVERY == 0:
                rows = held_out(tokenizer, "validation", SCORED, settings.seed)
                entry["exact_match"] = exact_match(module, rows)
            with (work / "log.jsonl").open("a", encoding="utf8") as log:
                log.write(json.dumps(entry) + "\n")
        if done % SAVE_EVERY == 0 or done == settings.steps:
            spent = before + time.process_time() - used
            state = {"module": module.state_dict(), "optimizers": optimizers.state_dict(), "settings": asdict(settings)}
            save(checkpoint, {**state, "step": done, "summed": summed, "loss": loss, "cpu_seconds": spent})
    facts = {"settings": asdict(settings), "loss": loss, "cpu_seconds": before + time.process_time() - used}
    return module.backbone, facts


def save(path: Path, state: dict) -> None:
    """Write whole or not at all."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
