"""Tests of passes, few-shot weights and the study on an untrained toy backbone."""

import pytest
import torch
from torch.nn import functional

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.bank import Bank
from flix_lightning.adapters.composition import Composer
from flix_lightning.adapters.features import FeatureSpace, Featurizer
from flix_lightning.adapters.injection import inject
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.data.benchmarks.cldr_compositional.benchmark import CldrCompositional
from flix_lightning.data.cells import Cell
from flix_lightning.evaluation.compositional.merges import concat
from flix_lightning.evaluation.compositional.methods import Setting
from flix_lightning.evaluation.compositional.serving import Served, bare, composed, in_context, latency_ratio, steps
from flix_lightning.evaluation.compositional.weights import EQUAL, chosen_weights, losses, sobol
from flix_lightning.inference.model import FlixModel
from tests.configs import untrained_backbone
from tests.toy import fill

BENCHMARK = CldrCompositional({"train": 6, "validation": 1, "test": 1}, 6)
CELLS = {cell.task: cell for cell in BENCHMARK.cells}
PAIR = [CELLS["qa+style_long"], CELLS["ner+translation_nl"]]


def make_setting(kind: str) -> Setting:
    """Filled experts of all nine single tasks, on a backbone of either family."""
    backbone, featurizer = untrained_backbone(kind), Featurizer(("task",))
    composer = Composer(featurizer, FeatureSpace.of(BENCHMARK.cells, featurizer), RankAllocation({"task": 2}))
    active = ActiveComposition(composer.total_rank)
    fill(inject(backbone.model, composer.total_rank, active), size=0.3)
    experts = Bank.of(backbone.model, composer, BENCHMARK.tasks, BENCHMARK.cells)
    return Setting(BENCHMARK, lambda: untrained_backbone(kind), experts, seed=0)


@pytest.fixture
def setting() -> Setting:
    return make_setting("llama")


class Told:
    """Stands for a model: keeps what it is asked and answers in a fixed way."""

    def __init__(self):
        self.asked = []

    def answer(self, cells, prompts, limits):
        self.asked.append([(cell.task, prompt) for cell, prompt in zip(cells, prompts)])
        return [f"<{prompt[-8:]}>" for prompt in prompts]


def test_the_second_pass_reads_the_answer_of_the_first():
    model = Told()
    example = BENCHMARK.examples(PAIR[0], "test")[0]
    text = example.prompt.partition(": ")[2]
    answer = Served(model, steps(BENCHMARK)).answer([PAIR[0]], [example], {PAIR[0].task: 9})
    first = f"Answer English: {text}"
    second = f"Rewrite English in long style: <{first[-8:]}>"
    assert model.asked == [[("qa", first)], [("style_long", second)]]
    assert answer == [f"<{second[-8:]}>"]


def test_other_passes_ask_the_composite_prompt_with_and_without_features():
    model = Told()
    shot, example = (BENCHMARK.examples(PAIR[1], split)[0] for split in ("train", "test"))
    for one in (composed, bare, in_context({PAIR[1]: shot})):
        Served(model, (one,)).answer([PAIR[1]], [example], {PAIR[1].task: 9})
    assert model.asked == [
        [(PAIR[1].task, example.prompt)],
        [("none", example.prompt)],
        [("none", f"{shot.prompt}\n{shot.target}\n{example.prompt}")],
    ]


def test_losses_against_the_library_one_row_at_a_time(setting):
    model = setting.model(setting.experts)
    examples = [BENCHMARK.examples(cell, "train")[0] for cell in PAIR]
    found = losses(model, PAIR, examples)
    for cell, example, loss in zip(PAIR, examples, found):
        prompt, target = (
            model.tokenizer(t, add_special_tokens=False).input_ids for t in (example.prompt + "\n", example.target)
        )
        ids = torch.tensor([[*prompt, *target, model.tokenizer.eos_token_id]])
        model.active.set(model.composer.compose([cell]))
        with torch.no_grad():
            logits = model.backbone(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        assert loss.item() == pytest.approx(functional.cross_entropy(logits, ids[0, len(prompt) :]).item(), abs=1e-4)


def test_losses_of_an_encoder_decoder_against_the_librarys_own():
    setting = make_setting("t5")
    model = setting.model(setting.experts)
    examples = [BENCHMARK.examples(cell, "train")[0] for cell in PAIR]
    for cell, example, loss in zip(PAIR, examples, losses(model, PAIR, examples)):
        ids, labels = (
            model.tokenizer(text, return_tensors="pt").input_ids for text in (example.prompt, example.target)
        )
        model.active.set(model.composer.compose([cell]))
        with torch.no_grad():
            assert loss.item() == pytest.approx(model.backbone(input_ids=ids, labels=labels).loss.item(), abs=1e-4)
    plain = Served(model, (composed,))
    assert latency_ratio(plain, plain, PAIR, examples, tokens=2, rounds=1) > 0


def test_the_bare_backbone_is_one_without_features(setting):
    model = setting.model(setting.experts)
    example = BENCHMARK.examples(PAIR[0], "train")[0]
    bare_loss = losses(model, [Cell("none", "en")], [example])
    untouched = FlixModel(untrained_backbone(), setting.experts, "cpu")
    for bank in untouched.backbone.modules():
        if hasattr(bank, "lora_b"):
            torch.nn.init.zeros_(bank.lora_b)
    torch.testing.assert_close(bare_loss, losses(untouched, [PAIR[0]], [example]), rtol=1e-4, atol=1e-5)


def test_weights_are_those_of_the_smallest_loss_cell_by_cell(setting):
    shots = {cell: BENCHMARK.examples(cell, "train")[:2] for cell in PAIR}
    candidates = [(1.0, 0.0), (0.0, 1.0), (-1.0, -1.0), (0.5, 0.5)]
    chosen = chosen_weights(setting.experts, untrained_backbone, concat, candidates, shots)
    for cell, examples in shots.items():
        found = []
        for weights in candidates:
            model = setting.merged(concat, weights).model
            found.append(losses(model, [cell] * 2, examples).mean().item())
        assert chosen[cell] == candidates[found.index(min(found))]
    held = chosen_weights(setting.experts, untrained_backbone, concat, [(0.0, 1.0), (1.5, 1.5)], shots, penalty=100.0)
    assert set(held.values()) == {(0.0, 1.0)}


def test_sobol_spreads_over_the_square():
    points = torch.tensor(sobol(40, 1))
    assert points.shape == (40, 2) and points.abs().max() <= 1.5
    quarters = {(x > 0, y > 0) for x, y in points.tolist()}
    assert len(quarters) == 4 and points.mean(0).abs().max() < 0.2
    assert sobol(4, 1) != sobol(4, 2)
    assert EQUAL == ((0.5, 0.5), (1.0, 1.0))


def test_two_passes_take_about_twice_as_long(setting):
    model = setting.model(setting.experts)
    examples = [BENCHMARK.examples(cell, "test")[0] for cell in PAIR]
    plain, twice = Served(model, (composed,)), Served(model, (composed, composed))
    assert latency_ratio(plain, plain, PAIR, examples, tokens=4, rounds=5) == pytest.approx(1, abs=0.3)
    assert latency_ratio(twice, plain, PAIR, examples, tokens=4, rounds=5) == pytest.approx(2, abs=0.5)
