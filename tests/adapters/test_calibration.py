"""Tests of calibration against the formulas written out, the published sizes, and an uncorrected bank."""

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, StableLmConfig

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.calibration import (
    CALIBRATION,
    CalibratedLinear,
    calibrate,
    calibrated_composer,
    projection_type,
    size,
    split,
)
from flix_lightning.adapters.composition import Composer, Composition
from flix_lightning.adapters.features import FeatureSpace, Featurizer
from flix_lightning.adapters.injection import featurized_linears, inject, merge
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from tests.evaluation.compositional.toy import COMPOSITE, calibrated, shift
from tests.reference import flix_linear
from tests.toy import CELLS, TOYS, fill, toy_batch, toy_composer

KINDS = pytest.mark.parametrize("rank", [None, 4])
SHARING = pytest.mark.parametrize("shared", [False, True])


@KINDS
@SHARING
@pytest.mark.parametrize("family", TOYS)
def test_a_fresh_calibration_changes_nothing(family, rank, shared):
    backbone, active, composer, _ = calibrated(family, rank, shared)
    plain, plain_composer = TOYS[family](), toy_composer()
    plain_active = ActiveComposition(plain_composer.total_rank)
    fill(inject(plain, plain_composer.total_rank, plain_active))
    cells = [*COMPOSITE, Cell("ner", "sw")]
    batch = toy_batch(backbone, len(cells))
    active.set(composer.compose(cells))
    plain_active.set(plain_composer.compose(cells))
    torch.testing.assert_close(backbone(**batch).logits, plain(**batch).logits, rtol=1e-4, atol=1e-5)


@KINDS
@SHARING
def test_a_mixed_batch_against_the_formula(rank, shared):
    """y = W0 x + scaling dW x + p, or + P2 P1 x: example by example, from the pieces."""
    backbone, active, composer, corrections = calibrated("llama", rank, shared, scaling=0.7)
    shift(corrections)
    path, bank = list(featurized_linears(backbone).items())[5]
    correction = corrections[projection_type(path)]
    cells = [COMPOSITE[1], Cell("ner", "sw"), COMPOSITE[0]]
    active.set(composer.compose(cells))
    x = torch.randn(3, 6, bank.in_features, generator=torch.Generator().manual_seed(0))
    space = [str(feature) for feature in toy_composer().space]
    rows = {name: toy_composer().ranks_of(feature) for name, feature in zip(space, toy_composer().space)}
    tasks = [{f"task={task}": 1.0 for task in cell.task.split("+")} | {"language=sw": 1.0} for cell in cells]
    expected = flix_linear(x, bank.base.weight, bank.base.bias, bank.lora_a, bank.lora_b, rows, tasks, 0.7)
    count = rank or 1
    for row, number in ((0, 0 if shared else 1), (2, 0)):  # the second cell is no composite one
        own = slice(number * count, (number + 1) * count)
        if rank is None:
            expected[row] += correction.lora_b[own][0]
        else:
            expected[row] += x[row] @ correction.lora_a[own].T @ correction.lora_b[own]
    if shared:
        extra = correction.lora_b[0] if rank is None else x[1] @ correction.lora_a.T @ correction.lora_b
        expected[1] += extra  # one correction for all means for every cell
    with torch.no_grad():
        torch.testing.assert_close(bank(x), expected.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bank(x), expected, rtol=1e-4, atol=1e-5)


