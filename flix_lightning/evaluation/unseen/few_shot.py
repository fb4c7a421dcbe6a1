"""Learn from a handful of labelled examples how the known language features combine for an unseen language.

Nothing but one weight for each known language is learned, no factor. The weights are a softmax with one more place for
using none of them, so that they stay positive and sum to at most 1, as a seen language's own weight is 1. LoraHub
(Huang et al., 2023) combines the adapters of tasks in this spirit, free and without gradients.
"""

from collections.abc import Sequence

import torch
from lightning import Trainer
from torch import Tensor

from flix_lightning.adapters.composition import Composer, Composition
from flix_lightning.adapters.features import Feature
from flix_lightning.adapters.strengths import StandIns
from flix_lightning.data.cells import Cell
from flix_lightning.data.datamodule import MixtureDataModule
from flix_lightning.data.tokens.encoding import Encoded, training_batch
from flix_lightning.data.tokens.places import target_places
from flix_lightning.evaluation.unseen.policy import LANGUAGE, UnseenLanguage
from flix_lightning.training.module import FlixModule

Row = tuple[Feature, Cell, Encoded]  # the unseen language, and an example in it


def stand_ins(
    policy: UnseenLanguage, module: FlixModule, data: MixtureDataModule, cells: Sequence[Cell], trainer: Trainer
) -> StandIns:
    """What serves the unseen languages of `cells` by `policy`, learned where it says so.

    Raises:
        FlixError: a cell to learn from that has no training rows.
    """
    composer = module.composer
    absent = [(f, cell) for cell in cells for f in composer.featurizer(cell) if f not in composer.space]
    if policy.stand_in != "few_shot":
        return policy.stand_ins([feature for feature, _ in absent], composer.space)
    rows = [
        (feature, cell, row)
        for feature, cell in absent
        if feature.axis == LANGUAGE
        for row in data.tokenised.encoded(cell, "train")[: policy.examples]
    ]
    return _learned(policy, module, data, rows, trainer) if rows and LANGUAGE in composer.space.axes() else {}


def _learned(
    policy: UnseenLanguage, module: FlixModule, data: MixtureDataModule, rows: Sequence[Row], trainer: Trainer
) -> StandIns:
    """Adam on the logits of all unseen languages at once; a step sees all rows. The languages do not meet: each row
    moves the logits of its own language only, and Adam treats every number alone.
    """
    known = [feature for feature in module.composer.space if feature.axis == LANGUAGE]
    absent = list(dict.fromkeys(feature for feature, _, _ in rows))
    composer = module.composer.with_stand_ins({feature: dict.fromkeys(known, 1.0) for feature in absent})
    rows = sorted(rows, key=lambda row: len(row[2].prompt) + len(row[2].target))
    size = data.batching.eval_batch_size
    device = trainer.strategy.root_device
    module.to(device).eval()
    for bank in module.banks:
        bank.requires_grad_(False)
    logits = torch.zeros(len(absent), len(known) + 1, requires_grad=True)
    optimizer = torch.optim.Adam([logits], policy.lr)
    for _ in range(policy.steps):
        optimizer.zero_grad()
        for start in range(0, len(rows), size):
            features, cells, encoded = zip(*rows[start : start + size], strict=True)
            weights = logits.softmax(1)[[absent.index(feature) for feature in features]]
            module.active.set(weighted(composer, cells, weights).to(device))
            inputs = training_batch(encoded, data.tokenizer.pad_token_id, data.tokenised.is_encoder_decoder)
            with trainer.precision_plugin.forward_context():
                places = target_places(inputs["labels"], data.tokenised.is_encoder_decoder).to(device)
                loss = module.target_loss({name: tensor.to(device) for name, tensor in inputs.items()}, places)
            loss.backward()
        optimizer.step()
    module.active.set(None)
    return {f: dict(zip(known, row)) for f, row in zip(absent, logits.softmax(1).tolist(), strict=True)}


def weighted(composer: Composer, cells: Sequence[Cell], weights: Tensor) -> Composition:
    """The composition of `cells`, its language ranks weighted by (batch, known languages or more); gradients flow."""
    composition = composer.compose(cells)
    column = torch.full((composer.total_rank,), -1)
    for number, feature in enumerate(f for f in composer.space if f.axis == LANGUAGE):
        column[list(composer.ranks_of(feature))] = number
    column = column[composition.index]
    own = weights.gather(1, column.clamp(min=0))
    return Composition(composition.index, torch.where(column < 0, 1.0, own) * composition.weight)
