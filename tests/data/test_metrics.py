"""The metrics give the official XTREME-UP scores, however the corpus is ordered, batched or spread over devices."""

import copy
import json
import re
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sacrebleu import corpus_chrf
from torchmetrics.text import SQuAD
from torchmetrics.utilities import dim_zero_sum

from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.data.metrics import METRICS, ChrF, ExactMatch, RougeL, SpanF1, TokenF1, WeightedRouge
from flix_lightning.data.scores import CellScores
from flix_lightning.data.tasks import Task

# Inputs with the scores that the functions of google-research/xtreme-up (evaluation/metrics.py) gave for them.
GOLDEN = json.loads((Path(__file__).parent / "golden_metric_cases.json").read_text(encoding="utf-8"))
OFFICIAL_NAMES = {"sequence_accuracy": "exact_match"}  # the others go by our names

ALL = pytest.mark.parametrize("name", METRICS)
quick = settings(max_examples=30, deadline=None)

WORDS = ["a", "the", "An", "x", "Y", "co-op", "1,000", "habari", "ጤና", "घर।", "a\u0300", "।", "!", "\t", ":", "$$"]
SPANS = ["PER: A", "PER:A", "LOC: B ", "per: A", "DATE: 10:30", "ORG: ቢቢሲ", "PER:", "A", ": "]
prose = st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=6).map(" ".join)
entities = st.lists(st.sampled_from(SPANS), max_size=5).map(" $$ ".join)
texts = prose | entities
corpora = st.lists(st.tuples(texts, texts) | texts.map(lambda text: (text, text)), min_size=1, max_size=8)


def sides(pairs):
    return [prediction for prediction, _ in pairs], [target for _, target in pairs]


def fed(name, *batches):
    """A metric that saw `batches` of (prediction, target) pairs."""
    metric = METRICS[name]()
    for batch in batches:
        metric.update(*sides(batch))
    return metric


def score(name, pairs):
    return fed(name, pairs).compute().item()


def close(expected):
    return pytest.approx(expected, rel=1e-13, abs=1e-13)


# Slow twins, written from the description of the official functions


def slow_token_f1(pairs):
    def tokens(text):
        text = "".join(c for c in text.lower() if not ("!" <= c <= "~") or c.isalnum())
        return re.sub(r"\b(?:the|an|a)\b", " ", text).split()

    def one(prediction, target):
        predicted, gold, common = tokens(prediction), tokens(target), 0
        sizes = len(predicted) + len(gold)
        for token in predicted:
            if token in gold:
                gold.remove(token)
                common += 1
        return 2 * common / sizes if common else 0.0

    return 100 * sum(one(*pair) for pair in pairs) / len(pairs)


def slow_span_f1(pairs):
    def spans(text):
        return [tuple(p.strip() for p in item.split(":")) for item in text.split(" $$ ") if item.count(":") == 1]

    hits = extra = missed = 0
    for prediction, target in pairs:
        gold = spans(target)
        for span in spans(prediction):
            if span in gold:
                gold.remove(span)
                hits += 1
            else:
                extra += 1
        missed += len(gold)
    return 100 * 2 * hits / (2 * hits + extra + missed) if hits else 0.0


def slow_exact_match(pairs):
    return 100 * sum(prediction == target for prediction, target in pairs) / len(pairs)


def sacrebleu_chrf(pairs):
    predictions, targets = sides(pairs)
    return corpus_chrf(predictions, [targets]).score


# Official numbers


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: f"{case['metric']}: {case['predictions']}")
def test_against_official_scores(case):
    pairs = list(zip(case["predictions"], case["targets"], strict=True))
    name = OFFICIAL_NAMES.get(case["metric"], case["metric"])
    assert score(name, pairs) == pytest.approx(case["score"], rel=1e-14, abs=0)


def test_every_official_metric_has_golden_cases():
    assert len(GOLDEN) == 29
    official = {OFFICIAL_NAMES.get(case["metric"], case["metric"]) for case in GOLDEN}
    assert official == set(METRICS) - {"rouge_l", "weighted_rouge"}


# ROUGE, counted by hand


@pytest.mark.parametrize(
    "prediction, target, rouge_l, weighted",
    [
        # 4 of 5 and 6 words in order; 1 of 4 and 5 pairs; no triple
        ("the cat on a mat", "The cat sat on the mat.", 8 / 11, 8 / 11 / 6 + 2 / 9 / 3),
        ("a b c d", "a b c d", 1, 1),
        ("b a", "a b", 1 / 2, 1 / 6),  # all words, no order
        ("habari", "", 0, 0),
        ("x y z", "a b c", 0, 0),
        ("की बात है", "की रात है", 2 / 3, 2 / 3 / 6),  # words of any script, vowel signs kept
        ("a b c x", "a b c y", 3 / 4, 3 / 4 / 6 + 2 / 3 / 3 + 1 / 2 / 2),
    ],
)
def test_rouge_by_hand(prediction, target, rouge_l, weighted):
    assert score("rouge_l", [(prediction, target)]) == pytest.approx(100 * rouge_l, rel=1e-6)
    assert score("weighted_rouge", [(prediction, target)]) == pytest.approx(100 * weighted, rel=1e-6)


