"""How answers are scored: the four official XTREME-UP metrics and two forms of ROUGE, each a score in 0 to 100.

The official ones equal their functions in google-research/xtreme-up `evaluation/metrics.py`, oddities included. States
are sums over pairs, so any number of devices and any batches give the score of one pass over the corpus. No pairs score
0, where most official functions are undefined. Text is compared without Unicode normalisation.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from sacrebleu.metrics import CHRF
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.text.rouge import rouge_score

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.targets import Trust, construct

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SPAN_EPSILON = 1e-13  # added to each denominator by the official span F1


def _pairs(predictions: list[str], targets: list[str]) -> list[tuple[str, str]]:
    """The (prediction, target) pairs.

    Raises:
        FlixError: the two are not lists of one length.
    """
    if isinstance(predictions, str) or isinstance(targets, str):
        raise FlixError("a metric takes lists of texts; got a single text.")
    if len(predictions) != len(targets):
        raise FlixError(f"a metric needs one prediction a target; got {len(predictions)} for {len(targets)} targets.")
    return list(zip(predictions, targets, strict=True))


class _TextMetric(Metric):
    """What all share: flags of torchmetrics, and states that are summed over devices."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def _add_sum(self, name: str, dtype: torch.dtype, size: tuple[int, ...] = ()) -> None:
        self.add_state(name, torch.zeros(size, dtype=dtype), dist_reduce_fx="sum")

    def _result(self, score: float) -> Tensor:
        return torch.tensor(score, dtype=torch.float64, device=self.device)


class _MeanOverPairs(_TextMetric):
    """100 x the mean over pairs of `score(prediction, target)`, which is in 0 to 1."""

    total: Tensor  # () float64
    count: Tensor  # () int64

    def __init__(self) -> None:
        super().__init__()
        self._add_sum("total", torch.float64)
        self._add_sum("count", torch.int64)

    @staticmethod
    def score(prediction: str, target: str) -> float:
        """The score of one pair, in 0 to 1."""
        raise NotImplementedError

    def update(self, predictions: list[str], targets: list[str]) -> None:
        pairs = _pairs(predictions, targets)
        self.total += sum(self.score(prediction, target) for prediction, target in pairs)
        self.count += len(pairs)

    def compute(self) -> Tensor:
        count = self.count.item()
        return self._result(100 * self.total.item() / count if count else 0.0)


class ExactMatch(_MeanOverPairs):
    """Share of predictions equal to their target, in 0 to 100 (official name: `sequence_accuracy`).

    Plain string equality: case and spaces matter, and two empty texts match.
    """

    @staticmethod
    def score(prediction: str, target: str) -> float:
        return float(prediction == target)


class TokenF1(_MeanOverPairs):
    """SQuAD token F1 for question answering, one reference, mean over pairs, in 0 to 100 (official name: `f1`).

    A text becomes tokens by: lower case; ASCII punctuation deleted, so that `co-op` is `coop`; the words a, an, the
    deleted; split at spaces. With n tokens in common (as multisets): P = n / predicted, R = n / gold,
    F1 = 2PR / (P + R).

    Official oddities, matched:
        - No token in common scores 0, also where both sides are empty or become so (`the` against `a`).
        - Other scripts' punctuation stays: `घर।` is not `घर`.
        - English articles are deleted in every language, and a lone `a` that carries a combining mark loses its letter.
    """

    @staticmethod
    def score(prediction: str, target: str) -> float:
        predicted, gold = _answer_tokens(prediction), _answer_tokens(target)
        common = (Counter(predicted) & Counter(gold)).total()
        if not common:
            return 0.0
        precision, recall = common / len(predicted), common / len(gold)
        return 2 * precision * recall / (precision + recall)


