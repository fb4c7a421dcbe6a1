"""Weights converted once, against autocast that converts them at every use."""

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from flix_lightning.models.autocast_weights import converted_weights
from tests.families import ENCODER_DECODERS, FAMILIES, tiny_config
from tests.toy import CELLS, TOYS, toy_batch, toy_flix


def autocast():
    return torch.autocast("cpu", torch.bfloat16)


def logits(model, inputs):
    with torch.inference_mode(), autocast():
        return model(**inputs).logits


def family_model(family):
    torch.manual_seed(0)
    kind = AutoModelForSeq2SeqLM if family in ENCODER_DECODERS else AutoModelForCausalLM
    return kind.from_config(tiny_config(family)).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_s_numbers_are_the_same_and_its_weights_come_back(family):
    model = family_model(family)
    inputs = toy_batch(model, rows=3)
    expected, weights = logits(model, inputs), dict(model.named_parameters(remove_duplicate=False))
    with autocast(), converted_weights(model):
        found = {name: module.weight for name, module in model.named_modules() if isinstance(module, nn.Linear)}
        assert found and {weight.dtype for weight in found.values()} == {torch.bfloat16}
        assert model.get_input_embeddings().weight.dtype == torch.float32
        assert torch.equal(logits(model, inputs), expected)
    again = dict(model.named_parameters(remove_duplicate=False))
    assert again.keys() == weights.keys() and all(again[name] is weights[name] for name in weights)


@pytest.mark.parametrize("family", TOYS)
def test_adapters_see_the_same_numbers(family):
    backbone, active, composer = toy_flix(family)
    active.set(composer.compose(CELLS[:3]))
    inputs = toy_batch(backbone, rows=3)
    expected = logits(backbone, inputs)
    with autocast(), converted_weights(backbone):
        assert torch.equal(logits(backbone, inputs), expected)


def test_weights_come_back_after_an_error():
    model = nn.Sequential(nn.Linear(2, 3))
    weight = model[0].weight
    with pytest.raises(KeyError), autocast(), converted_weights(model):
        raise KeyError
    assert model[0].weight is weight


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_is_converted_outside_of_autocast_or_twice(dtype):
    model = nn.Sequential(nn.Linear(2, 3)).to(dtype)
    weight = model[0].weight
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16), converted_weights(model):
        assert model[0].weight is weight
