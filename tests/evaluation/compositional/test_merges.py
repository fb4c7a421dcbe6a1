"""Tests of merges against PEFT's own on a PEFT model, and against formulas written out."""

import math

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.features import Feature
from flix_lightning.data.cells import Cell
from flix_lightning.evaluation.compositional.merges import DENSITY, MERGES, concat, hub_merge, merged_bank, slerp

RANK, IN, OUT = 3, 6, 5
COMBINATIONS = {"concat": "cat", "linear": "linear", "TIES": "ties", "DARE": "dare_linear"}


def factors(seed: int = 0) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    a = [torch.randn(RANK, IN, generator=generator) for _ in range(2)]
    b = [torch.randn(RANK, OUT, generator=generator) for _ in range(2)]
    return a, b


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(IN, OUT, bias=False)

    def forward(self, x):
        return self.q_proj(x)


def by_peft(name: str, weights: list[float]) -> torch.Tensor:
    """The merged update (out, in) of PEFT's `add_weighted_adapter`."""
    a, b = factors()
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["q_proj"])
    model = get_peft_model(Toy(), config, adapter_name="first")
    model.add_adapter("second", config)
    layer = model.base_model.model.q_proj
    with torch.no_grad():
        for i, adapter in enumerate(("first", "second")):
            layer.lora_A[adapter].weight.copy_(a[i])
            layer.lora_B[adapter].weight.copy_(b[i].T)
    torch.manual_seed(0)
    density = {"density": DENSITY} if name in ("TIES", "DARE") else {}
    model.add_weighted_adapter(["first", "second"], weights, "merged", COMBINATIONS[name], **density)
    return layer.get_delta_weight("merged").detach()


@pytest.mark.parametrize("weights", [[0.5, 0.5], [1.0, 1.0]])
@pytest.mark.parametrize("name", ["concat", "linear", "TIES"])
def test_merges_against_peft(name, weights):
    a, b = MERGES[name](*factors(), weights)
    torch.testing.assert_close(b.T @ a, by_peft(name, weights), rtol=1e-5, atol=1e-6)


def test_dare_drops_about_half_and_doubles_the_rest():
    """PEFT draws B's mask for (out, rank), this project for (rank, out): the factors agree in kind, not in draws."""
    ones = [torch.ones(40, 50), torch.zeros(40, 50)]
    a, b = MERGES["DARE"](ones, ones, [1.0, 1.0])
    for factor in (a, b):
        assert set(factor.unique().tolist()) == {0.0, 1 / DENSITY}
        assert abs((factor > 0).float().mean() - DENSITY) < 5 * math.sqrt(0.25 / 2000)
    again, _ = MERGES["DARE"](ones, ones, [1.0, 1.0])
    assert torch.equal(a, again)


def test_concat_is_the_exact_sum_and_linear_has_cross_terms():
    (a1, a2), (b1, b2) = factors()
    a, b = concat([a1, a2], [b1, b2], [0.3, 0.7])
    torch.testing.assert_close(b.T @ a, 0.3 * b1.T @ a1 + 0.7 * b2.T @ a2)
    a, b = MERGES["linear"]([a1, a2], [b1, b2], [1.0, 1.0])
    torch.testing.assert_close(b.T @ a, b1.T @ a1 + b2.T @ a2 + b1.T @ a2 + b2.T @ a1, rtol=1e-4, atol=1e-5)


def test_lorahub_multiplies_both_factors_and_takes_negative_weights():
    (a1, a2), (b1, b2) = factors()
    a, b = hub_merge([a1, a2], [b1, b2], [-0.5, 1.2])
    torch.testing.assert_close(b.T @ a, (-0.5 * b1 + 1.2 * b2).T @ (-0.5 * a1 + 1.2 * a2))


def test_slerp_of_right_angles_parallels_and_nothing():
    x, y = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    torch.testing.assert_close(slerp(x, y), torch.full((1, 2), 3 / math.sqrt(2)))
    torch.testing.assert_close(slerp(x, y, 1 / 3), 3 * torch.tensor([[math.cos(math.pi / 6), 0.5]]))
    torch.testing.assert_close(slerp(x, 2 * x), 1.5 * x)
    torch.testing.assert_close(slerp(x, 0 * x), 0.5 * x)


def toy_bank() -> Bank:
    generator = torch.Generator().manual_seed(3)
    ranks = {Feature("task", name): 2 for name in ("ner", "qa", "style", "to")}
    shapes = {"m.q_proj.lora_a": IN, "m.q_proj.lora_b": OUT, "m.k_proj.lora_a": IN, "m.k_proj.lora_b": 4}
    made = {name: torch.randn(8, width, generator=generator) for name, width in shapes.items()}
    return Bank(made, ranks, "toy", ("task",), 0.5, (), {})


def test_a_merged_bank_holds_one_adapter_a_cell():
    experts, cells = toy_bank(), [Cell("qa+to", "en"), Cell("ner+style", "en")]
    weights = {cells[0]: (1.0, 0.25), cells[1]: (0.0, 2.0)}
    bank = merged_bank(experts, cells, concat, weights)
    assert {str(feature): rank for feature, rank in bank.ranks.items()} == {
        "dataset=ner+style/en": 2, "dataset=qa+to/en": 4
    }  # fmt: skip
    assert bank.scaling == 0.5
    composer = bank.composer()
    for module in ("m.q_proj", "m.k_proj"):
        a, b = experts.factors[f"{module}.lora_a"], experts.factors[f"{module}.lora_b"]
        deltas = {name: b[i : i + 2].T @ a[i : i + 2] for i, name in zip((0, 2, 4, 6), ("ner", "qa", "style", "to"))}
        for cell, wanted in ((cells[0], deltas["qa"] + 0.25 * deltas["to"]), (cells[1], 2 * deltas["style"])):
            rows = composer.compose([cell]).index[0]
            rows = rows[composer.compose([cell]).weight[0] > 0]
            found = bank.factors[f"{module}.lora_b"][rows].T @ bank.factors[f"{module}.lora_a"][rows]
            torch.testing.assert_close(found, wanted)
