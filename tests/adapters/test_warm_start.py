"""Warm starts: from a bank, from PEFT LoRAs, and with the bank's features kept bit for bit."""

import json
from pathlib import Path

import pytest
import torch
from lightning import Trainer
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.features import Feature
from flix_lightning.adapters.injection import featurized_linears, inject
from flix_lightning.adapters.peft import read_peft_folder
from flix_lightning.adapters.warm_start import WarmStart, load_lora
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.evaluation.evaluate import evaluate
from flix_lightning.training.assembly import build_experiment
from flix_lightning.training.run import train
from tests.configs import SMALL, composed, small_benchmark, untrained_backbone
from tests.toy import TOYS, fill, toy_batch, toy_composer

BASE = ("mixture.languages=[sw, yo]", "mixture.train={}", "optimizer.lr=0.05")
EXTEND = (
    "warm_start=extend", "warm_start.bank=base", "mixture.languages=[bn]", "mixture.train={}", "optimizer.lr=0.05",
    "optimizer.weight_decay=0.1",
)  # fmt: skip


def run(folder: str, *overrides: str) -> dict:
    return train(composed(*SMALL, *overrides), Path(folder), small_benchmark(), untrained_backbone(), None)


def scores(folder: str, languages: list[str]) -> list[dict]:
    precision = json.loads(Path(folder, "record.json").read_text())["precision"]
    trainer = Trainer(
        accelerator="cpu", precision=precision, logger=False, enable_progress_bar=False, enable_checkpointing=False
    )
    benchmark = small_benchmark()
    found = evaluate(Path(folder), benchmark, benchmark, untrained_backbone(), trainer, languages=languages)
    return found.scores["cells"]


@pytest.mark.slow
def test_a_new_language_leaves_old_features_and_their_scores_bit_for_bit():
    run("base", *BASE)
    record = run("more", *EXTEND)
    base, more = Bank.read(Path("base")), Bank.read(Path("more"))
    before, after = base.rows(), more.rows()
    new = more.ranks.keys() - base.ranks.keys()
    assert {str(feature) for feature in new} == {"language=bn", "task=qa_cross_lang"}
    assert base.ranks.keys() < more.ranks.keys()
    for name, factor in base.factors.items():
        for feature in base.ranks:
            assert torch.equal(more.factors[name][list(after[feature])], factor[list(before[feature])]), (name, feature)
    for feature in new:
        assert any(f[list(after[feature])].any() for name, f in more.factors.items() if name.endswith("lora_b"))
    assert scores("more", ["sw", "yo"]) == scores("base", ["sw", "yo"])
    seen = {(row["task"], row["language"]) for row in scores("more", ["sw", "yo", "bn"]) if row["group"] == "seen"}
    assert seen == {(cell.task, cell.language) for cell in more.cells}
    assert len(seen) == len(base.cells) + 3
    sizes = {str(feature): rank for feature, rank in more.ranks.items() if feature in new}
    assert record["parameters"]["language"] * sizes["task=qa_cross_lang"] == (
        record["parameters"]["task"] * sizes["language=bn"]
    ), "only what trains is counted"


@pytest.mark.slow
def test_without_keeping_the_old_features_move():
    """The check above can fail: the same start with everything training changes the features it shares."""
    run("base", *BASE)
    run("more", "warm_start=bank", "warm_start.bank=base", "optimizer.lr=0.05", "mixture.train={}")
    base, more = Bank.read(Path("base")), Bank.read(Path("more"))
    task = Feature("task", "translation")
    rows = [list(bank.rows()[task]) for bank in (base, more)]
    assert any(not torch.equal(base.factors[name][rows[0]], more.factors[name][rows[1]]) for name in base.factors)


@pytest.mark.slow
def test_an_interrupted_extension_goes_on_with_the_old_features_kept():
    run("base", *BASE)
    whole = run("whole", *EXTEND)
    run("parts", *EXTEND, "trainer.max_steps=4", "optimizer.decay=constant", "trainer.validate_every=2")
    (Path("parts") / "record.json").unlink()
    run("parts", *EXTEND)
    base, parts = Bank.read(Path("base")), Bank.read(Path("parts"))
    for feature, rows in base.rows().items():
        for name, factor in base.factors.items():
            assert torch.equal(parts.factors[name][list(parts.rows()[feature])], factor[list(rows)])
    assert whole["parameters"] == json.loads((Path("parts") / "record.json").read_text())["parameters"]


def test_a_bank_is_where_shared_features_start():
    run("base", *BASE)
    config = composed(*SMALL, "warm_start=bank", "warm_start.bank=base", "mixture.train={}")
    module = build_experiment(config, small_benchmark(), untrained_backbone()).module
    base = Bank.read(Path("base"))
    fresh = build_experiment(composed(*SMALL, "mixture.train={}"), small_benchmark(), untrained_backbone()).module
    own, unstarted = (Bank.of(m.backbone, m.composer, m.tasks, ()) for m in (module, fresh))
    for feature, rows in own.rows().items():
        source = base if feature in base.ranks else unstarted
        for name, factor in own.factors.items():
            assert torch.equal(factor[list(rows)], source.factors[name][list(source.rows()[feature])]), feature
    assert module.held == ()


# ------------------------------------------------------------------------ PEFT


def peft_lora(family: str, folder: Path, rank: int = 2, **options) -> torch.nn.Module:
    """A LoRA with random factors, made and saved by PEFT."""
    options = {"lora_alpha": 6, "target_modules": "all-linear", **options}
    model = get_peft_model(TOYS[family](), LoraConfig(r=rank, **options)).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("family", TOYS)
