"""The optimizer against torch's AdamW, and what happens to rows that are not active."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from flix_lightning.common.errors import FlixError
from flix_lightning.training.optimizer import ActiveRowsAdamW, Optimization

SETTINGS = {"lr": 0.03, "betas": (0.8, 0.95), "weight_decay": 0.1}


def pair(rows: int = 5, width: int = 3):
    torch.manual_seed(0)
    first = nn.Parameter(torch.randn(rows, width, dtype=torch.float64))
    return first, nn.Parameter(first.detach().clone())


def test_with_every_row_active_it_is_adamw():
    ours, theirs = pair()
    optimizer, reference = ActiveRowsAdamW([("ours", ours)], **SETTINGS), torch.optim.AdamW([theirs], **SETTINGS)
    for step in range(6):
        ours.grad, theirs.grad = (torch.sin(p.detach() * (step + 1)) for p in (ours, theirs))
        optimizer.step()
        reference.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_row_is_updated_as_if_only_its_own_steps_had_been():
    """The dense reference: one AdamW a row, stepped only when the row is active."""
    ours, _ = pair()
    alone = [nn.Parameter(row.detach().clone()[None]) for row in ours]
    references = [torch.optim.AdamW([row], **SETTINGS) for row in alone]
    optimizer = ActiveRowsAdamW([("ours", ours)], **SETTINGS)
    for step, active in enumerate([[0, 1], [1], [0, 4], [1, 2, 4], [0]]):
        ours.grad = torch.cos(ours.detach() + step)
        optimizer.active_rows = torch.tensor(active)
        for row in active:
            alone[row].grad = torch.cos(alone[row].detach() + step)
            references[row].step()
        optimizer.step()
    torch.testing.assert_close(ours, torch.cat([row.detach() for row in alone]), rtol=1e-12, atol=1e-12)


def test_rows_with_learning_rates_of_their_own_are_groups_of_adamw():
    ours, _ = pair()
    factors = [1.0, 2.0, 0.5, 2.0, 1.0]
    alone = [nn.Parameter(row.detach().clone()[None]) for row in ours]
    groups = [{"params": [row], "lr": SETTINGS["lr"] * factor} for row, factor in zip(alone, factors)]
    optimizer, reference = ActiveRowsAdamW([("ours", ours)], **SETTINGS), torch.optim.AdamW(groups, **SETTINGS)
    optimizer.row_lr = Optimization(0.03, axis_lr={"task": 2.0, "language": 0.5}).row_lr(
        {"task": slice(1, 4, 2), "language": slice(2, 3)}, len(ours)
    )
    for step in range(4):
        ours.grad = torch.cos(ours.detach() + step)
        for row in alone:
            row.grad = torch.cos(row.detach() + step)
        optimizer.step()
        reference.step()
    torch.testing.assert_close(ours, torch.cat([row.detach() for row in alone]), rtol=1e-6, atol=1e-7)


def test_inactive_rows_keep_weights_and_moments_bit_for_bit():
    ours, _ = pair()
    optimizer = ActiveRowsAdamW([("ours", ours)], **SETTINGS)
    ours.grad = torch.ones_like(ours)
    optimizer.step()
    weights = ours.detach().clone()
    moments = {name: tensor.clone() for name, tensor in optimizer.state[ours].items()}
    optimizer.active_rows = torch.tensor([3])
    optimizer.step()
    still = [0, 1, 2, 4]
    assert torch.equal(ours[still], weights[still])
    assert not torch.equal(ours[3], weights[3])
    for name, tensor in optimizer.state[ours].items():
        assert torch.equal(tensor[still], moments[name][still])


def test_its_state_comes_back():
    ours, copy = pair()
    optimizer, other = ActiveRowsAdamW([("ours", ours)], **SETTINGS), ActiveRowsAdamW([("ours", copy)], **SETTINGS)
    ours.grad = torch.ones_like(ours)
    optimizer.step()
    copy.data.copy_(ours)
    other.load_state_dict(deepcopy(optimizer.state_dict()))
    for parameter, owner in ((ours, optimizer), (copy, other)):
        parameter.grad = torch.full_like(parameter, 0.5)
        owner.step()
    assert torch.equal(ours, copy)


def test_a_learning_rate_of_zero_is_refused():
    with pytest.raises(FlixError, match="optimizer.lr"):
        ActiveRowsAdamW([("one", nn.Parameter(torch.zeros(1, 1)))], lr=0.0)
