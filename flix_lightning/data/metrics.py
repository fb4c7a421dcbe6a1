"""How answers are scored: the four official XTREME-UP metrics and two forms of ROUGE, each a score in 0 to 100.

The official ones equal their functions in google-research/xtreme-up `evaluation/metrics.py`, oddities included. States
are sums over pairs, so any number of devices and any batches give the score of one pass over the corpus. No pairs score
0, where most official functions are undefined. Text is compared without Unicode normalisation.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from flix_lightning.common.errors import FlixError, unknown
from flix_lightning.common.targets import Trust, construct
from flix_lightning.data.pair_statistics import STATISTICS, PairStatistics


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
    """What all share: flags of torchmetrics, and one state, summed over devices: the pairs' statistics."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    statistics: PairStatistics
    sums: Tensor  # (width,) float64

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(self.statistics.width, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predictions: list[str], targets: list[str]) -> None:
        if pairs := _pairs(predictions, targets):
            found = np.array([self.statistics.of(*pair) for pair in pairs], dtype=np.float64)
            self.sums += torch.from_numpy(found.sum(axis=0)).to(self.device)

    def compute(self) -> Tensor:
        score = self.statistics.score(self.sums.cpu().numpy())
        return torch.tensor(float(score), dtype=torch.float64, device=self.device)


class ExactMatch(_TextMetric):
    """Share of predictions equal to their target, in 0 to 100 (official name: `sequence_accuracy`).

    Plain string equality: case and spaces matter, and two empty texts match.
    """

    statistics = STATISTICS["exact_match"]


class TokenF1(_TextMetric):
    """SQuAD token F1 for question answering, one reference, mean over pairs, in 0 to 100 (official name: `f1`).

    A text becomes tokens by: lower case; ASCII punctuation deleted, so that `co-op` is `coop`; the words a, an, the
    deleted; split at spaces. With n tokens in common (as multisets): P = n / predicted, R = n / gold,
    F1 = 2PR / (P + R).

    Official oddities, matched:
        - No token in common scores 0, also where both sides are empty or become so (`the` against `a`).
        - Other scripts' punctuation stays: `घर।` is not `घर`.
        - English articles are deleted in every language, and a lone `a` that carries a combining mark loses its letter.
    """

    statistics = STATISTICS["f1"]


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

    statistics = STATISTICS["span_f1"]


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

    statistics = STATISTICS["chrf"]


class RougeL(_TextMetric):
    """ROUGE-L for summaries (Lin, 2004): F of the longest common subsequence of words, mean over pairs, in 0 to 100."""

    statistics = STATISTICS["rouge_l"]


class WeightedRouge(_TextMetric):
    """ROUGE-1 / 6 + ROUGE-2 / 3 + ROUGE-3 / 2 for suggested replies, each an F, mean over pairs, in 0 to 100."""

    statistics = STATISTICS["weighted_rouge"]


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