def test_a_composition_is_split_by_hand():
    """Bank ranks 0 to 9, corrections from 10; a switched-off rank and padding are nobody's."""
    index = torch.tensor([[3, 4, 12, 13], [7, 0, 0, 0], [10, 2, 5, 11]])
    weight = torch.tensor([[1.0, 0.0, 1.0, 2.0], [0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    own, beyond = split(Composition(index, weight), 10)
    assert own.index.tolist() == [[3], [7], [0]] and own.weight.tolist() == [[1.0], [0.5], [0.0]]
    assert beyond.index.tolist() == [[2, 3], [0, 0], [0, 1]]
    assert beyond.weight.tolist() == [[1.0, 2.0], [0.0, 0.0], [0.0, 1.0]]


@KINDS
def test_a_batch_without_any_correction_or_any_feature_is_the_banks_or_the_backbones(rank):
    backbone, active, composer, corrections = calibrated(rank=rank)
    shift(corrections)
    bank = featurized_linears(backbone)["model.layers.0.mlp.up_proj"]
    x = torch.randn(2, 3, bank.in_features, generator=torch.Generator().manual_seed(0))
    for cells, update in (
        ([Cell("none", "none")] * 2, 0),
        ([Cell("ner", "sw")] * 2, x @ bank.delta_weight(*(row[0] for row in composer.compose([Cell("ner", "sw")]))).T),
    ):
        active.set(composer.compose(cells))
        torch.testing.assert_close(bank(x), bank.base(x) + update, rtol=1e-4, atol=1e-5)


@KINDS
def test_one_token_at_a_time_says_what_all_tokens_together_say(rank):
    backbone, active, composer, corrections = calibrated(rank=rank)
    shift(corrections)
    active.set(composer.compose([COMPOSITE[1], COMPOSITE[0], Cell("ner", "sw")]))
    for bank in list(featurized_linears(backbone).values())[:7]:
        x = torch.randn(3, 4, bank.in_features, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            one_by_one = torch.cat([bank(x[:, i : i + 1]) for i in range(4)], dim=1)
            torch.testing.assert_close(one_by_one, bank(x), rtol=1e-4, atol=1e-5)


@KINDS
def test_only_the_correction_of_the_example_gets_a_gradient(rank):
    backbone, active, composer, corrections = calibrated(rank=rank)
    shift(corrections)
    active.set(composer.compose([COMPOSITE[1]] * 2))
    backbone(**toy_batch(backbone, 2)).loss.backward()
    trained = {name for name, p in backbone.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained and all(name.startswith(f"{CALIBRATION}.") for name in trained)
    assert trained == {name for name, p in backbone.named_parameters() if p.requires_grad}
    half = rank or 1
    for correction in corrections.values():
        assert not correction.lora_b.grad[:half].any()
        assert correction.lora_b.grad[half:].any()


@KINDS
def test_the_layers_of_a_projection_type_share_their_correction(rank):
    backbone, _, _, corrections = calibrated(rank=rank)
    assert sorted(kind.rpartition(".")[2] for kind in corrections) == [
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"
    ]  # fmt: skip
    banks = featurized_linears(backbone)
    assert all(isinstance(bank, CalibratedLinear) for bank in banks.values()) and len(banks) == 14
    for path, bank in banks.items():
        assert bank.correction[0] is corrections[projection_type(path)]


@KINDS
@pytest.mark.parametrize("family", TOYS)
def test_merging_one_composition_gives_plain_linears_that_do_the_same(family, rank):
    backbone, active, composer, corrections = calibrated(family, rank)
    shift(corrections)
    batch = toy_batch(backbone, 2)
    active.set(composer.compose([COMPOSITE[0]] * 2))
    with torch.no_grad():
        composed = backbone(**batch).logits
        one = composer.compose([COMPOSITE[0]])
        merge(backbone, one.index[0], one.weight[0])
        torch.testing.assert_close(backbone(**batch).logits, composed, rtol=1e-3, atol=1e-4)
    assert not featurized_linears(backbone)


def test_what_is_kept_for_generation_follows_the_composition():
    backbone, active, composer, corrections = calibrated(rank=4)
    shift(corrections)
    batch = toy_batch(backbone, 1)
    with torch.no_grad():
        logits = []
        for cell in (COMPOSITE[0], COMPOSITE[1], COMPOSITE[0]):
            active.set(composer.compose([cell]))
            logits.append(backbone(**batch).logits)
    assert torch.equal(logits[0], logits[2])
    assert not torch.allclose(logits[0], logits[1])


def test_projection_types_leave_out_the_numbers_only():
    assert projection_type("model.layers.11.self_attn.q_proj") == "model.layers.self_attn.q_proj"
    assert projection_type("decoder.block.0.layer.1.EncDecAttention.q") == "decoder.block.layer.EncDecAttention.q"
    assert projection_type("h.3") == "h"
    assert projection_type("layers2.w1") == "layers2.w1"


def test_a_bank_with_the_corrections_axis_is_refused():
    featurizer = Featurizer(("dataset",))
    bank = Composer(featurizer, FeatureSpace.of(CELLS, featurizer), RankAllocation({"dataset": 2}))
    with pytest.raises(FlixError, match="dataset"):
        calibrated_composer(bank, COMPOSITE, None, shared=False)
    assert calibrated_composer(bank, COMPOSITE, None, shared=True).total_rank == 25
    with pytest.raises(FlixError, match="adapter.rank"):
        calibrated_composer(toy_composer(), COMPOSITE, 0, shared=False)


def test_a_bank_without_a_part_of_a_composite_task_is_refused():
    with pytest.raises(FlixError, match="adapter.bank.*'task=qb'.*did you mean 'task=qa'"):
        calibrated_composer(toy_composer(), [Cell("ner+qb", "sw")], None, shared=False)
    unseen = calibrated_composer(toy_composer(), [Cell("ner+qa", "xx")], None, shared=False)
    assert [str(feature) for feature in unseen.active(Cell("ner+qa", "xx"))] == [
        "task=ner", "task=qa", "dataset=ner+qa/xx"
    ]  # fmt: skip


# The published backbones, from the values of their config files; embeddings play no part.
PUBLISHED = {
    "Llama-3.2-1B": LlamaConfig(
        hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
        head_dim=64, vocab_size=8,
    ),
    "Qwen2.5-1.5B": Qwen2Config(
        hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12, num_key_value_heads=2,
        vocab_size=8,
    ),
    "StableLM-2-1.6B": StableLmConfig(
        hidden_size=2048, intermediate_size=5632, num_hidden_layers=24, num_attention_heads=32, num_key_value_heads=32,
        vocab_size=8,
    ),
}  # fmt: skip


def counted(config, rank: int | None) -> tuple[int, int]:
    """Parameters of a LoRA of rank 32 on the seven projections, and of one calibration of it; nothing is allocated."""
    with torch.device("meta"):
        backbone = AutoModelForCausalLM.from_config(config)
        banks = inject(backbone, 32, ActiveComposition(32))
        lora = sum(bank.lora_a.numel() + bank.lora_b.numel() for bank in banks)
        return lora, size(calibrate(backbone, rank or 1, biases=rank is None).corrections.values())


@pytest.mark.parametrize("rank, published, share", [(None, 23, 0.08), (4, 166, 0.56)])
def test_sizes_are_the_published_ones(rank, published, share):
    """30 M for the joint expert; 23 K (0.08 %) and 166 K (0.56 %) for the calibrations: means over three backbones."""
    loras, calibrations = (sum(column) / 3 for column in zip(*(counted(config, rank) for config in PUBLISHED.values())))
    assert round(loras / 1e6, 2) == 29.92
    assert round(calibrations / 1e3) == published
    assert round(100 * calibrations / loras, 2) == share
