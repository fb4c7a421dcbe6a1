"""Adapted layers inside whole models: mixed batches, beams, gradient checkpointing, copies."""

import copy

import pytest
import torch
from torch import nn

from flix_lightning.adapters.injection import featurized_linears
from tests.adapters.test_layer import BATCH, EXPECTED, GATES, PATHS, assert_close
from tests.toy import TOYS, toy_batch, toy_flix

FAMILIES = pytest.mark.parametrize("family", TOYS)


@FAMILIES
@PATHS
def test_a_mixed_batch_equals_its_examples_alone(family, path):
    backbone, active, composer = toy_flix(family, path)
    batch = toy_batch(backbone, rows=len(BATCH))
    with torch.no_grad():
        active.set(composer.compose(BATCH, GATES))
        together = backbone(**batch).logits
        active.set(None)
        bare = backbone(**batch).logits
        for row, cell in enumerate(BATCH):
            active.set(composer.compose([cell], GATES[row : row + 1]))
            alone = backbone(**{name: value[row : row + 1] for name, value in batch.items()}).logits
            assert_close(together[row : row + 1], alone)
            assert ((together[row] - bare[row]).abs().max() > 1e-2) == bool(EXPECTED[row])


@FAMILIES
def test_both_paths_agree_in_a_model(family):
    losses, grads = [], []
    for path in ("wide", "gathered"):
        backbone, active, composer = toy_flix(family, path)
        active.set(composer.compose(BATCH, GATES))
        loss = backbone(**toy_batch(backbone, rows=len(BATCH))).loss
        loss.backward()
        losses.append(loss)
        grads.append([p.grad for p in backbone.parameters() if p.requires_grad])
    assert_close(*losses)
    assert max(grad.abs().max() for grad in grads[0]) > 1e-2
    assert_close(*grads)


@FAMILIES
@PATHS
def test_beam_search_in_a_mixed_batch_equals_its_examples_alone(family, path):
    backbone, active, composer = toy_flix(family, path)
    inputs = toy_batch(backbone, rows=4)
    del inputs["labels"]
    options = {"num_beams": 3, "min_new_tokens": 5, "max_new_tokens": 5, "do_sample": False}
    active.set(composer.compose(BATCH[:4]))
    together = backbone.generate(**inputs, **options)
    for row, cell in enumerate(BATCH[:4]):
        active.set(composer.compose([cell]))
        alone = backbone.generate(**{name: value[row : row + 1] for name, value in inputs.items()}, **options)
        assert torch.equal(together[row], alone[0])


def count_forwards(backbone: nn.Module) -> list[nn.Module]:
    """A list that grows by a bank at each of its forwards."""
    calls: list[nn.Module] = []
    for bank in featurized_linears(backbone).values():
        bank.register_forward_pre_hook(lambda module, inputs: calls.append(module))
    return calls


@FAMILIES
@PATHS
def test_gradient_checkpointing_changes_no_gradient(family, path):
    grads, forwards = [], []
    for checkpointing in (False, True):
        backbone, active, composer = toy_flix(family, path)
        backbone.double().train()  # in fp32 even the bare T5 sums its gradients in another order
        if checkpointing:
            backbone.gradient_checkpointing_enable({"use_reentrant": False})
        calls = count_forwards(backbone)
        active.set(composer.compose(BATCH, GATES))
        backbone(**toy_batch(backbone, rows=len(BATCH)), use_cache=False).loss.backward()
        grads.append({name: p.grad for name, p in backbone.named_parameters() if p.requires_grad})
        forwards.append(len(calls))
    assert forwards[1] > 1.5 * forwards[0]  # the forward was indeed done again
    assert all(grad is not None and grad.abs().max() > 1e-3 for grad in grads[0].values())
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-9, atol=1e-12)


def test_a_model_can_be_copied_after_training_and_answers_as_the_original():
    backbone, active, composer = toy_flix("t5")
    batch = toy_batch(backbone, rows=len(BATCH))
    active.set(composer.compose(BATCH, GATES))
    backbone(**batch).loss.backward()
    twin = copy.deepcopy(backbone)  # refused by torch if a bank kept tensors of the graph
    with torch.no_grad():
        assert torch.equal(twin(**batch).logits, backbone(**batch).logits)
