"""Policies for unseen languages: families and scripts, stand-ins by hand, weights that find a planted language."""

import json
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from babel import Locale
from lightning import Trainer

from flix_lightning.adapters.features import Feature, FeatureSpace
from flix_lightning.adapters.injection import featurized_linears
from flix_lightning.adapters.strengths import Strengths
from flix_lightning.adapters.unseen import STAND_INS, UnseenLanguage
from flix_lightning.common.errors import FlixError
from flix_lightning.common.settings import fill
from flix_lightning.data.benchmarks.cldr.languages import CELLS as CLDR_CELLS
from flix_lightning.data.benchmarks.cldr.languages import PRETRAINING
from flix_lightning.data.cells import Cell
from flix_lightning.data.languages import FAMILIES, family, in_words, script
from flix_lightning.data.tokens.encoding import Encoded
from flix_lightning.evaluation.evaluate import evaluate
from flix_lightning.evaluation.kept_scores import keep_scores, merged
from flix_lightning.evaluation.unseen.few_shot import stand_ins, weighted
from flix_lightning.training.assembly import build_experiment
from flix_lightning.training.run import train
from tests import toy
from tests.configs import ROOT, SMALL, composed, small_benchmark, untrained_backbone
from tests.reference import flix_linear, rank_rows
from tests.toy import CELLS, FLIX, RANKS, toy_batch, toy_composer, toy_flix

LANGUAGES = sorted({language for languages in CLDR_CELLS.values() for language in languages} | set(PRETRAINING))
SCRIPT_NAMES = {
    "Latn": "LATIN", "Cyrl": "CYRILLIC", "Arab": "ARABIC", "Deva": "DEVANAGARI", "Beng": "BENGALI", "Ethi": "ETHIOPIC",
    "Gujr": "GUJARATI", "Guru": "GURMUKHI", "Orya": "ORIYA", "Taml": "TAMIL", "Telu": "TELUGU", "Knda": "KANNADA",
    "Mlym": "MALAYALAM", "Thai": "THAI", "Kore": "HANGUL", "Jpan": "CJK", "Hans": "CJK", "Grek": "GREEK",
    "Hebr": "HEBREW", "Armn": "ARMENIAN", "Geor": "GEORGIAN", "Khmr": "KHMER", "Laoo": "LAO", "Mymr": "MYANMAR",
    "Sinh": "SINHALA",
}  # fmt: skip


def space_of(*languages: str) -> FeatureSpace:
    return FeatureSpace([Feature("task", "qa"), *(Feature("language", code) for code in languages)])


def serving(stand_in: str, language: str, *known: str) -> dict[str, float]:
    """Known language -> its weight in the place of `language`."""
    feature = Feature("language", language)
    found = UnseenLanguage(stand_in).stand_ins([feature, Feature("task", "new")], space_of(*known))
    assert set(found) <= {feature}
    return {known.value: weight for known, weight in found.get(feature, {}).items()}


# --- what is known of languages ---


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_of_the_benchmark_has_a_family_and_the_script_of_its_own_name(language):
    assert family(language)
    first = Locale.parse(language).languages[language][0]
    assert unicodedata.name(first).startswith(SCRIPT_NAMES[script(language)])


def test_a_language_stands_in_one_group_and_regions_do_not_matter():
    listed = [code for line in FAMILIES.strip().splitlines() for code in line.partition(": ")[2].split()]
    assert len(listed) == len(set(listed))
    assert family("pt_br") == family("pt-BR") == family("pt") != ()
    assert family("qqq") == () and script("qqq") is None
    assert family("gu") == family("hi") != family("fa") and family("gu")[:2] == family("fa")[:2]


