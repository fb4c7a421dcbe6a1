"""What one (prediction, target) pair adds to a metric, and the score of such sums; without torch, for reports.

Every metric of `flix_lightning.data.metrics` is a function of sums over pairs. So the score of any selection of rows,
as of a bootstrap's resample, is that of the sum of their statistics.
"""

import re
import string
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from sacrebleu.metrics import CHRF

NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")
SPAN_EPSILON = 1e-13  # added to each denominator by the official span F1


class PairStatistics(ABC):
    """The statistics of one metric.

    Attributes:
        width: how many numbers a pair adds.
    """

    width: int

    @abstractmethod
    def of(self, prediction: str, target: str) -> Sequence[float]:
        """(width,): what the pair adds."""

    @abstractmethod
    def score(self, sums: np.ndarray) -> np.ndarray:
        """(..., width) float64 -> (...), the scores in 0 to 100; sums over no pair score 0."""


class MeanOverPairs(PairStatistics):
    """100 x the mean of `one(prediction, target)`, which is in 0 to 1; statistics: (its sum, pairs)."""

    width = 2

    def __init__(self, one: Callable[[str, str], float]) -> None:
        self.one = one

    def of(self, prediction: str, target: str) -> Sequence[float]:
        return self.one(prediction, target), 1

    def score(self, sums: np.ndarray) -> np.ndarray:
        total, count = np.moveaxis(sums, -1, 0)
        return 100 * total / np.maximum(count, 1)


class SpanCounts(PairStatistics):
    """Statistics: spans (matched, predicted, gold); the score is their micro-averaged F1."""

    width = 3

    def of(self, prediction: str, target: str) -> Sequence[float]:
        predicted, gold = spans(prediction), spans(target)
        return (predicted & gold).total(), predicted.total(), gold.total()

    def score(self, sums: np.ndarray) -> np.ndarray:
        matched, predicted, gold = np.moveaxis(sums, -1, 0)
        precision, recall = matched / (predicted + SPAN_EPSILON), matched / (gold + SPAN_EPSILON)
        return 100 * 2 * (precision * recall / (precision + recall + SPAN_EPSILON))


class CharacterNgrams(PairStatistics):
    """Statistics: [predicted, gold, matched] n-grams, order by order from 1 to 6; counts and score are sacrebleu's."""

    def __init__(self) -> None:
        self.chrf = CHRF(char_order=6, word_order=0, beta=2)
        self.width = 3 * self.chrf.order

    def of(self, prediction: str, target: str) -> Sequence[float]:
        return self.chrf._extract_corpus_statistics([prediction], [[target]])[0]

    def score(self, sums: np.ndarray) -> np.ndarray:
        return np.apply_along_axis(lambda one: self.chrf._compute_score_from_stats(one.tolist()).score, -1, sums)


def exact(prediction: str, target: str) -> float:
    return float(prediction == target)


def answer_tokens(text: str) -> list[str]:
    """The tokens of an answer, normalised as in SQuAD's official script."""
    return ARTICLES.sub(" ", text.lower().translate(NO_PUNCTUATION)).split()


def token_f1(prediction: str, target: str) -> float:
    predicted, gold = answer_tokens(prediction), answer_tokens(target)
    common = (Counter(predicted) & Counter(gold)).total()
    if not common:
        return 0.0
    precision, recall = common / len(predicted), common / len(gold)
    return 2 * precision * recall / (precision + recall)


def spans(text: str) -> Counter[tuple[str, str]]:
    """The (label, text) spans of `text`; items without exactly one colon are left out."""
    items = (item.split(":") for item in text.split(" $$ "))
    return Counter((parts[0].strip(), parts[1].strip()) for parts in items if len(parts) == 2)


def rouge_l(prediction: str, target: str) -> float:
    return rouge(prediction, target, "rougeL")["rougeL"]


def weighted_rouge(prediction: str, target: str) -> float:
    found = rouge(prediction, target, "rouge1", "rouge2", "rouge3")
    return found["rouge1"] / 6 + found["rouge2"] / 3 + found["rouge3"] / 2


def rouge(prediction: str, target: str, *kinds: str) -> dict[str, float]:
    """Kind -> F by torchmetrics, over the words of any script, lower case, without stemming."""
    from torchmetrics.functional.text.rouge import rouge_score  # with torch, which only those who score by it load

    found = rouge_score(prediction, target, rouge_keys=kinds, normalizer=plain_words, tokenizer=str.split)
    return {kind: found[f"{kind}_fmeasure"].item() for kind in kinds}


def plain_words(text: str) -> str:
    """Lower case, with a space for all that is no letter, mark or digit; ROUGE's own form keeps a to z only."""
    return "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text.lower())


STATISTICS: dict[str, PairStatistics] = {
    "exact_match": MeanOverPairs(exact),
    "f1": MeanOverPairs(token_f1),
    "span_f1": SpanCounts(),
    "chrf": CharacterNgrams(),
    "rouge_l": MeanOverPairs(rouge_l),
    "weighted_rouge": MeanOverPairs(weighted_rouge),
}
