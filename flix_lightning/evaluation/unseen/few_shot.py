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
from flix_lightning.adapters.unseen import LANGUAGE, UnseenLanguage
from flix_lightning.data.cells import Cell
from flix_lightning.data.datamodule import MixtureDataModule
from flix_lightning.data.tokens.encoding import Encoded, training_batch
from flix_lightning.data.tokens.places import target_places
from flix_lightning.training.module import FlixModule

Row = tuple[Cell, Encoded]  # an example in an unseen language, or in several of which one is


def stand_ins(
    policy: UnseenLanguage, module: FlixModule, data: MixtureDataModule, cells: Sequence[Cell], trainer: Trainer
) -> StandIns:
    """What serves the unseen languages of `cells` by `policy`, learned where it says so.

    Raises:
        FlixError: a cell to learn from that has no training rows.
    """
    composer = module.composer
    known = {*composer.space, *dict(composer.strengths.features)}
    absent = [(f, cell) for cell in cells for f in composer.featurizer(cell) if f not in known]
    if policy.stand_in != "few_shot":
        return policy.stand_ins([feature for feature, _ in absent], composer.space)
    languages = [(feature, cell) for feature, cell in absent if feature.axis == LANGUAGE]
    rows = [
        (cell, row)
        for cell in dict.fromkeys(cell for _, cell in languages)
        for row in data.tokenised.encoded(cell, "train")[: policy.examples]
    ]
    if not rows or LANGUAGE not in composer.space.axes():
        return {}
    return _learned(policy, module, data, list(dict.fromkeys(feature for feature, _ in languages)), rows, trainer)


def _learned(
    policy: UnseenLanguage,
    module: FlixModule,
    data: MixtureDataModule,
    absent: Sequence[Feature],
    rows: Sequence[Row],
    trainer: Trainer,
) -> StandIns:
    """Adam on the logits of all unseen languages at once; a step sees all rows. Languages that no cell joins do not
    meet: each row moves the logits of its own language only, and Adam treats every number alone.
    """
    known = [feature for feature in module.composer.space if feature.axis == LANGUAGE]
    composer = module.composer.with_stand_ins({feature: dict.fromkeys(known, 1.0) for feature in absent})
    rows = sorted(rows, key=lambda row: len(row[1].prompt) + len(row[1].target))
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
            cells, encoded = zip(*rows[start : start + size], strict=True)
            module.active.set(weighted(composer, absent, cells, logits.softmax(1)).to(device))
            inputs = training_batch(encoded, data.tokenizer.pad_token_id, data.tokenised.is_encoder_decoder)
            with trainer.precision_plugin.forward_context():
                places = target_places(inputs["labels"], data.tokenised.is_encoder_decoder).to(device)
                loss = module.target_loss({name: tensor.to(device) for name, tensor in inputs.items()}, places)
            loss.backward()
        optimizer.step()
    module.active.set(None)
    return {f: dict(zip(known, row)) for f, row in zip(absent, logits.softmax(1).tolist(), strict=True)}


def weighted(composer: Composer, absent: Sequence[Feature], cells: Sequence[Cell], weights: Tensor) -> Composition:
    """The composition of `cells`, stand-ins weighted by `weights`, to which gradients flow.

    Args:
        absent: unknown features that have the same number of stand-ins each, which the weights multiply.
        weights: (absent features, stand-ins of one), the stand-ins in the composer's order.
    """
    composition, columns = composer.compose(cells), weights.shape[1]
    served = dict(composer.strengths.features)
    number = {
        (feature, known): row * columns + column
        for row, feature in enumerate(absent)
        for column, (known, _) in enumerate(served[feature])
    }
    places = torch.full_like(composition.index, -1)
    for row, cell in zip(places, cells):
        own = [number.get((f, known), -1) for f, known, _ in composer.serving(cell) for _ in composer.ranks_of(known)]
        row[: len(own)] = torch.tensor(own, dtype=row.dtype)
    learned = weights.flatten()[places.clamp(min=0)]
    return Composition(composition.index, composition.weight * torch.where(places < 0, 1.0, learned))