TAGS = {  # tag -> words, script, a language of the same family
    "zh-Hant": ("Traditional Chinese", "Hant", "zh"),
    "zh_TW": ("Traditional Chinese", "Hant", "zh"),
    "zho_Hant": ("Traditional Chinese", "Hant", "zh"),
    "zh_CN": ("Chinese", "Hans", "zh"),
    "az_Arab": ("Azerbaijani (Arabic)", "Arab", "az"),
    "azb": ("azb", "Arab", None),
    "azj_Latn": ("Azerbaijani", "Latn", "az"),
    "sr_Latn": ("Serbian (Latin)", "Latn", "sr"),
    "srp_Cyrl": ("Serbian", "Cyrl", "sr"),
    "iw": ("Hebrew", "Hebr", "he"),
    "in": ("Indonesian", "Latn", "id"),
    "swa": ("Swahili", "Latn", "sw"),
    "swh_Latn": ("Swahili", "Latn", "sw"),
    "arb_Arab": ("Arabic", "Arab", "ar"),
    "kas_Deva": ("Kashmiri (Devanagari)", "Deva", None),
    "eng_Latn": ("English", "Latn", "en"),
    "nob_Latn": ("Norwegian Bokmål", "Latn", "no"),
    "tgl_Latn": ("Filipino", "Latn", "fil"),
    "tl": ("Tagalog", "Latn", "fil"),
    "sh": ("Serbo-Croatian", "Latn", "sr"),
    "pt-br": ("Brazilian Portuguese", "Latn", "pt"),
    "ZH-HANT": ("Traditional Chinese", "Hant", "zh"),
}


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_has_the_words_the_script_and_the_family_that_it_names(tag):
    words, written, relative = TAGS[tag]
    assert (in_words(tag, {}), script(tag)) == (words, written)
    assert family(tag) == (family(relative) if relative else ())
    assert in_words(tag, {tag: "my own"}) == "my own"


FLORES = """
ace_Arab ace_Latn arb_Arab arb_Latn bjn_Arab bjn_Latn kas_Arab kas_Deva knc_Arab knc_Latn min_Arab min_Latn taq_Latn
taq_Tfng zho_Hans zho_Hant aka_Latn amh_Ethi azj_Latn bod_Tibt cym_Latn ell_Grek eus_Latn fra_Latn kat_Geor khk_Cyrl
kmr_Latn lvs_Latn npi_Deva ory_Orya pes_Arab plt_Latn uzn_Latn ydd_Hebr yue_Hant zsm_Latn
"""


def test_codes_of_flores_are_named_and_have_the_script_that_they_say():
    tags = FLORES.split()
    assert [script(tag) for tag in tags] == [tag[4:] for tag in tags]
    named = [in_words(tag, {}) for tag in tags if not tag.startswith("taq")]
    assert len(set(named)) == len(named) and not {words[:3] for words in named} & {tag[:3] for tag in tags}


def test_two_languages_joined_are_both_in_the_words():
    assert in_words("en+zh_TW", {}) == "English and Traditional Chinese"
    assert in_words("en+es", {"es": "Spanish of Peru"}) == "English and Spanish of Peru"


# --- stand-ins ---


@pytest.mark.parametrize(
    "stand_in, expected",
    [
        ("task_only", {}),
        ("mean", dict.fromkeys(("ar", "bn", "de", "hi", "te"), 0.2)),
        ("family", {"bn": 0.5, "hi": 0.5}),  # Indic before Indo-European
        ("script", {"hi": 1.0}),  # Devanagari
    ],
)
def test_stand_ins_by_hand(stand_in, expected):
    assert serving(stand_in, "mr", "ar", "bn", "de", "hi", "te") == expected


def test_the_nearest_relatives_share_the_most_groups():
    assert serving("family", "mr", "de", "ps", "sw") == {"ps": 1.0}
    assert serving("family", "mr", "de", "ru", "sw") == {"de": 0.5, "ru": 0.5}


@pytest.mark.parametrize(
    "stand_in, language", [("family", "ko"), ("script", "ko"), ("family", "qqq"), ("script", "qqq")]
)
def test_a_language_without_relatives_keeps_its_task_alone(stand_in, language):
    assert serving(stand_in, language, "bn", "de", "qqr") == {}


@pytest.mark.parametrize("setting", [{"stand_in": "familly"}, {"stand_in": "few_shot"}])
def test_bad_policies_are_refused(setting):
    with pytest.raises(FlixError, match="did you mean 'family'|examples, steps and lr"):
        UnseenLanguage(**setting)


def test_stand_ins_take_known_features_of_the_same_axis_only():
    new, known = Feature("language", "gu"), Feature("language", "bn")
    for wrong in ({new: {new: 1.0}}, {known: {new: 1.0}}, {new: {Feature("task", "qa"): 1.0}}):
        with pytest.raises(FlixError, match="unknown feature in the place of language="):
            toy_composer().with_stand_ins(wrong)


# --- what they do ---


