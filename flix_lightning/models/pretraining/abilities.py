"""Abilities of the model on contents that it was not trained on: exact match by task and group of languages."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from flix_lightning.data.tokens.encoding import IGNORE, Encoded, training_batch
from flix_lightning.models.pretraining.batches import Drawn, draw
from flix_lightning.models.pretraining.corpus import TASKS


class TargetLogits(nn.Module):
    """The backbone's logits at target tokens only."""

    def __init__(self, backbone: PreTrainedModel) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (targets, vocabulary), labels (targets,) and row numbers (targets,).

        Rows are padded on the right, which causal attention never reaches: no mask is needed.
        """
        hidden = self.backbone.model(input_ids=batch["input_ids"]).last_hidden_state
        rows, columns = (batch["labels"] != IGNORE).nonzero(as_tuple=True)
        return self.backbone.lm_head(hidden[rows, columns - 1]).float(), batch["labels"][rows, columns], rows


@torch.inference_mode()
def right(module: TargetLogits, rows: Sequence[Encoded], size: int = 128) -> list[bool]:
    """For each row, whether its greedy continuation is the target.

    Greedy decoding gives the target if and only if every target token is the likeliest after the ones before it.
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].prompt) + len(rows[i].target))
    found = [True] * len(rows)
    for start in range(0, len(rows), size):
        part = order[start : start + size]
        logits, labels, row = module(training_batch([rows[i] for i in part], 0, False))
        for wrong in set(row[logits.argmax(-1) != labels].tolist()):
            found[part[wrong]] = False
    return found


def held_out(tokenizer: PreTrainedTokenizerBase, split: str, rows: int, seed: int) -> list[Drawn]:
    """Rows of the corpus with contents of `split`."""
    rng = Random(f"pretraining/{split}/{seed}")
    return [draw(tokenizer, rng, split) for _ in range(rows)]


def exact_match(module: TargetLogits, drawn: Sequence[Drawn], by: str = "task") -> dict[str, float]:
    """The share (0 to 100) of rows done right, by their `task` or `language`."""
    total, correct = Counter(getattr(row, by) for row in drawn), Counter()
    for row, done in zip(drawn, right(module, [row.row for row in drawn])):
        correct[getattr(row, by)] += done
    names = [*TASKS, "copy"] if by == "task" else sorted(total)
    return {name: round(100 * correct[name] / total[name], 1) for name in names if total[name]}
