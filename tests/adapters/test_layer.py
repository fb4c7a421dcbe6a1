"""Tests of the adapted layer: all fast paths against the loop in reference.py, limit cases, cache, checkpointing."""

import math

import pytest
import torch
from torch import nn

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.composition import Composition
from flix_lightning.adapters.injection import adapter_state, load_adapter_state
from flix_lightning.adapters.layer import FeaturizedLinear
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from tests.reference import flix_linear, rank_rows
from tests.toy import CELLS, RANKS, fill, force_path, toy_composer

IN, OUT, LENGTH, SCALING = 6, 5, 3, 0.7
ROWS = rank_rows(RANKS)
# Different active ranks side by side: 7, 5, the task alone, a switched-off task, everything off, a weight above 1.
BATCH = [
    Cell("qa", "yo"),
    Cell("ner", "am"),
    Cell("parse", "fr"),
    Cell("qa", "bn"),
    Cell("ner", "sw"),
    Cell("ner", "yo"),
]
GATES = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 2.5]])
EXPECTED = [
    {"task=qa": 1.0, "language=yo": 1.0},
    {"task=ner": 1.0, "language=am": 1.0},
    {"task=parse": 1.0},
    {"language=bn": 1.0},
    {},
    {"task=ner": 1.0, "language=yo": 2.5},
]
UNUSED = "language=sw"  # the one feature that no example of the batch switches on
PATHS = pytest.mark.parametrize("path", ["wide", "gathered"])


def make_bank(path: str, bias: bool = True, filled: bool = True) -> FeaturizedLinear:
    torch.manual_seed(0)
    bank = FeaturizedLinear(nn.Linear(IN, OUT, bias=bias), 19, force_path(ActiveComposition(19), path), SCALING)
    if filled:
        fill([bank], size=1.0)
    bank.active.set(toy_composer().compose(BATCH, GATES))
    assert (bank.active.wide is not None) == (path == "wide")
    return bank


def loop(bank: FeaturizedLinear, x: torch.Tensor, expected=EXPECTED) -> torch.Tensor:
    return flix_linear(x, bank.base.weight, bank.base.bias, bank.lora_a, bank.lora_b, ROWS, expected, SCALING)


def draw(*shape: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def gradients(bank: FeaturizedLinear, forward) -> list[torch.Tensor]:
    """Gradients of a curved loss with respect to both factors and the input."""
    x = draw(len(BATCH), LENGTH, IN).requires_grad_()
    return list(torch.autograd.grad(forward(x).square().sum(), [bank.lora_a, bank.lora_b, x]))


# --- the numbers ---


@PATHS
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("middle", [(), (LENGTH,), (2, LENGTH)])
def test_forward_against_the_loop(path, bias, middle):
    bank, x = make_bank(path, bias), draw(len(BATCH), *middle, IN)
    assert_close(bank(x), loop(bank, x))
    with torch.no_grad():
        assert_close(bank(x), loop(bank, x))
        assert_close(bank(x), loop(bank, x))  # and once more, from what is kept between calls


@PATHS
def test_gradients_against_the_loop(path):
    bank = make_bank(path)
    for actual, expected in zip(gradients(bank, bank), gradients(bank, lambda x: loop(bank, x)), strict=True):
        assert expected.abs().max() > 0.1
        assert_close(actual, expected)


@PATHS
def test_features_that_nobody_uses_get_a_gradient_of_exactly_zero(path):
    bank = make_bank(path)
    for gradient in gradients(bank, bank)[:2]:
        for feature, rows in ROWS.items():
            assert gradient[list(rows)].ne(0).any(dim=1).all() == (feature != UNUSED), feature


@PATHS
@pytest.mark.parametrize("beams", [2, 3])
def test_inputs_with_several_rows_an_example(path, beams):
    # Beam search repeats every example; its neighbours stay neighbours.
    bank, x = make_bank(path), draw(len(BATCH) * beams, LENGTH, IN)
    assert_close(bank(x), loop(bank, x, [features for features in EXPECTED for _ in range(beams)]))


@PATHS
def test_inputs_flattened_to_two_dimensions(path):
    bank, x = make_bank(path), draw(len(BATCH), LENGTH, IN)
    flat = bank(x.reshape(-1, IN))
    assert flat.shape == (len(BATCH) * LENGTH, OUT)
    assert_close(flat, loop(bank, x).reshape(-1, OUT))


@PATHS
def test_inputs_that_do_not_lie_contiguously(path):
    bank, x = make_bank(path), draw(LENGTH, len(BATCH), IN).transpose(0, 1)
    assert_close(bank(x), loop(bank, x))


@PATHS
def test_rows_that_do_not_divide_among_the_examples_are_refused(path):
    # 4 rows of 3 tokens for 6 examples: 12 tokens would divide, but would mix examples.
    with pytest.raises((FlixError, ValueError, RuntimeError)):
        make_bank(path)(draw(4, LENGTH, IN))


@PATHS
def test_a_batch_with_no_known_feature_is_the_frozen_linear(path):
    bank, x = make_bank(path), draw(2, LENGTH, IN)
    bank.active.set(toy_composer().compose([Cell("summarise", "fr")] * 2))
    assert torch.equal(bank(x), bank.base(x))


# --- the start ---


@PATHS
def test_a_fresh_bank_changes_no_bit(path):
    bank, x = make_bank(path, filled=False), draw(len(BATCH), LENGTH, IN)
    assert torch.equal(bank(x), bank.base(x))
    bank.active.set(None)
    assert torch.equal(bank(x), bank.base(x))
    fill([bank])
    assert torch.equal(bank(x), bank.base(x))  # switched off, whatever the factors


def test_factors_start_as_in_peft():
    bank = FeaturizedLinear(nn.Linear(100, 7), 400, ActiveComposition(400))
    bound = 1 / math.sqrt(100)
    assert bank.lora_b.eq(0).all() and bank.lora_b.shape == (400, 7)
    assert 0.999 * bound < bank.lora_a.abs().max() <= bound
    assert bank.lora_a.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)  # of a uniform draw


