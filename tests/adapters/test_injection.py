"""Tests of injection: which linears are wrapped, what trains, adapter state in and out, merging a whole model."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.injection import (
    adapter_state,
    featurized_linears,
    inject,
    load_adapter_state,
    merge,
    target_names,
)
from flix_lightning.adapters.layer import FeaturizedLinear
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from tests.toy import TOYS, fill, toy_batch, toy_composer, toy_flix, toy_llama, toy_t5

FAMILIES = pytest.mark.parametrize("family", TOYS)
LLAMA_LINEARS = {
    f"model.layers.{layer}.{name}"
    for layer in range(2)
    for name in (
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
    )
}  # fmt: skip
T5_ATTENTIONS = {
    f"{stack}.block.{layer}.layer.{place}"
    for layer in range(2)
    for stack, place in [
        ("encoder", "0.SelfAttention"), ("decoder", "0.SelfAttention"), ("decoder", "1.EncDecAttention")
    ]
}  # fmt: skip
T5_LINEARS = {f"{attention}.{name}" for attention in T5_ATTENTIONS for name in "qkvo"} | {
    f"{place}.DenseReluDense.{name}"
    for layer in range(2)
    for place in (f"encoder.block.{layer}.layer.1", f"decoder.block.{layer}.layer.2")
    for name in ("wi_0", "wi_1", "wo")
}


def trainable(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def factors(linears) -> set[str]:
    return {f"{name}.{factor}" for name in linears for factor in ("lora_a", "lora_b")}


# --- targets ---


@pytest.mark.parametrize(
    "make, targets, linears",
    [
        (toy_llama, "all-linear", LLAMA_LINEARS),
        (toy_t5, "all-linear", T5_LINEARS),
        (toy_llama, "q_proj", {f"model.layers.{i}.self_attn.q_proj" for i in range(2)}),
        (toy_llama, ["up_proj", "1.self_attn.v_proj"], {
            "model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj", "model.layers.1.self_attn.v_proj"}),
        (toy_t5, ["q", "v"], {f"{attention}.{name}" for attention in T5_ATTENTIONS for name in "qv"}),
        (toy_t5, ["o"], {f"{attention}.o" for attention in T5_ATTENTIONS}),  # not wo
        (toy_t5, ["EncDecAttention.k"], {f"decoder.block.{i}.layer.1.EncDecAttention.k" for i in range(2)}),
    ],
)  # fmt: skip
def test_exactly_the_factors_of_the_targets_train(make, targets, linears):
    backbone = make()
    banks = inject(backbone, 3, ActiveComposition(3), targets)
    assert trainable(backbone) == factors(linears)
    assert set(featurized_linears(backbone)) == linears and len(banks) == len(linears)


@FAMILIES
def test_all_linear_is_what_peft_means_by_it(family):
    config = LoraConfig(r=2, target_modules="all-linear")
    wrapped = get_peft_model(TOYS[family](), config).base_model.model
    theirs = {name for name, module in wrapped.named_modules() if isinstance(module, LoraLayer)}
    assert set(target_names(TOYS[family](), "all-linear")) == theirs
    assert "lm_head" not in theirs


@FAMILIES
@pytest.mark.parametrize("targets", ["qproj", ["q", "q_proj", "nothing"], "proj", ".q_proj", ""])
def test_an_ending_that_matches_nothing_is_refused_and_the_model_left_alone(family, targets):
    backbone = TOYS[family]()
    before = trainable(backbone)
    with pytest.raises(FlixError, match="adapter.target_modules") as caught:
        inject(backbone, 3, ActiveComposition(3), targets)
    shown = {"t5": "k, o, q, v, wi_0, wi_1, wo", "llama": "down_proj, gate_proj, k_proj, o_proj, q_proj"}[family]
    assert shown in str(caught.value) and "all-linear" in str(caught.value)
    assert trainable(backbone) == before and not featurized_linears(backbone)


def test_no_target_at_all_is_refused():
    with pytest.raises(FlixError, match="target_modules"):
        target_names(toy_llama(), [])


def test_a_backbone_without_linears_is_refused():
    config = GPT2Config(vocab_size=16, n_positions=8, n_embd=8, n_layer=0, n_head=1, bos_token_id=1, eos_token_id=1)
    with pytest.raises(FlixError, match="GPT2LMHeadModel has no linear layer"):
        target_names(GPT2LMHeadModel(config), "all-linear")


def test_a_backbone_is_injected_once():
    backbone, active, _ = toy_flix("llama")
    with pytest.raises(FlixError):
        inject(backbone, 3, active)


# --- the backbone stays what it was ---


@FAMILIES
def test_a_fresh_injection_changes_no_bit_of_the_logits(family):
    backbone, composer = TOYS[family](), toy_composer()
    batch, cells = toy_batch(backbone, 3), [Cell("qa", "yo"), Cell("ner", "am"), Cell("qa", "fr")]
    with torch.no_grad():
        bare = backbone(**batch).logits
        active = ActiveComposition(composer.total_rank)
        inject(backbone, composer.total_rank, active)
        assert torch.equal(backbone(**batch).logits, bare)
        active.set(composer.compose(cells))
        assert torch.equal(backbone(**batch).logits, bare)


@FAMILIES
def test_training_moves_the_factors_and_no_bit_of_the_rest(family):
    backbone, active, composer = toy_flix(family)
    start = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    steps = torch.optim.SGD(backbone.parameters(), lr=0.05, weight_decay=0.1)
    losses = []
    active.set(composer.compose([Cell("qa", "yo"), Cell("ner", "am"), Cell("parse", "sw"), Cell("qa", "bn")]))
    for _ in range(4):
        steps.zero_grad()
        losses.append(backbone(**toy_batch(backbone, 4)).loss)
        losses[-1].backward()
        steps.step()
    assert losses[-1] < losses[0]
    moved = {name for name, tensor in backbone.state_dict().items() if not torch.equal(tensor, start[name])}
    assert moved == trainable(backbone)


def test_scaling_reaches_every_bank():
    backbone, _, _ = toy_flix("llama", scaling=0.25)
    assert [bank.scaling for bank in featurized_linears(backbone).values()] == [0.25] * len(LLAMA_LINEARS)


# --- state ---


@FAMILIES
def test_adapter_state_is_the_trainable_parameters(family):
    backbone, _, _ = toy_flix(family)
    state = adapter_state(backbone)
    assert set(state) == trainable(backbone)
    for name, parameter in backbone.named_parameters():
        if name in state:
            assert torch.equal(state[name], parameter) and not state[name].requires_grad


@FAMILIES
def test_state_makes_the_round_trip_through_a_file(family, tmp_path):
    backbone, active, composer = toy_flix(family)
    torch.save(adapter_state(backbone), tmp_path / "adapters.pt")
    twin, other, _ = toy_flix(family)
    fill(featurized_linears(twin).values(), seed=99)
    batch, composition = toy_batch(backbone, 2), composer.compose([Cell("qa", "yo"), Cell("ner", "am")])
    active.set(composition)
    other.set(composition)
    with torch.no_grad():
        wanted = backbone(**batch).logits
        assert (twin(**batch).logits - wanted).abs().max() > 1e-2
        load_adapter_state(twin, torch.load(tmp_path / "adapters.pt", weights_only=True))
        assert torch.equal(twin(**batch).logits, wanted)
    assert trainable(twin) == trainable(backbone)


@pytest.mark.parametrize("change", ["missing", "extra", "renamed"])
def test_state_of_another_model_is_refused(change):
    backbone, _, _ = toy_flix("llama")
    state = adapter_state(backbone)
    name = "model.layers.1.mlp.down_proj.lora_b"
    if change == "extra":
        state["model.layers.2.mlp.down_proj.lora_b"] = state[name]
        name = "model.layers.2.mlp.down_proj.lora_b"
    else:
        tensor = state.pop(name)
        if change == "renamed":
            state["z." + name] = tensor
    with pytest.raises(FlixError, match="another model") as caught:
        load_adapter_state(backbone, state)
    assert name in str(caught.value)


def test_state_of_another_allocation_is_refused_and_nothing_is_loaded():
    backbone, _, _ = toy_flix("llama")
    start = {name: tensor.clone() for name, tensor in adapter_state(backbone).items()}
    state = {name: tensor + 1 for name, tensor in start.items()}
    last = list(state)[-1]
    state[last] = state[last][:-2]
    with pytest.raises(FlixError, match=r"\(17, 32\).*\(19, 32\)") as caught:
        load_adapter_state(backbone, state)
    assert last in str(caught.value)
    assert all(torch.equal(tensor, start[name]) for name, tensor in adapter_state(backbone).items())


# --- merging ---


@FAMILIES
def test_a_merged_model_answers_as_the_unmerged_one(family):
    cell = Cell("qa", "yo")
    backbone, active, composer = toy_flix(family, scaling=0.5)
    batch, composition = toy_batch(backbone, 3), composer.compose([cell])
    active.set(composer.compose([cell] * 3))
    with torch.no_grad():
        wanted = backbone(**batch).logits
        active.set(None)
        assert (backbone(**batch).logits - wanted).abs().max() > 1e-2
        merge(backbone, composition.index[0], composition.weight[0])
        torch.testing.assert_close(backbone(**batch).logits, wanted, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, FeaturizedLinear) for module in backbone.modules())
    assert set(backbone.state_dict()) == set(TOYS[family]().state_dict()) and not trainable(backbone)