@pytest.mark.parametrize("path", ["wide", "gathered"])
def test_a_composition_with_stand_ins_against_the_reference(path):
    backbone, active, composer = toy_flix("llama", path)
    policy = {Feature("language", "gu"): {Feature("language", "bn"): 0.25, Feature("language", "yo"): 0.75}}
    composer = composer.with_stand_ins(policy)
    active.set(composer.compose([Cell("qa", "gu"), Cell("ner", "sw"), Cell("new", "gu")]))
    by_hand = [
        {"task=qa": 1.0, "language=bn": 0.25, "language=yo": 0.75},
        {"task=ner": 1.0, "language=sw": 1.0},
        {"language=bn": 0.25, "language=yo": 0.75},
    ]
    bank = next(iter(featurized_linears(backbone).values()))
    x = torch.randn(3, 4, bank.in_features, generator=torch.Generator().manual_seed(0))
    expected = flix_linear(x, bank.weight, bank.bias, bank.lora_a, bank.lora_b, rank_rows(RANKS), by_hand)
    torch.testing.assert_close(bank(x), expected, rtol=1e-5, atol=1e-5)
    assert composer.active_rank([Cell("qa", "gu")]) == 3 + 2 + 4


@pytest.mark.parametrize("path", ["wide", "gathered"])
def test_gradients_of_the_weights_against_finite_differences(path):
    backbone, active, composer = toy_flix("t5", path)
    backbone.double()
    known = [feature for feature in composer.space if feature.axis == "language"]
    absent = [Feature("language", code) for code in ("gu", "kn")]
    composer = composer.with_stand_ins({feature: dict.fromkeys(known, 1.0) for feature in absent})
    batch, cells = toy_batch(backbone, 2), [Cell("qa", "gu"), Cell("ner", "kn")]
    weights = torch.full((2, len(known)), 0.3, dtype=torch.float64, requires_grad=True)

    def loss(weights):
        active.set(weighted(composer, absent, cells, weights))
        return backbone(**batch).loss

    (gradient,) = torch.autograd.grad(loss(weights), weights)
    for row, column in [(0, 0), (1, 2), (1, 3)]:
        step = torch.zeros_like(weights)
        step[row, column] = 1e-3
        with torch.no_grad():
            slope = (loss(weights + step) - loss(weights - step)) / 2e-3
        assert gradient[row, column].item() == pytest.approx(slope.item(), rel=1e-2, abs=1e-5)


def test_in_a_joined_cell_the_known_language_keeps_its_own_weight():
    """`sw+gu+kn` as the reference has it: Swahili itself, and beside it what stands in for the two others."""
    backbone, active, composer = toy_flix("llama")
    known = [feature for feature in composer.space if feature.axis == "language"]
    absent = [Feature("language", code) for code in ("gu", "kn")]
    weights = torch.tensor([[0.1, 0.2, 0.3, 0.1, 0.3], [0.05, 0.15, 0.25, 0.35, 0.2]])  # the last for none of them
    cells = [Cell("qa", "sw+gu"), Cell("ner", "gu+sw+kn"), Cell("qa", "yo"), Cell("ner", "kn")]
    by_hand = [{f"task={cell.task}": 1.0} for cell in cells]
    for served, cell in zip(by_hand, cells):
        for code in cell.values("language"):
            feature = Feature("language", code)
            parts = dict(zip(known, weights[absent.index(feature)].tolist())) if feature in absent else {feature: 1.0}
            for part, weight in parts.items():
                served[str(part)] = served.get(str(part), 0.0) + weight
    stand_in = composer.with_stand_ins({feature: dict.fromkeys(known, 1.0) for feature in absent})
    active.set(weighted(stand_in, absent, cells, weights))
    bank = next(iter(featurized_linears(backbone).values()))
    x = torch.randn(4, 3, bank.in_features, generator=torch.Generator().manual_seed(0))
    expected = flix_linear(x, bank.weight, bank.bias, bank.lora_a, bank.lora_b, rank_rows(RANKS), by_hand)
    torch.testing.assert_close(bank(x), expected, rtol=1e-5, atol=1e-5)


def test_learned_weights_multiply_the_strength_of_languages():
    composer, absent = toy_composer(), [Feature("language", "gu")]
    known = [feature for feature in composer.space if feature.axis == "language"]
    weights, cells = torch.tensor([[0.1, 0.2, 0.3, 0.1]]), [Cell("qa", "gu"), Cell("qa", "gu+sw")]
    found = []
    for language in (1, 0.5):
        strong = composer.with_strengths(Strengths.parse({"language": language}))
        composition = weighted(strong.with_stand_ins({absent[0]: dict.fromkeys(known, 1.0)}), absent, cells, weights)
        found.append(torch.zeros(2, composer.total_rank).scatter_add(1, composition.index, composition.weight))
    tasks = composer.rows_by_axis()["task"]
    assert torch.equal(found[0][:, tasks], found[1][:, tasks])
    found[0][:, tasks.stop :] *= 0.5
    torch.testing.assert_close(found[1], found[0])