def _answer_tokens(text: str) -> list[str]:
    """The tokens of an answer, normalised as in SQuAD's official script."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


class SpanF1(_TextMetric):
    """F1 of (label, text) spans for named entities, micro-averaged over the corpus, in 0 to 100 (official: `span_f1`).

    A text is `PER: a $$ LOC: b`; its spans are compared as a multiset: case-sensitive, in any order.
    With counts summed over the corpus and e = 1e-13: P = matched / (predicted + e), R = matched / (gold + e),
    F1 = 2PR / (P + R + e).

    Official oddities, matched:
        - An item without exactly one colon is dropped, in gold too: `DATE: 10:30` vanishes from both sides.
        - No span at all on either side of the corpus scores 0; a pair that is empty on both sides changes nothing.
        - The e keeps a perfect score 1.5e-11 under 100 for one span, and nearer for more.
        - The separator is ` $$ ` with its spaces: `PER: A$$LOC: B` is one item, and is dropped.
    """

    matched: Tensor  # () int64, like the next two
    predicted: Tensor
    gold: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("matched", "predicted", "gold"):
            self._add_sum(name, torch.int64)

    def update(self, predictions: list[str], targets: list[str]) -> None:
        for prediction, target in _pairs(predictions, targets):
            predicted, gold = _spans(prediction), _spans(target)
            self.matched += (predicted & gold).total()
            self.predicted += predicted.total()
            self.gold += gold.total()

    def compute(self) -> Tensor:
        precision = self.matched.item() / (self.predicted.item() + _SPAN_EPSILON)
        recall = self.matched.item() / (self.gold.item() + _SPAN_EPSILON)
        return self._result(100 * 2 * (precision * recall / (precision + recall + _SPAN_EPSILON)))


def _spans(text: str) -> Counter[tuple[str, str]]:
    """The (label, text) spans of `text`; items without exactly one colon are left out."""
    items = (item.split(":") for item in text.split(" $$ "))
    return Counter((parts[0].strip(), parts[1].strip()) for parts in items if len(parts) == 2)


class ChrF(_TextMetric):
    """sacrebleu's corpus chrF for translation (Popović 2015), in 0 to 100 (official name: `chrf`).

    Character n-grams of orders 1 to 6 without spaces, no words, beta 2. The state holds sacrebleu's own statistics,
    summed over segments; sacrebleu computes the score from them, so it is `corpus_chrf(predictions, [targets]).score`.

    Official oddities, matched:
        - Orders for which no segment has both sides long enough are left out of the mean (effective order), so `abc`
          against itself scores 100.
        - A prediction's n-grams do not count where its target is too short to have any of that order.
        - Both sides empty adds nothing; a corpus of such pairs scores 0.
    """

    statistics: Tensor  # (3 * 6,) int64: [predicted, gold, matched] n-grams, order by order

    def __init__(self) -> None:
        super().__init__()
        self._chrf = CHRF(char_order=6, word_order=0, beta=2)
        self._add_sum("statistics", torch.int64, (3 * self._chrf.order,))

    def update(self, predictions: list[str], targets: list[str]) -> None:
        if not _pairs(predictions, targets):
            return
        segments = self._chrf._extract_corpus_statistics(predictions, [targets])
        self.statistics += torch.tensor(segments, device=self.device).sum(dim=0)

    def compute(self) -> Tensor:
        return self._result(self._chrf._compute_score_from_stats(self.statistics.tolist()).score)


class RougeL(_MeanOverPairs):
    """ROUGE-L for summaries (Lin, 2004): F of the longest common subsequence of words, mean over pairs, in 0 to 100."""

    @staticmethod
    def score(prediction: str, target: str) -> float:
        return _rouge(prediction, target, "rougeL")["rougeL"]


class WeightedRouge(_MeanOverPairs):
    """ROUGE-1 / 6 + ROUGE-2 / 3 + ROUGE-3 / 2 for suggested replies, each an F, mean over pairs, in 0 to 100."""

    @staticmethod
    def score(prediction: str, target: str) -> float:
        found = _rouge(prediction, target, "rouge1", "rouge2", "rouge3")
        return found["rouge1"] / 6 + found["rouge2"] / 3 + found["rouge3"] / 2


def _rouge(prediction: str, target: str, *kinds: str) -> dict[str, float]:
    """Kind -> F by torchmetrics, over the words of any script, lower case, without stemming."""
    found = rouge_score(prediction, target, rouge_keys=kinds, normalizer=_plain_words, tokenizer=str.split)
    return {kind: found[f"{kind}_fmeasure"].item() for kind in kinds}


def _plain_words(text: str) -> str:
    """Lower case, with a space for all but letters, marks and digits; ROUGE's own form keeps a to z only."""
    return "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text.lower())


METRICS: dict[str, type[Metric]] = {
    "exact_match": ExactMatch,
    "f1": TokenF1,
    "span_f1": SpanF1,
    "chrf": ChrF,
    "rouge_l": RougeL,
    "weighted_rouge": WeightedRouge,
}


def make_metric(place: str, metric: str | Mapping[str, Any], trust: Trust) -> Metric:
    """The metric that a task names: one of `METRICS`, or a section whose `_target_` is a torchmetrics class.

    Its `update` takes predictions and targets, two lists of texts, and its `compute` gives a score in 0 to 100.

    Args:
        place: of the name in the config.
        trust: see `construct`.

    Raises:
        FlixError: an unknown name, or a section that gives no metric.
    """
    if not isinstance(metric, str):
        return construct(place, metric, Metric, trust)
    if metric not in METRICS:
        raise unknown(place, metric, METRICS)
    return METRICS[metric]()
