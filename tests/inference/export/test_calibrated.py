"""Exports of calibrated banks answer as the live calibrated model; what a format cannot hold is refused."""

import pytest
import torch
from peft import PeftModel
from transformers import LlamaForCausalLM

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.calibration import calibrate, calibrated_composer
from flix_lightning.adapters.injection import inject
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.inference.export.composed import merged_model, one_composition, write_lora
from tests.evaluation.compositional.toy import COMPOSITE, calibrated, shift
from tests.toy import TOYS, fill, toy_batch, toy_composer

SINGLE = Cell("ner", "sw")  # without a correction
FAMILIES = pytest.mark.parametrize("family", TOYS)
RANKS = pytest.mark.parametrize("rank", [None, 4])


def shifted(family: str, rank: int | None, shared: bool = False):
    """A calibrated toy whose corrections are filled, its composer, and (cell, batch) -> logits of the live model."""
    backbone, active, composer, corrections = calibrated(family, rank, shared, scaling=0.7)
    shift(corrections, 0.2)

    def live(cell: Cell, batch) -> torch.Tensor:
        active.set(composer.compose([cell] * len(batch["input_ids"])))
        with torch.no_grad():
            return backbone(**batch).logits

    return backbone, composer, live


def far(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (one - other).abs().max() > 0.01


@FAMILIES
@pytest.mark.parametrize("shared", [False, True])
def test_a_low_rank_calibration_is_a_lora_of_more_rank(family, shared, tmp_path):
    backbone, composer, live = shifted(family, 4, shared)
    batch = toy_batch(backbone, 2)
    for number, cell in enumerate(COMPOSITE):
        index, weight = one_composition(composer, cell)
        assert len(index) == 3 + 3 + 2 + 4
        folder = tmp_path / str(number)
        folder.mkdir()
        write_lora(folder, backbone, index, weight, rank=16)
        peft = PeftModel.from_pretrained(TOYS[family](), folder).eval()
        with torch.no_grad():
            torch.testing.assert_close(peft(**batch).logits, live(cell, batch))
        uncorrected = index < toy_composer().total_rank
        assert far(merged_model(backbone, index[uncorrected], weight[uncorrected])(**batch).logits, live(cell, batch))


@FAMILIES
def test_a_merged_calibration_is_a_plain_model(family, tmp_path):
    backbone, composer, live = shifted(family, 4)
    merged, batch = merged_model(backbone, *one_composition(composer, COMPOSITE[1])), toy_batch(backbone, 2)
    merged.save_pretrained(tmp_path)
    again = type(merged).from_pretrained(tmp_path)
    assert again.state_dict().keys() == TOYS[family]().state_dict().keys()
    torch.testing.assert_close(again(**batch).logits, live(COMPOSITE[1], batch))


def test_a_merged_bias_comes_back_where_the_architecture_has_a_place_for_it(tmp_path):
    backbone, composer, live = shifted("llama", None)
    merged, batch = merged_model(backbone, *one_composition(composer, COMPOSITE[1])), toy_batch(backbone, 2)
    merged.save_pretrained(tmp_path)
    again = LlamaForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(again(**batch).logits, live(COMPOSITE[1], batch))
    assert far(again(**batch).logits, live(COMPOSITE[0], batch))
    assert not backbone.config.attention_bias, "the live model's config is as it was"


def test_a_bias_without_a_place_is_refused():
    """T5's linears have none; Llama's attention has all or none."""
    backbone, composer, _ = shifted("t5", None)
    with pytest.raises(FlixError, match="merged.*T5ForConditionalGeneration.*calibration_pp"):
        merged_model(backbone, *one_composition(composer, COMPOSITE[0]))
    backbone, plain = TOYS["llama"](), toy_composer()
    fill(inject(backbone, plain.total_rank, ActiveComposition(plain.total_rank), ["q_proj"]))
    composer = calibrated_composer(plain, COMPOSITE, None, shared=False)
    shift(calibrate(backbone, 2, biases=True).corrections)
    with pytest.raises(FlixError, match="LlamaForCausalLM.*_proj.bias"):
        merged_model(backbone, *one_composition(composer, COMPOSITE[0]))


def test_a_lora_of_a_bias_is_refused_and_one_of_a_cell_without_correction_is_not(tmp_path):
    backbone, composer, live = shifted("llama", None)
    with pytest.raises(FlixError, match="peft.*bias.*merged.*calibration_pp"):
        write_lora(tmp_path, backbone, *one_composition(composer, COMPOSITE[0]), rank=16)
    assert not list(tmp_path.iterdir())
    write_lora(tmp_path, backbone, *one_composition(composer, SINGLE), rank=8)
    peft, batch = PeftModel.from_pretrained(TOYS["llama"](), tmp_path).eval(), toy_batch(backbone, 2)
    with torch.no_grad():
        torch.testing.assert_close(peft(**batch).logits, live(SINGLE, batch))


@RANKS
@FAMILIES
def test_the_bare_backbone_comes_out_as_it_went_in(family, rank):
    backbone, _, _ = shifted(family, rank)
    none = torch.empty(0, dtype=torch.long)
    bare, wanted = merged_model(backbone, none, none.float()).state_dict(), TOYS[family]().state_dict()
    assert bare.keys() == wanted.keys()
    assert all(torch.equal(tensor, bare[name]) for name, tensor in wanted.items())