def test_rouge_is_the_mean_over_pairs():
    assert score("rouge_l", [("a b", "a b"), ("x", "y")]) == pytest.approx(50)


# References


@quick
@given(corpora)
def test_exact_match_against_slow_twin(pairs):
    assert score("exact_match", pairs) == slow_exact_match(pairs)


@quick
@given(corpora)
@example([("a\u0300", "\u0300")])  # official: the article rule takes the letter off its accent
def test_token_f1_against_slow_twin(pairs):
    assert score("f1", pairs) == close(slow_token_f1(pairs))


@quick
@given(corpora)
def test_span_f1_against_slow_twin(pairs):
    assert score("span_f1", pairs) == pytest.approx(slow_span_f1(pairs), abs=1e-9)  # the twin has no epsilons


@quick
@given(corpora)
def test_chrf_against_sacrebleu(pairs):
    assert score("chrf", pairs) == sacrebleu_chrf(pairs)


@quick
@given(corpora)
def test_token_f1_against_torchmetrics_squad(pairs):
    # SQuAD gives 1 where both sides have no token, XTREME-UP 0: a word on both sides of each pair avoids that case
    pairs = [(f"habari {prediction}", f"habari {target}") for prediction, target in pairs]
    squad = SQuAD()
    for i, (prediction, target) in enumerate(pairs):
        answers = {"answer_start": [0], "text": [target]}
        squad.update({"prediction_text": prediction, "id": str(i)}, {"answers": answers, "id": str(i)})
    assert score("f1", pairs) == pytest.approx(squad.compute()["f1"].item(), abs=1e-4)


# Properties


@ALL
@quick
@given(data=st.data(), pairs=corpora)
def test_order_of_pairs_does_not_matter(name, data, pairs):
    assert score(name, data.draw(st.permutations(pairs))) == close(score(name, pairs))


@ALL
@quick
@given(pairs=corpora, cut=st.integers(0, 8))
def test_states_of_two_halves_sum_to_the_whole(name, pairs, cut):
    first, second, whole = fed(name, pairs[:cut]), fed(name, pairs[cut:]), fed(name, pairs)
    for state, value in whole.metric_state.items():
        torch.testing.assert_close(getattr(first, state) + getattr(second, state), value, rtol=1e-13, atol=0)
    assert fed(name, pairs[:cut], pairs[cut:]).compute().item() == close(whole.compute().item())


@ALL
@quick
@given(pairs=corpora)
def test_score_is_a_float64_in_0_to_100(name, pairs):
    result = fed(name, pairs).compute()
    assert result.shape == () and result.dtype == torch.float64
    assert 0 <= result.item() <= 100 + 1e-9


@pytest.mark.parametrize(
    ("name", "text"), [("exact_match", "[IN:X ]"), ("f1", "habari ጤና"), ("span_f1", "PER: A $$ LOC: B"), ("chrf", "x")]
)
@quick
@given(data=st.data())
def test_identical_sides_score_100(name, text, data):
    kinds = {"f1": prose.map(lambda more: f"{text} {more}"), "span_f1": entities.map(lambda more: f"{text} $$ {more}")}
    same = data.draw(st.lists(kinds.get(name, texts.map(lambda more: text + more)), min_size=1, max_size=5))
    assert score(name, [(one, one) for one in same]) == pytest.approx(100, abs=1e-9)


# Official oddities


@pytest.mark.parametrize(
    ("name", "expected"), [("exact_match", 100.0), ("f1", 0.0), ("span_f1", 0.0), ("chrf", 0.0)], ids=lambda v: str(v)
)
def test_both_sides_empty(name, expected):
    assert score(name, [("", "")]) == expected


@pytest.mark.parametrize(("name", "expected"), [("exact_match", 50.0), ("f1", 0.0), ("span_f1", 0.0), ("chrf", 0.0)])
def test_an_empty_pair_beside_a_wrong_one(name, expected):
    assert score(name, [("", ""), ("LOC: B", "XYZ")]) == expected


def test_span_f1_ignores_pairs_without_spans_and_token_f1_counts_them():
    right = ("PER: habari", "PER: habari")
    assert score("span_f1", [right, ("", "")]) == score("span_f1", [right])
    assert score("f1", [right, ("", "")]) == 50


