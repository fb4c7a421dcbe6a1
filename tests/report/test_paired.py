"""Paired differences against scipy's bootstrap and t interval, on scores that the metrics give."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from flix_lightning.data.metrics import METRICS
from flix_lightning.data.pair_statistics import STATISTICS
from flix_lightning.data.predictions import Prediction, write_predictions
from flix_lightning.report.paired import Column, Difference, difference
from tests.commands.test_commands import run_command
from tests.report.test_report import record

SW, YO = Cell("t", "sw"), Cell("t", "yo")
WORDS = np.array(["LOC: a", "LOC: b", "PER: c", "ORG: habari", "DATE: ya leo"])


def texts(rows: int, seed: int, right: float = 0.0, targets: list[str] | None = None) -> list[str]:
    """Lists of spans; where `targets` are given, so many of them are met, and others in part."""
    generator = np.random.default_rng(seed)
    found = [" $$ ".join(generator.choice(WORDS, generator.integers(1, 4), replace=False)) for _ in range(rows)]
    return [t if generator.random() < right else f for t, f in zip(targets, found)] if targets else found


def run(metric: str, said: dict[Cell, list[str]], targets: dict[Cell, list[str]]) -> dict[Cell, list[Prediction]]:
    return {
        cell: [Prediction(cell, i, metric, *pair) for i, pair in enumerate(zip(own, targets[cell], strict=True))]
        for cell, own in said.items()
    }


def score(metric: str, said, targets) -> float:
    counted = METRICS[metric]()
    counted.update(list(said), list(targets))
    return counted.compute().item()


@pytest.mark.parametrize("metric", STATISTICS)
def test_the_difference_is_that_of_the_reported_scores(metric):
    targets = {SW: texts(9, 0), YO: texts(5, 1)}
    said = {
        (side, seed): {cell: texts(len(own), 7 * seed + len(own), right, own) for cell, own in targets.items()}
        for side, right in (("ours", 0.7), ("theirs", 0.3))
        for seed in (3, 4)
    }  # fmt: skip
    sides = {side: {seed: run(metric, said[side, seed], targets) for seed in (3, 4)} for side in ("ours", "theirs")}
    found = difference([Column(**sides, cells=[SW]), Column(**sides, cells=[SW, YO])], resamples=20)
    for seed in (3, 4):
        points = {
            cell: score(metric, said["ours", seed][cell], own) - score(metric, said["theirs", seed][cell], own)
            for cell, own in targets.items()
        }
        assert found.by_seed[seed] == pytest.approx((points[SW] + (points[SW] + points[YO]) / 2) / 2, abs=1e-9)
    assert found.mean == pytest.approx(np.mean(list(found.by_seed.values())))
    assert (found.cells, found.rows) == (3, 9 + 14)


@pytest.mark.parametrize("metric", ["exact_match", "span_f1", pytest.param("chrf", marks=pytest.mark.slow)])
def test_the_interval_of_a_corpus_score_against_scipys_bootstrap(metric):
    """One cell, one seed: the rows are drawn in pairs, the corpus score of each draw is computed anew."""
    targets = texts(60, 0)
    ours, theirs = texts(60, 1, 0.6, targets), texts(60, 2, 0.4, targets)

    def gap(rows):
        asked = [targets[i] for i in rows]
        return score(metric, [ours[i] for i in rows], asked) - score(metric, [theirs[i] for i in rows], asked)

    peer = stats.bootstrap((np.arange(60),), gap, n_resamples=600, vectorized=False, method="basic", rng=0)
    sides = [{0: run(metric, {SW: said}, {SW: targets})} for said in (ours, theirs)]
    found = difference([Column(*sides, [SW])])
    assert found.error == pytest.approx(peer.standard_error, rel=0.1)
    assert found.freedom == pytest.approx(59)
    assert found.interval == pytest.approx(peer.confidence_interval, abs=0.4 * found.error)


def constant(values) -> dict[int, dict]:
    """Seed -> a run that answers every row of a cell alike: its rows do not vary."""
    return {
        s: {SW: [Prediction(SW, i, "f1", v, " ".join("abcdefghij")) for i in range(4)]} for s, v in enumerate(values)
    }


def test_rows_that_do_not_vary_leave_the_t_interval_over_seeds():
    ours = constant(["a b c d", "a b c d e f", "a b c d e f g h"])
    theirs = constant(["a b c", "a b c", "a b"])
    found = difference([Column(ours, theirs, [SW])], resamples=50)
    points = list(found.by_seed.values())
    expected = stats.ttest_1samp(points, 0).confidence_interval()
    assert found.interval == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.freedom == pytest.approx(2)


def test_the_same_rows_are_drawn_for_both_sides():
    """Two runs that differ in one row alone are known to differ little, however hard the other rows are."""
    targets = texts(100, 0)
    ours = texts(100, 1, 0.5, targets)
    first = next(i for i, pair in enumerate(zip(ours, targets)) if pair[0] == pair[1])
    theirs = [*ours[:first], "wrong", *ours[first + 1 :]]
    pairs = [{0: run("exact_match", {SW: said}, {SW: targets})} for said in (ours, theirs)]
    apart = [{0: run("exact_match", {SW: said}, {SW: targets})} for said in (ours, texts(100, 2, 0.5, targets))]
    assert difference([Column(*pairs, [SW])]).error < 0.3 * difference([Column(*apart, [SW])]).error


def test_equal_draws_give_equal_numbers_and_columns_are_told_apart():
    targets = {SW: texts(20, 0), YO: texts(20, 1)}
    sides = [{0: run("f1", {c: texts(20, i, 0.5, own) for c, own in targets.items()}, targets)} for i in (5, 6)]
    both = difference([Column(*sides, [SW, YO])])
    assert both == difference([Column(*sides, [SW, YO])]) and both.freedom == 1
    assert difference([Column(*sides, [SW]), Column(*sides, [YO])]).freedom > 10


@pytest.mark.parametrize(
    ("mean", "error", "bound", "verdict"),
    [(3, 1, 0, "holds"), (3, 1, 2, "undecided"), (3, 1, 6, "fails"), (-0.5, 0.1, -1, "holds"), (0, 0, 0, "undecided")],
)
def test_verdicts(mean, error, bound, verdict):
    found = Difference(mean, {0: mean}, 1, 100, error, 1e9)
    assert found.verdict(bound) == verdict
    assert found.smallest == pytest.approx(2.8 * error, rel=1e-2), "Bloom's multiplier"


def test_what_makes_no_pairs_is_told():
    targets = {SW: ["a", "b"], YO: ["c"]}
    one = {0: run("f1", targets, targets)}
    refused = partial(pytest.raises, FlixError)
    with refused(match="no seed"):
        difference([Column(one, {1: one[0]}, [SW])])
    with refused(match="not all runs were scored on t/yo"):
        difference([Column(one, {0: {SW: one[0][SW]}}, [SW, YO])])
    with refused(match="other rows"):
        difference([Column(one, {0: run("f1", targets, {SW: ["a", "x"], YO: ["c"]})}, [SW])])
    own = {0: run("lab.Metric", targets, targets)}
    with refused(match="scored by lab.Metric"):
        difference([Column(own, own, [SW])])


@pytest.mark.slow
@pytest.mark.parametrize(("cells", "seeds", "between"), [(1, 1, 0.0), (6, 3, 0.15), (12, 3, 0.0)])
def test_intervals_cover_the_truth(cells, seeds, between):
    """Rows, cells and seeds drawn anew 200 times: 95 %, less three standard deviations, hold the true difference."""
    generator = np.random.default_rng(0)
    held, names = 0, [Cell("t", f"l{i}") for i in range(cells)]
    for _ in range(200):
        shift = generator.normal(0, between, cells)
        sides = [
            {
                seed: {
                    cell: [
                        Prediction(cell, i, "exact_match", "right" if right else "wrong", "right")
                        for i, right in enumerate(generator.random(50) < np.clip(0.5 + gain + drift, 0, 1))
                    ]
                    for cell, gain in zip(names, shift if ours else np.zeros(cells))
                }
                for seed, drift in enumerate(generator.normal(0, 0.03, seeds) if seeds > 1 else [0])
            }
            for ours in (True, False)
        ]  # fmt: skip
        low, high = difference([Column(*sides, names)], resamples=100).interval
        held += low <= 0 <= high
    assert held >= 0.904 * 200


def test_two_settings_by_the_command(monkeypatch, capsys):
    targets = {Cell("ner", "sw"): texts(40, 0), Cell("ner", "yo"): texts(40, 1), Cell("qa", "ln"): texts(40, 2)}
    for adapter, right in (("flix", 0.9), ("lora", 0.2)):
        for seed in (0, 1, 2):
            path = Path("runs", adapter, str(seed), "record.json")
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(record(adapter, seed, 50, 10)))
            said = {cell: texts(40, 100 + 9 * seed + n, right, own) for n, (cell, own) in enumerate(targets.items())}
            own = run("f1", {cell: said[cell] if cell.task == "ner" else texts(40, seed) for cell in said}, targets)
            write_predictions(path, [one for rows in own.values() for one in rows])
    assert run_command("report", "runs/lora", "runs/flix", "bound=0", monkeypatch=monkeypatch) == 0
    head, _, ner, qa, mean = capsys.readouterr().out.partition("flix minus lora:\n\n")[2].splitlines()
    assert head.endswith("| 95 % interval | smallest detectable | above 0 |")
    assert ner.startswith("| ner | 3 | 2 | 80 | +") and ner.endswith("**holds** |")
    assert qa.startswith("| qa unseen lang. | 3 | 1 | 40 | +0.0 | +0.0 to +0.0 | 0.0 |") and "undecided" in qa
    assert mean.startswith("| mean | 3 | 3 | 120 | +")
    assert run_command("report", "runs/flix", "bound=0", monkeypatch=monkeypatch) == 1
    assert "bound: shows the difference of two settings; these runs have 1." in capsys.readouterr().err
