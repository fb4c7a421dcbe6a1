"""Greedy generation with rows leaving as they end, against transformers' own on the whole batch."""

import pytest
import torch

from flix_lightning.adapters.composition import Composition
from flix_lightning.models import generation
from flix_lightning.models.generation import greedy_tokens
from tests.toy import CELLS, EOS, PAD, TOYS, VOCAB, toy_batch, toy_flix

ROWS, NEW = 9, 20


def prompts(backbone):
    """Prompts of several lengths, padded on the side that the family generates from."""
    batch = toy_batch(backbone, rows=ROWS, length=8)
    for row in range(ROWS):
        cut = slice(8 - row % 4, None) if backbone.config.is_encoder_decoder else slice(0, row % 4)
        batch["input_ids"][row, cut], batch["attention_mask"][row, cut] = PAD, 0
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def whole_batch(backbone, inputs, eos=EOS):
    tokens = backbone.generate(
        **inputs, max_new_tokens=NEW, do_sample=False, num_beams=1, pad_token_id=PAD, eos_token_id=eos
    )
    new = tokens[:, 1 if backbone.config.is_encoder_decoder else inputs["input_ids"].shape[1] :]
    return torch.nn.functional.pad(new, (0, NEW - new.shape[1]), value=PAD)


def lengths_of(tokens, eos):
    """(rows,), the end token included."""
    ended = (tokens == eos).cumsum(dim=1) - (tokens == eos).int()
    return (ended == 0).sum(dim=1)


def ending_one_after_the_other(family):
    """A model, prompts, and the token that ends the most rows at different places when it is taken for the end."""
    backbone, active, composer = toy_flix(family)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.mul_(2.0)  # a fresh model repeats one token for ever
    active.set(composer.compose(CELLS[:ROWS]))
    inputs = prompts(backbone)
    endless = whole_batch(backbone, inputs, eos=VOCAB + 1)
    eos = max(range(3, VOCAB), key=lambda token: len(lengths_of(endless, token).unique()))
    expected = whole_batch(backbone, inputs, eos)
    assert len(lengths_of(expected, eos).unique()) >= 3, "the rows end together: nothing is tested"
    return backbone, active, inputs, eos, expected


@pytest.mark.parametrize("family", TOYS)
@pytest.mark.parametrize("segment", [1, 3, 64])
def test_the_tokens_are_those_of_the_whole_batch(family, segment, monkeypatch):
    monkeypatch.setattr(generation, "SEGMENT", segment)
    backbone, active, inputs, eos, expected = ending_one_after_the_other(family)
    composition = active.current
    assert torch.equal(greedy_tokens(backbone, inputs, NEW, PAD, eos), expected)
    assert active.current is composition, "the composition is left as it was"


@pytest.mark.parametrize("family", TOYS)
def test_rows_that_have_ended_are_computed_no_more(family, monkeypatch):
    monkeypatch.setattr(generation, "SEGMENT", 2)
    backbone, _, inputs, eos, expected = ending_one_after_the_other(family)
    lengths, sizes = lengths_of(expected, eos), []
    backbone.get_output_embeddings().register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    greedy_tokens(backbone, inputs, NEW, PAD, eos)
    assert sizes == [int((lengths > step - step % 2).sum()) for step in range(len(sizes))]


def test_one_composition_for_all_rows_stays():
    backbone, active, composer = toy_flix("llama")
    active.set(composer.compose(CELLS[:1]))
    inputs = prompts(backbone)
    one = active.current
    active.set(Composition(one.index.expand(ROWS, -1), one.weight.expand(ROWS, -1)))
    expected = whole_batch(backbone, inputs)
    active.set(one)
    assert torch.equal(greedy_tokens(backbone, inputs, NEW, PAD, EOS), expected)