@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"target_modules": ["q", "v", "q_proj", "v_proj"]}])
def test_a_feature_started_as_a_lora_of_pefts_answers_as_it(family, options, tmp_path):
    """The feature has rank 3, the LoRA 2: one rank is left over and does nothing yet. Yoruba is left empty."""
    theirs = peft_lora(family, tmp_path / "lora", **options)
    ours, composer = TOYS[family](), toy_composer()
    active = ActiveComposition(composer.total_rank)
    banks = inject(ours, composer.total_rank, active, scaling=0.5)
    fill(banks)
    for bank in banks:
        bank.lora_b.data[list(composer.ranks_of(Feature("language", "yo")))] = 0
    load_lora(ours, composer, Feature("task", "qa"), read_peft_folder(tmp_path / "lora"))
    batch = toy_batch(ours, 2)
    active.set(composer.compose([Cell("qa", "yo")] * 2))
    with torch.no_grad():
        mine, peft = ours(**batch).logits, theirs(**batch).logits
        with theirs.disable_adapter():
            assert (theirs(**batch).logits - peft).abs().max() > 0.1
    torch.testing.assert_close(mine, peft, rtol=1e-4, atol=1e-5)
    left = composer.ranks_of(Feature("task", "qa"))[-1]
    targeted = read_peft_folder(tmp_path / "lora")
    for name, bank in featurized_linears(ours).items():
        if name in targeted:
            assert bank.lora_a[left].any() and not bank.lora_b[left].any(), "it can still be trained"


def odd_lora(folder: Path, case: str) -> None:
    """A LoRA folder that cannot start a feature of rank 3."""
    options = {
        "rank": {"rank": 5}, "dora": {"use_dora": True}, "patterns": {"rank_pattern": {"q_proj": 1}},
        "saved modules": {"modules_to_save": ["lm_head"]}, "head": {"target_modules": ["lm_head"]},
        "embedding": {"target_modules": ["embed_tokens"]},
    }.get(case, {})  # fmt: skip
    peft_lora("llama", folder, **options)
    if case == "no weights":
        (folder / "adapter_model.safetensors").unlink()
    elif case == "no config":
        (folder / "adapter_config.json").unlink()
    elif case == "another kind":
        (folder / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    elif case == "half":
        tensors = load_file(folder / "adapter_model.safetensors")
        tensors.pop(next(name for name in tensors if "lora_B" in name))
        save_file(tensors, folder / "adapter_model.safetensors")


ODD = {
    "rank": ["rank 5", "the feature 3", "rank.task=5"], "dora": ["use_dora"], "patterns": ["rank_pattern"],
    "saved modules": ["modules_to_save"], "head": ["lm_head"], "embedding": ["embed_tokens"],
    "no weights": ["adapter_model.safetensors", "safetensors"], "no config": ["adapter_config.json"],
    "another kind": ["IA3", "LORA"], "half": ["both factors"],
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_a_lora_that_does_not_fit_is_refused(case, tmp_path):
    odd_lora(tmp_path / "lora", case)
    backbone, composer = TOYS["llama"](), toy_composer()
    inject(backbone, composer.total_rank, ActiveComposition(composer.total_rank))
    with pytest.raises(FlixError) as error:
        load_lora(backbone, composer, Feature("task", "qa"), read_peft_folder(tmp_path / "lora"))
    for part in ODD[case]:
        assert part in str(error.value)


# --------------------------------------------------------------------- refused

BAD = {
    "warm_start.train=old": ["warm_start.train", "'old'", "new"],
    "mixture.languages=[sw]": ["every feature", "nothing would train"],
    "rank.task=3": ["rank 4 there and 3 here", "rank.task=4"],
    "warm_start.bank=nowhere": ["nowhere", "finished run"],
    "+warm_start.peft.language.sw=lora": ["lora", "adapter_config.json"],
    "+warm_start.peft.language=sw": ["axis -> value -> folder"],
    "+warm_start.peft.language.sw=3": ["warm_start.peft.language.sw: expected a path; got 3."],
    "+warm_start.from=base": ["warm_start.from", "warm_start.bank"],
    "adapter.target_modules=[q_proj]": ["other modules"],
    "adapter.scaling=2.0": ["adapter.scaling"],
}


@pytest.fixture(scope="module")
def base_bank(tmp_path_factory) -> Path:
    """The bank of an untrained run over two languages."""
    path = tmp_path_factory.mktemp("base") / "bank.safetensors"
    experiment = build_experiment(composed(*SMALL, *BASE), small_benchmark(), untrained_backbone())
    module, mixture = experiment.module, experiment.datamodule.mixture
    Bank.of(module.backbone, module.composer, module.tasks, mixture.train).write(path)
    return path


@pytest.mark.parametrize("override", BAD)
def test_settings_that_cannot_be_are_one_clear_error(override, base_bank):
    config = composed(*SMALL, *EXTEND, f"warm_start.bank={base_bank}", override)
    with pytest.raises(FlixError) as error:
        build_experiment(config, small_benchmark(), untrained_backbone())
    for part in BAD[override]:
        assert part in str(error.value)


def test_new_needs_a_bank():
    with pytest.raises(FlixError, match="warm_start.bank"):
        WarmStart(train="new")


def test_another_backbones_bank_is_named(base_bank):
    backbone = untrained_backbone()
    backbone.model.config.name_or_path = "google/mt5-small"
    words = (*SMALL, *EXTEND, f"warm_start.bank={base_bank}")
    with pytest.raises(FlixError, match="mt5-small.*warm_start.renamed_model=true"):
        build_experiment(composed(*words), small_benchmark(), backbone)
    backbone = untrained_backbone()
    backbone.model.config.name_or_path = "a/moved/folder"
    experiment = build_experiment(composed(*words, "warm_start.renamed_model=true"), small_benchmark(), backbone)
    assert set(experiment.module.composer.space) > set(Bank.read(base_bank).ranks)
