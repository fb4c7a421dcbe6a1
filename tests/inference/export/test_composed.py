"""Exports answer as the composition they are made of: PEFT's own loader, merged models, vLLM's documented rules."""

import json
import random
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import LlamaForCausalLM, T5ForConditionalGeneration

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.composition import Composition
from flix_lightning.adapters.injection import ALL_LINEAR, inject
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.inference.export.composed import merged_model, one_composition, served_rank, write_lora
from tests.toy import CELLS, TOYS, fill, toy_batch, toy_composer, toy_flix

LOADERS = {"t5": T5ForConditionalGeneration, "llama": LlamaForCausalLM}
COMPOSITIONS = 30
SOME = {"t5": ["q", "wo"], "llama": ["q_proj", "down_proj"]}


def random_compositions(ranks: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Random sets of ranks with random weights, negative ones and single ranks among them."""
    draw, generator = random.Random(3), torch.Generator().manual_seed(3)
    found = []
    for _ in range(COMPOSITIONS):
        index = torch.tensor(sorted(draw.sample(range(ranks), draw.randint(1, 9))))
        found.append((index, torch.randn(len(index), generator=generator)))
    return found


def rows_of(compositions) -> Composition:
    """All of them as one batch, an example each."""
    width = max(len(index) for index, _ in compositions)
    padded = [(*(torch.nn.functional.pad(part, (0, width - len(part))) for part in row),) for row in compositions]
    return Composition(*(torch.stack(parts) for parts in zip(*padded)))


@pytest.mark.parametrize("family", TOYS)
@pytest.mark.parametrize("targets", [None, pytest.param(SOME, marks=pytest.mark.slow)], ids=["all", "some"])
def test_thirty_random_compositions_through_pefts_loader_and_merged(family, targets, tmp_path):
    """One batch through our bank, an example each, against every export alone."""
    backbone, active, composer = toy_flix(
        family, target_modules=targets[family] if targets else ALL_LINEAR, scaling=0.5
    )
    compositions = random_compositions(composer.total_rank)
    batch = toy_batch(backbone, COMPOSITIONS)
    with torch.no_grad():
        active.set(None)
        bare = backbone(**batch).logits
        active.set(rows_of(compositions))
        ours = backbone(**batch).logits
    assert ((ours - bare).abs().amax(dim=(1, 2)) > 0.005).all(), "every composition does something"
    for i, (index, weight) in enumerate(compositions):
        one = {name: tensor[i : i + 1] for name, tensor in batch.items()}
        folder = tmp_path / str(i)
        folder.mkdir()
        write_lora(folder, backbone, index, weight, rank=16)
        merged = merged_model(backbone, index, weight)
        with torch.no_grad():
            peft = PeftModel.from_pretrained(TOYS[family](), folder).eval()(**one).logits
            torch.testing.assert_close(peft[0], ours[i])
            torch.testing.assert_close(merged(**one).logits[0], ours[i])


@pytest.mark.parametrize("family", TOYS)
def test_a_merged_model_comes_back_from_its_folder(family, tmp_path):
    """As a plain transformers model, with the same weights and nothing else."""
    backbone, _, composer = toy_flix(family)
    merged = merged_model(backbone, *one_composition(composer, CELLS[0]))
    merged.save_pretrained(tmp_path)
    again = LOADERS[family].from_pretrained(tmp_path)
    assert again.state_dict().keys() == TOYS[family]().state_dict().keys()
    assert all(torch.equal(tensor, merged.state_dict()[name]) for name, tensor in again.state_dict().items())


def test_an_export_leaves_the_bank_as_it_was(tmp_path):
    backbone, _, composer = toy_flix("llama")
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    index, weight = one_composition(composer, CELLS[0])
    write_lora(tmp_path, backbone, index, weight, rank=8)
    merged_model(backbone, index, weight)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())


def vllm_objections(folder: Path, max_lora_rank: int, served: set[str]) -> list[str]:
    """What vLLM says against a LoRA folder, by the rules of its loader (vllm/lora/peft_helper.py, lora_model.py).

    Args:
        served: last parts of the module paths that vLLM's model can adapt.
    """
    config = json.loads((folder / "adapter_config.json").read_text())
    objections = [f"{key} is missing" for key in ("r", "lora_alpha", "target_modules") if key not in config]
    objections += ["rank above the limit"] if config["r"] > max_lora_rank else []
    objections += ["bias"] if config.get("bias", "none") != "none" else []
    objections += [key for key in ("modules_to_save", "use_dora") if config.get(key)]
    objections += [f"{key} is ignored" for key in ("rank_pattern", "alpha_pattern") if config.get(key)]
    for name, tensor in load_file(folder / "adapter_model.safetensors").items():
        parts = name.split(".")
        if parts[:2] != ["base_model", "model"] or parts[-2:] not in (["lora_A", "weight"], ["lora_B", "weight"]):
            objections.append(f"unsupported name {name}")
        elif parts[-3] not in served:
            objections.append(f"unexpected module {parts[-3]}")
        elif tensor.shape[parts[-2] == "lora_B"] != config["r"]:
            objections.append(f"{name} has another rank than r")
    return objections


LLAMA = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


@pytest.mark.parametrize("cell", [CELLS[0], Cell("qa", "xx"), CELLS[-1]], ids=str)
def test_a_folder_keeps_to_vllms_rules(cell, tmp_path):
    """Active ranks of 5, 3 and 7, all filled up to 8."""
    backbone, _, composer = toy_flix("llama", scaling=3.0)
    index, weight = one_composition(composer, cell)
    write_lora(tmp_path, backbone, index, weight, served_rank(len(index)))
    assert vllm_objections(tmp_path, 16, LLAMA) == []
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 8
    assert set(config["target_modules"]) == LLAMA
    for name, tensor in load_file(tmp_path / "adapter_model.safetensors").items():
        factor = tensor if "lora_A" in name else tensor.T
        assert factor[: len(index)].any() and not factor[len(index) :].any(), "filled up with zeros"


def test_the_rules_can_object(tmp_path):
    """A folder that PEFT writes with patterns, modules saved whole and a high rank breaks them."""
    config = LoraConfig(r=32, target_modules=["q_proj"], rank_pattern={"layers.0": 4}, modules_to_save=["lm_head"])
    get_peft_model(TOYS["llama"](), config).save_pretrained(tmp_path)
    objections = " ".join(vllm_objections(tmp_path, 16, LLAMA))
    for part in ("above the limit", "modules_to_save", "rank_pattern", "unsupported name"):
        assert part in objections


def test_ranks_that_are_served():
    assert [served_rank(active) for active in (1, 6, 8, 9, 16, 17, 300, 512)] == [8, 8, 8, 16, 16, 32, 320, 512]
    with pytest.raises(FlixError, match="513"):
        served_rank(513)


def test_a_rank_too_small_is_refused(tmp_path):
    backbone, _, composer = toy_flix("llama")
    with pytest.raises(FlixError, match="5 ranks are active; 4"):
        write_lora(tmp_path, backbone, *one_composition(composer, CELLS[0]), rank=4)
    assert not list(tmp_path.iterdir())


def test_nothing_known_is_nothing_to_export():
    with pytest.raises(FlixError, match="task=xx, language=yy"):
        one_composition(toy_composer(), Cell("xx", "yy"))


def test_target_modules_name_no_other_linear(tmp_path):
    """`q_proj` of the second layer alone cannot be named by its last part."""
    backbone, composer = TOYS["llama"](), toy_composer()
    active = ActiveComposition(composer.total_rank)
    fill(inject(backbone, composer.total_rank, active, ["layers.1.self_attn.q_proj"]))
    index, weight = one_composition(composer, CELLS[0])
    write_lora(tmp_path, backbone, index, weight, rank=8)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"] == [
        "model.layers.1.self_attn.q_proj"
    ]
    theirs = PeftModel.from_pretrained(TOYS["llama"](), tmp_path)
    adapted = [name for name, module in theirs.named_modules() if hasattr(module, "lora_A")]
    assert adapted == ["base_model.model.model.layers.1.self_attn.q_proj"]