def test_few_shot_weights_find_the_language_whose_answers_they_are_shown():
    """Two unseen languages answer as `sw` and as `yo` do; each one's weights find its twin."""
    config = composed(*SMALL)
    module = build_experiment(config, small_benchmark(), untrained_backbone()).module
    toy.fill(module.banks, size=0.5)
    twins = {"gu": "sw", "kn": "yo"}
    module.eval()
    rows = {language: answered_as(module, twin) for language, twin in twins.items()}
    tokenised = SimpleNamespace(encoded=lambda cell, split: rows[cell.language], is_encoder_decoder=False)
    batching = SimpleNamespace(eval_batch_size=5)
    data = SimpleNamespace(tokenised=tokenised, tokenizer=module.tokenizer, batching=batching)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    before = [bank.lora_a.clone() for bank in module.banks]
    policy = UnseenLanguage("few_shot", examples=6, steps=15, lr=0.5)
    cells = [Cell("qa_cross_lang", "gu"), Cell("qa_cross_lang", "kn"), Cell("translation", "bn")]
    found, again = (stand_ins(policy, module, data, cells, trainer) for _ in range(2))
    assert found == again, "the same examples give the same weights"
    assert {feature.value for feature in found} == set(twins)
    for feature, weights in found.items():
        assert all(weight > 0 for weight in weights.values()) and sum(weights.values()) < 1
        assert weights[Feature("language", twins[feature.value])] > 0.7
    alone = stand_ins(policy, module, data, cells[1:], trainer)
    kn = Feature("language", "kn")
    assert alone[kn] == pytest.approx(found[kn], abs=1e-3), "languages do not meet"
    assert all(torch.equal(a, bank.lora_a) for a, bank in zip(before, module.banks, strict=True))


@torch.no_grad()
def answered_as(module, language: str) -> list[Encoded]:
    """Random prompts, each with the next tokens that the model would give in `language`."""
    prompts = torch.randint(3, 300, (8, 12), generator=torch.Generator().manual_seed(0))
    module.active.set(module.composer.compose([Cell("qa_cross_lang", language)] * len(prompts)))
    ids = prompts
    for _ in range(4):
        ids = torch.cat([ids, module.backbone(ids).logits[:, -1:].argmax(-1)], dim=1)
    return [Encoded(row[:12].tolist(), row[12:].tolist()) for row in ids]


@pytest.mark.parametrize("stand_in", STAND_INS)
def test_a_method_without_a_language_axis_is_left_as_it_is(stand_in):
    experiment = build_experiment(composed(*SMALL, "adapter=lora"), small_benchmark(), untrained_backbone())
    policy = UnseenLanguage(stand_in, examples=1, steps=1, lr=1.0)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    cells = [Cell("qa_cross_lang", "gu")]
    assert stand_ins(policy, experiment.module, experiment.datamodule, cells, trainer) == {}


@pytest.mark.parametrize("choice", sorted(path.stem for path in (ROOT / "conf" / "unseen_language").glob("*.yaml")))
def test_every_policy_is_a_choice_of_evaluation(choice):
    section = composed("run=x", f"unseen_language={choice}", config="evaluate")["unseen_language"]
    assert fill("unseen_language", UnseenLanguage, section).stand_in == choice


def test_the_scores_of_a_policy_have_a_file_of_their_own():
    benchmark = small_benchmark()
    train(composed(*SMALL, "trainer.max_steps=2"), Path("run"), benchmark, untrained_backbone(), None)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    chosen = {"tasks": ["qa_cross_lang"], "languages": ["bn", "gu"], "unseen_language": UnseenLanguage("family")}
    scores, _ = evaluate(Path("run"), benchmark, benchmark, untrained_backbone(), trainer, **chosen)
    assert scores["stand_ins"] == {"language=gu": {"language=bn": 1.0}}
    path = keep_scores(Path("run"), scores)
    assert path.name == "scores-cldr-test-family.json" and json.loads(path.read_text()) == merged(None, scores)


def test_known_cells_are_served_as_before():
    composer = toy_composer()
    other = composer.with_stand_ins(UnseenLanguage("mean").stand_ins([Feature("language", "gu")], composer.space))
    for one, two in zip(composer.compose(CELLS), other.compose(CELLS), strict=True):
        assert torch.equal(one, two)
    assert [FLIX(cell) for cell in CELLS] == [other.active(cell) for cell in CELLS]