def test_span_f1_drops_entities_with_a_colon_in_them():
    metric = fed("span_f1", [("DATE: 10:30 $$ LOC: B", "DATE: 11:45 $$ LOC: B $$ ORG: a:b")])
    assert metric.sums.tolist() == [1, 1, 1]
    assert score("span_f1", [("LOC: http://x", "LOC: http://x")]) == 0


def test_span_f1_keeps_a_label_without_text():
    assert score("span_f1", [("PER:", "PER: ")]) == pytest.approx(100)


def test_a_danda_is_no_punctuation():
    assert score("f1", [("घर।", "घर")]) == 0
    assert score("f1", [("घर.", "घर")]) == 100
    assert score("f1", [("घर ।", "घर")]) == pytest.approx(200 / 3)


def test_composed_and_decomposed_letters_differ():
    assert score("exact_match", [("e\u0301", "\u00e9")]) == 0
    assert score("f1", [("e\u0301", "\u00e9")]) == 0


def test_chrf_is_of_the_corpus_not_a_mean_over_pairs():
    pairs = [("ab", "ab"), ("b", "a")]
    assert score("chrf", pairs) != pytest.approx(sum(score("chrf", [pair]) for pair in pairs) / 2)


# As torchmetrics


@ALL
@pytest.mark.filterwarnings("ignore:The ``compute`` method:UserWarning")
def test_nothing_seen_scores_0(name):
    metric = METRICS[name]()
    assert metric.compute() == 0
    metric.update([], [])
    assert metric.compute() == 0


@ALL
def test_sync_over_two_devices_gives_the_score_of_the_whole(name):
    pairs = [pair for case in GOLDEN for pair in zip(case["predictions"], case["targets"], strict=True)]
    here, there = fed(name, pairs[::2]), fed(name, pairs[1::2])
    arriving = iter(there.metric_state.values())  # torchmetrics gathers the states in this order

    here.distributed_available_fn = lambda: True
    here.dist_sync_fn = lambda own, group: [own, next(arriving)]
    assert here.compute().item() == close(score(name, pairs))

    merged = fed(name, pairs[::2])
    merged.merge_state(there)
    assert merged.compute().item() == close(score(name, pairs))


@ALL
def test_states_are_exact_sums_in_any_model_precision(name):
    metric = fed(name, [("PER: a", "PER: a")])
    model = torch.nn.ModuleDict({"metric": metric})
    model.bfloat16()
    metric.update(["PER: a"] * 300, ["PER: b"] * 300)
    assert set(metric._reductions.values()) == {dim_zero_sum}
    assert {value.dtype for value in metric.metric_state.values()} <= {torch.float64, torch.int64}
    assert metric.compute().item() == close(score(name, [("PER: a", "PER: a"), *[("PER: a", "PER: b")] * 300]))


@ALL
def test_forward_gives_the_batch_and_keeps_the_corpus(name):
    first, second = [("PER: habari", "PER: habari")], [("PER: x", "LOC: habari")]
    metric = METRICS[name]()
    assert metric(*sides(first)).item() == close(score(name, first))
    assert metric(*sides(second)).item() == close(score(name, second))
    assert metric.compute().item() == close(score(name, first + second))


@ALL
def test_reset_and_copy(name):
    metric = fed(name, [("PER: a", "PER: b")])
    twin = copy.deepcopy(metric)
    metric.reset()
    metric.update(["PER: habari ya leo"], ["PER: habari ya leo"])
    assert metric.compute().item() == pytest.approx(100)
    assert twin.compute().item() == close(score(name, [("PER: a", "PER: b")]))


@ALL
def test_sides_of_different_length_are_refused(name):
    with pytest.raises(FlixError, match="got 2 for 1 targets"):
        METRICS[name]().update(["a", "b"], ["a"])
    with pytest.raises(FlixError, match="got a single text"):
        METRICS[name]().update("ab", "ab")


def test_names():
    official = {"exact_match": ExactMatch, "f1": TokenF1, "span_f1": SpanF1, "chrf": ChrF}
    assert {**official, "rouge_l": RougeL, "weighted_rouge": WeightedRouge} == METRICS


@ALL
def test_white_space_around_an_answer_or_a_target_is_no_part_of_it(name):
    cell = Cell("t", "sw")
    around = [f"{before}{{}}{after}" for before in ("", " ", "\n") for after in ("", "\n")]
    texts = ["PER: a", "PER: b $$ LOC: c d"]
    for one, other in product(around, around):
        pairs = [(one.format(said), other.format(target)) for said, target in product(texts, texts)]
        scores = CellScores([cell], {"t": Task("t", "{text}", name, 4)})
        scores.update([cell] * len(pairs), *sides(pairs))
        assert scores.compute()[cell] == close(score(name, list(product(texts, texts))))
