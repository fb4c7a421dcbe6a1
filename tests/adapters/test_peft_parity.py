"""Parity with Hugging Face PEFT: one always-on feature is LoRA, with the same outputs, gradients and merged model."""

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.features import Featurizer
from flix_lightning.adapters.injection import featurized_linears, inject, merge
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.data.cells import SHARED
from tests.toy import CELLS, TOYS, fill, force_path, toy_batch, toy_composer

RANK, ROWS = 4, 3


def both(family: str, alpha: int, path: str = "wide") -> tuple[PreTrainedModel, PeftModel]:
    """The same backbone and factors as FLix with one shared feature, composed for `ROWS` cells, and as PEFT's LoRA."""
    ours, theirs = TOYS[family](), TOYS[family]()
    composer = toy_composer(Featurizer((SHARED,)), RankAllocation({SHARED: RANK}))
    active = force_path(ActiveComposition(composer.total_rank), path)
    fill(inject(ours, composer.total_rank, active, scaling=alpha / RANK))
    active.set(composer.compose(CELLS[:ROWS]))
    config = LoraConfig(r=RANK, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear")
    theirs = get_peft_model(theirs, config).eval()
    with torch.no_grad():
        for name, bank in featurized_linears(ours).items():
            layer = theirs.base_model.model.get_submodule(name)
            layer.lora_A["default"].weight.copy_(bank.lora_a)
            layer.lora_B["default"].weight.copy_(bank.lora_b.T)
    return ours, theirs


def by_our_names(theirs: PeftModel) -> dict[str, Tensor]:
    """PEFT's gradients under this package's names and shapes."""
    grads = {}
    for name, parameter in theirs.base_model.model.named_parameters():
        if parameter.requires_grad:
            module, factor = name.removesuffix(".default.weight").rsplit(".", 1)
            grads[f"{module}.{factor.lower()}"] = parameter.grad if factor == "lora_A" else parameter.grad.T
    return grads


@pytest.mark.parametrize("family", TOYS)
@pytest.mark.parametrize("alpha", [RANK, 2 * RANK])
@pytest.mark.parametrize("path", ["wide", "gathered"])
def test_outputs_and_gradients_against_peft(family, alpha, path):
    ours, theirs = both(family, alpha, path)
    batch = toy_batch(ours, ROWS)
    mine, peft = ours(**batch), theirs(**batch)
    with torch.no_grad(), theirs.disable_adapter():
        assert (theirs(**batch).logits - peft.logits).abs().max() > 0.1  # the adapters do something
    torch.testing.assert_close(mine.logits, peft.logits, rtol=1e-4, atol=1e-5)
    mine.loss.backward()
    peft.loss.backward()
    grads, wanted = {name: p.grad for name, p in ours.named_parameters() if p.requires_grad}, by_our_names(theirs)
    assert grads.keys() == wanted.keys()
    for name, grad in grads.items():
        assert wanted[name].abs().max() > 0, name
        torch.testing.assert_close(
            grad, wanted[name], rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("family", TOYS)
@pytest.mark.parametrize("alpha", [RANK, 2 * RANK])
def test_merged_models_against_peft(family, alpha):
    ours, theirs = both(family, alpha)
    batch = toy_batch(ours, ROWS)
    merge(ours, torch.arange(RANK), torch.ones(RANK))
    theirs = theirs.merge_and_unload()
    with torch.no_grad():
        mine, peft = ours(**batch).logits, theirs(**batch).logits
        bare = TOYS[family]()(**batch).logits
    assert (peft - bare).abs().max() > 0.1
    torch.testing.assert_close(mine, peft, rtol=1e-4, atol=1e-5)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    torch.testing.assert_close(dict(ours.state_dict()), dict(theirs.state_dict()), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", TOYS)
def test_both_have_the_same_number_of_trainable_parameters(family):
    counts = [sum(p.numel() for p in model.parameters() if p.requires_grad) for model in both(family, RANK)]
    assert counts[0] == counts[1] > 0
