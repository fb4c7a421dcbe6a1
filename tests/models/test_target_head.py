"""The loss at target positions against transformers' own loss over all positions, and what the head computes."""

import pytest
import torch
from torch.nn import functional

from flix_lightning.data.tokens.encoding import IGNORE
from flix_lightning.data.tokens.places import target_places
from flix_lightning.models.target_head import TargetHead
from tests.toy import TOYS, toy_batch

FAMILIES = pytest.mark.parametrize("family", TOYS)


def ragged(backbone):
    """A batch whose rows have targets at different places, one row ending before the last column."""
    batch = toy_batch(backbone, rows=3)
    batch["labels"] = batch["labels"].clone()
    for row in range(3):
        hidden = slice(5 - row, None) if backbone.config.is_encoder_decoder else slice(0, 2 + row)
        batch["labels"][row, hidden] = IGNORE
    batch["labels"][0, -1] = IGNORE
    return batch


@FAMILIES
def test_the_loss_is_that_of_all_positions(family):
    backbone = TOYS[family]()
    batch = ragged(backbone)
    expected = backbone(**batch).loss
    places = target_places(batch["labels"], backbone.config.is_encoder_decoder)
    seen = []
    head = backbone.get_output_embeddings()
    selecting = TargetHead(head)
    head.register_forward_hook(lambda module, inputs, output: seen.append(output.shape[:-1].numel()))
    selecting.places = places[0]
    inputs = dict(batch)
    labels = inputs.pop("labels")
    if backbone.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = backbone.prepare_decoder_input_ids_from_labels(labels)
    logits = backbone(**inputs).logits
    torch.testing.assert_close(functional.cross_entropy(logits, places[1], ignore_index=IGNORE), expected)
    assert seen == [64], "the count is rounded up once, whatever the batch"
    selecting.places = None
    torch.testing.assert_close(backbone(**batch).loss, expected, rtol=0, atol=0)


@pytest.mark.parametrize("shift", [False, True])
def test_places_of_a_batch_by_hand(shift):
    labels = torch.tensor([[IGNORE, 7, IGNORE], [IGNORE, 8, 9]])
    places = target_places(labels, is_encoder_decoder=shift)
    assert places.shape == (2, 64)
    assert places[0, :3].tolist() == ([1, 4, 5] if shift else [0, 3, 4])
    assert places[1, :3].tolist() == [7, 8, 9] and places[1, 3:].eq(IGNORE).all()