def test_only_the_factors_train():
    bank = make_bank("wide")
    assert {name for name, p in bank.named_parameters() if p.requires_grad} == {"lora_a", "lora_b"}


# --- one composition folded into the weight ---


@PATHS
@pytest.mark.parametrize("bias", [True, False])
def test_merged_equals_unmerged_and_the_loop(path, bias):
    bank, x = make_bank(path, bias), draw(len(BATCH), LENGTH, IN)
    with torch.no_grad():
        y = bank(x)
    for row in range(len(BATCH)):
        linear = bank.merged(bank.active.current.index[row], bank.active.current.weight[row])
        assert type(linear) is nn.Linear and not any(p.requires_grad for p in linear.parameters())
        assert_close(linear(x[row]), y[row])
        assert_close(linear(x[row : row + 1]), loop(bank, x[row : row + 1], EXPECTED[row : row + 1]))


def test_delta_weight_by_hand():
    bank = FeaturizedLinear(nn.Linear(2, 3), 3, ActiveComposition(3), scaling=0.5)
    with torch.no_grad():
        bank.lora_a.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0], [9.0, 9.0]]))
        bank.lora_b.copy_(torch.tensor([[1.0, 0.0, -1.0], [2.0, 4.0, 0.0], [9.0, 9.0, 9.0]]))
    delta = bank.delta_weight(torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    # 0.5 * (b0^T a0 + 3 b1^T a1) = 0.5 * ([[1, 2], [0, 0], [-1, -2]] + [[0, 6], [0, 12], [0, 0]])
    assert delta.tolist() == [[0.5, 4.0], [0.0, 6.0], [-0.5, -1.0]]


def test_merging_nothing_keeps_every_bit_of_a_double_weight():
    base = nn.Linear(IN, OUT, dtype=torch.float64)
    bank = FeaturizedLinear(base, 19, ActiveComposition(19))
    merged = bank.merged(torch.tensor([0]), torch.tensor([0.0]))
    assert torch.equal(merged.weight, base.weight) and torch.equal(merged.bias, base.bias)


# --- what is kept between calls without gradients ---


@PATHS
def test_a_new_composition_is_served_at_once(path):
    bank, x = make_bank(path), draw(len(BATCH), LENGTH, IN)
    composer = toy_composer()
    with torch.no_grad():
        bank(x)
        bank.active.set(composer.compose(BATCH[::-1], GATES.flip(0)))
        assert_close(bank(x), loop(bank, x, EXPECTED[::-1]))
        bank.active.set(None)
        assert torch.equal(bank(x), bank.base(x))
        bank.active.set(composer.compose(BATCH, GATES))
        assert_close(bank(x), loop(bank, x))


@PATHS
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_an_optimizer_step_is_served_at_once(path, optimizer):
    bank, x = make_bank(path), draw(len(BATCH), LENGTH, IN)
    steps = optimizer([bank.lora_a, bank.lora_b], lr=0.1)
    bank(x).square().sum().backward()
    with torch.no_grad():
        before = bank(x)
    steps.step()
    with torch.no_grad():
        assert (bank(x) - before).abs().max() > 0.01
        assert_close(bank(x), loop(bank, x))


@PATHS
def test_loaded_factors_are_served_at_once(path):
    bank, x = make_bank(path), draw(len(BATCH), LENGTH, IN)
    model = nn.Sequential(bank)
    with torch.no_grad():
        before = bank(x)
        state = {name: factor * 2 for name, factor in adapter_state(model).items()}
        load_adapter_state(model, state)
        assert (bank(x) - before).abs().max() > 0.01
        assert_close(bank(x), loop(bank, x))


@PATHS
def test_a_forward_without_gradients_leaves_later_gradients_alone(path):
    bank = make_bank(path)
    expected = gradients(bank, bank)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            bank(draw(len(BATCH), LENGTH, IN))
        for actual, wanted in zip(gradients(bank, bank), expected, strict=True):
            assert torch.equal(actual, wanted)


# --- number formats ---


@PATHS
def test_bf16_autocast_is_close_and_trains_fp32_factors(path):
    bank, x = make_bank(path), draw(len(BATCH), LENGTH, IN)
    with torch.autocast("cpu", torch.bfloat16):
        y = bank(x)
    assert y.dtype == torch.bfloat16
    exact = loop(bank, x)
    torch.testing.assert_close(y.float(), exact, rtol=0.05, atol=0.02 * exact.abs().max().item())
    y.float().square().sum().backward()
    for factor, wanted in zip([bank.lora_a, bank.lora_b], gradients(bank, lambda x: loop(bank, x)), strict=False):
        assert factor.grad.dtype == torch.float32
        assert (factor.grad - wanted).norm() < 0.05 * wanted.norm()


@PATHS
def test_a_bf16_linear_keeps_fp32_factors(path):
    torch.manual_seed(0)
    base = nn.Linear(IN, OUT).bfloat16()
    bank = FeaturizedLinear(base, 19, force_path(ActiveComposition(19), path), SCALING)
    fill([bank], size=1.0)
    bank.active.set(toy_composer().compose(BATCH, GATES))
    x = draw(len(BATCH), LENGTH, IN).bfloat16()
    y = bank(x)
    assert bank.lora_a.dtype == torch.float32 and y.dtype == torch.bfloat16
    exact = flix_linear(
        x.float(), base.weight.float(), base.bias.float(), bank.lora_a, bank.lora_b, ROWS, EXPECTED, SCALING
    )
    torch.testing.assert_close(y.float(), exact, rtol=0.02, atol=0.01 * exact.abs().max().item())
    row = bank.active.current.index[0], bank.active.current.weight[0]
    merged = bank.merged(*row)
    assert merged.weight.dtype == merged.bias.dtype == torch.bfloat16
    assert torch.equal(merged.weight, (base.weight.float() + bank.delta_weight(*row)).bfloat16())  # rounded once


def test_the_wrapper_looks_like_the_linear_it_wraps():
    bank = make_bank("wide")
    assert bank.weight is bank.base.weight and bank.bias is bank.base.bias
    assert (bank.in_features, bank.out_features) == (IN, OUT)


# --- single tokens, as generation has them ---


def token_bank(bias: bool = True, used_up_to: int = 48) -> tuple[FeaturizedLinear, torch.Tensor]:
    bank = make_bank("gathered", bias)
    bank.active.USED_UP_TO = used_up_to
    bank.active.set(toy_composer().compose(BATCH, GATES))
    return bank, draw(len(BATCH), 1, IN)


def in_bf16(bank: FeaturizedLinear, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return bank(x).float()


@pytest.mark.parametrize("bias", [True, False])
def test_single_tokens_against_the_loop(bias, monkeypatch):
    bank, x = token_bank(bias)
    monkeypatch.setattr(bank, "factors", None)  # not computed there
    for _ in range(2):  # and once more, from what is kept between tokens
        exact = loop(bank, x)
        torch.testing.assert_close(in_bf16(bank, x), exact, rtol=0.05, atol=0.02 * exact.abs().max().item())
    fill([bank], size=1.0, seed=7)
    exact = loop(bank, x)
    torch.testing.assert_close(in_bf16(bank, x), exact, rtol=0.05, atol=0.02 * exact.abs().max().item())


def test_single_tokens_of_a_part_of_the_batch():
    bank, x = token_bank()
    in_bf16(bank, x)
    left = torch.tensor([4, 1])
    bank.active.set(bank.active.current.rows(left))
    exact = loop(bank, x[left], [EXPECTED[row] for row in left])
    torch.testing.assert_close(in_bf16(bank, x[left]), exact, rtol=0.05, atol=0.02 * exact.abs().max().item())


def test_a_batch_of_too_many_ranks_is_gathered():
    used = len(set(make_bank("gathered").active.current.index.flatten().tolist()))
    for used_up_to, kept in ((used / 7, True), ((used - 1) / 7, False)):
        assert (token_bank(used_up_to=used_up_to)[0].active.used is not None) == kept


# --- inputs converted once for several linears ---


def test_a_converted_input_serves_every_linear_that_reads_it_and_no_other():
    bank, x = make_bank("gathered"), draw(len(BATCH), LENGTH, IN)
    with torch.autocast("cpu", torch.bfloat16):
        first = bank.active.converted(x, torch.bfloat16)
        assert bank.active.converted(x, torch.bfloat16) is first
        before = bank(x)
        x.mul_(2)  # the same tensor, other numbers
        assert (bank(x) - before).abs().max() > 0.1
        assert torch.equal(bank(x.clone()), bank(x))


def test_a_composition_of_one_serves_a_batch_of_any_size():
    bank, x = make_bank("gathered"), draw(4, LENGTH, IN)
    first = bank.active.current
    bank.active.set(Composition(first.index[:1], first.weight[:1]))
    assert_close(bank(x), loop(bank, x, EXPECTED[:1] * 4))


def test_toy_cells_cover_every_feature():
    assert {str(f) for cell in CELLS for f in toy_composer().active(cell)} == set(RANKS)
