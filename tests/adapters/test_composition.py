"""Tests of compositions against ranks laid out by hand, and of feature dropout against its statistics."""

import math

import numpy as np
import pytest
import torch

from flix_lightning.adapters.active import ActiveComposition
from flix_lightning.adapters.composition import Composer, Composition
from flix_lightning.adapters.dropout import FeatureDropout
from flix_lightning.adapters.features import Feature, FeatureSpace, Featurizer
from flix_lightning.adapters.ranks import RankAllocation
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import Cell
from tests.reference import rank_rows
from tests.toy import ALLOCATION, CELLS, FLIX, RANKS, toy_composer

# Where the toy features lie in the row of 19 ranks, counted by hand.
NER, PARSE, QA = [0, 1, 2], [3, 4, 5], [6, 7, 8]
AM, BN, SW, YO = [9, 10], [11, 12], [13, 14], [15, 16, 17, 18]
AXES = ("task", "language")
DRAWS = 20_000


def places(composition: Composition, row: int) -> dict[int, float]:
    """Rank -> weight of one example, padding and switched-off ranks left out."""
    pairs = zip(composition.index[row].tolist(), composition.weight[row].tolist(), strict=True)
    return {place: weight for place, weight in pairs if weight}


def test_ranks_lie_feature_after_feature():
    composer = toy_composer()
    assert composer.total_rank == 19
    assert {str(f): composer.ranks_of(f) for f in composer.space} == rank_rows(RANKS)
    assert list(composer.ranks_of(Feature("language", "yo"))) == YO


def test_a_mixed_batch_by_hand_with_padding():
    composition = toy_composer().compose([Cell("qa", "yo"), Cell("ner", "am"), Cell("parse", "bn")])
    assert composition.index.tolist()[0] == QA + YO
    assert composition.index.shape == composition.weight.shape == (3, 7)
    assert [places(composition, row) for row in range(3)] == [
        dict.fromkeys(QA + YO, 1.0), dict.fromkeys(NER + AM, 1.0), dict.fromkeys(PARSE + BN, 1.0)
    ]  # fmt: skip
    assert composition.weight[1:, 5:].eq(0).all()


@pytest.mark.parametrize(
    "cell, features, ranks",
    [
        (Cell("qa", "fr"), ["task=qa"], QA),  # an unseen language falls back to the task
        (Cell("summarise", "sw"), ["language=sw"], SW),
        (Cell("summarise", "fr"), [], []),  # nothing known: the bare backbone
    ],
)
def test_unknown_features_are_left_out(cell, features, ranks):
    composer = toy_composer()
    assert [str(feature) for feature in composer.active(cell)] == features
    assert composer.active_rank([cell]) == len(ranks)
    assert places(composer.compose([cell]), 0) == dict.fromkeys(ranks, 1.0)
    assert places(composer.compose([Cell("ner", "yo"), cell]), 1) == dict.fromkeys(ranks, 1.0)


def test_an_unseen_combination_uses_both_features():
    space = FeatureSpace.of([Cell("qa", "am"), Cell("ner", "yo")], FLIX)  # ner, qa, am, yo
    composer = Composer(FLIX, space, ALLOCATION)
    assert places(composer.compose([Cell("qa", "yo")]), 0) == dict.fromkeys([3, 4, 5, 8, 9, 10, 11], 1.0)


def test_a_gate_acts_on_all_ranks_of_its_feature_and_on_its_example_alone():
    gates = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0], [1.0, 0.5]])
    composition = toy_composer().compose(
        [Cell("qa", "yo"), Cell("ner", "am"), Cell("qa", "sw"), Cell("qa", "fr")], gates
    )
    assert [places(composition, row) for row in range(4)] == [
        dict.fromkeys(YO, 1.0), dict.fromkeys(NER, 2.0), {}, dict.fromkeys(QA, 1.0)
    ]  # fmt: skip


def test_the_gate_of_an_unknown_feature_falls_on_nobody_else():
    # The unknown task stands before the known language: columns are axes, not places among known features.
    composition = toy_composer().compose([Cell("summarise", "sw")], torch.tensor([[0.0, 3.0]]))
    assert places(composition, 0) == dict.fromkeys(SW, 3.0)


def test_gates_follow_the_featurizers_own_order_of_axes():
    composer = toy_composer(Featurizer(("language", "task")))
    composition = composer.compose([Cell("ner", "bn")], torch.tensor([[0.0, 1.0]]))
    assert places(composition, 0) == dict.fromkeys(composer.ranks_of(Feature("task", "ner")), 1.0)


@pytest.mark.parametrize("rows", [1, 3])
def test_gates_of_another_batch_are_refused(rows):
    with pytest.raises((FlixError, ValueError, RuntimeError)):
        toy_composer().compose(CELLS[:2], torch.ones(rows, 2))


def test_active_rank_is_the_largest_over_the_cells():
    composer = toy_composer()
    assert composer.active_rank([Cell("qa", "sw"), Cell("qa", "fr")]) == 5
    assert composer.active_rank(CELLS) == 7


def test_an_override_that_names_no_feature_is_refused():
    with pytest.raises(FlixError, match="did you mean 'language=yo'"):
        toy_composer(allocation=RankAllocation({"task": 3, "language": 2}, {"language=yoo": 4}))


def test_the_holder_chooses_the_wide_product_only_while_ranks_are_few():
    composer = toy_composer()
    few, many = ActiveComposition(21), ActiveComposition(22)
    composition = composer.compose(CELLS)
    few.WIDE_UP_TO = many.WIDE_UP_TO = 3  # times the active rank of 7
    for holder in (few, many):
        holder.set(composition)
    assert many.wide is None
    assert few.wide.shape == (12, 21)
    for row in range(len(CELLS)):
        assert few.wide[row].nonzero().flatten().tolist() == sorted(places(composition, row))
    few.set(None)
    assert few.wide is None and few.current is None


# --- several features of one axis ---

BOTH = Cell("qa+ner", "sw")  # two tasks at once; ner and qa stand in the space, parse between them


def test_a_cell_of_two_tasks_uses_the_ranks_of_both():
    composer = toy_composer()
    composition = composer.compose([Cell("parse", "am"), BOTH, Cell("qa+unknown", "fr")])
    assert composition.index.shape == (3, 8)
    assert places(composition, 1) == dict.fromkeys(QA + NER + SW, 1.0)
    assert places(composition, 0) == dict.fromkeys(PARSE + AM, 1.0)
    assert places(composition, 2) == dict.fromkeys(QA, 1.0)
    assert composer.active_rank([BOTH, Cell("qa", "sw")]) == 8


def test_second_features_have_gates_of_their_own_behind_those_of_the_first():
    composer = toy_composer()
    cells = [BOTH, Cell("parse", "am+yo")]
    assert composer.gate_axes(cells) == ("task", "language", "task", "language")
    assert composer.gated(cells).tolist() == [[True, True, True, False], [True, True, False, True]]
    gates = torch.tensor([[0.0, 2.0, 3.0, 9.0], [4.0, 5.0, 9.0, 6.0]])
    composition = composer.compose(cells, gates)
    assert places(composition, 0) == dict.fromkeys(SW, 2.0) | dict.fromkeys(NER, 3.0)
    assert places(composition, 1) == dict.fromkeys(PARSE, 4.0) | dict.fromkeys(AM, 5.0) | dict.fromkeys(YO, 6.0)


def test_with_one_feature_an_axis_the_gates_are_the_axes():
    composer = toy_composer()
    assert composer.gate_axes(CELLS) == AXES
    assert composer.gated(CELLS).all()


def test_a_gate_that_stands_for_no_feature_is_never_the_one_brought_back():
    gated = np.tile([True, True, True, False], (DRAWS, 1))
    axes = ("task", "language") * 2
    dropout = FeatureDropout(0.8, keep_one=True)
    gates = dropout.gates(axes, DRAWS, 0, 0, gated).numpy() * gated
    assert (gates.sum(axis=1) >= 1).all()
    kept = 0.2 + 0.8**3 / 3  # each of three features is as likely to come back
    assert np.abs(gates[:, :3].mean(axis=0) - kept).max() < five_sigma(kept, DRAWS)
    rescaled = FeatureDropout(0.8, keep_one=True, rescale=True).gates(axes, DRAWS, 0, 0, gated).numpy()
    assert np.abs(rescaled[:, :3].mean(axis=0) - 1).max() < 5 * rescaled[:, :3].std() / math.sqrt(DRAWS)


# --- feature dropout ---


def test_gates_are_those_that_the_committed_records_were_trained_with():
    gates = drawn(FeatureDropout(0.6, keep_one=True, rescale=True), batch=8, step=3, seed=1)
    kept = [[0, 1], [1, 1], [0, 1], [0, 1], [1, 1], [0, 1], [1, 0], [1, 0]]
    np.testing.assert_allclose(gates, np.array(kept) / 0.58, rtol=1e-6)  # 1 - 0.6 + 0.6^2 / 2
    gates = drawn(FeatureDropout(0.5), batch=8, step=7, seed=2)
    assert gates.tolist() == [[1, 1], [1, 0], [0, 0], [1, 0], [0, 0], [0, 0], [1, 0], [1, 1]]


def drawn(dropout: FeatureDropout, axes=AXES, batch: int = DRAWS, step: int = 0, seed: int = 0) -> np.ndarray:
    return dropout.gates(axes, batch, step, seed).numpy()


def five_sigma(p: float, n: int) -> float:
    return 5 * math.sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.7])
def test_the_drop_rate_is_p_for_every_axis(p):
    gates = drawn(FeatureDropout(p))
    assert gates.shape == (DRAWS, 2) and gates.dtype == np.float32 and set(np.unique(gates)) == {0.0, 1.0}
    assert np.abs((gates == 0).mean(axis=0) - p).max() < five_sigma(p, DRAWS)


def test_drops_are_independent_over_axes_examples_steps_and_seeds():
    dropout = FeatureDropout(0.4)
    gates = drawn(dropout)
    others = {
        "axes": gates[:, 1],
        "examples": np.roll(gates[:, 0], 1),
        "steps": drawn(dropout, step=1)[:, 0],
        "seeds": drawn(dropout, seed=1)[:, 0],
        "step and seed swapped": drawn(dropout, step=1)[:, 1],
    }
    for name, other in others.items():
        assert abs(np.corrcoef(gates[:, 0], other)[0, 1]) < 5 / math.sqrt(DRAWS), name
    assert (drawn(dropout, step=3, seed=5) != drawn(dropout, step=5, seed=3)).any()


def test_p_zero_keeps_all_and_p_one_drops_all():
    assert (drawn(FeatureDropout(0)) == 1).all()
    assert (drawn(FeatureDropout(1)) == 0).all()


def test_only_the_named_axes_drop():
    gates = drawn(FeatureDropout(0.6, axes=("language",)))
    assert (gates[:, 0] == 1).all()
    assert abs((gates[:, 1] == 0).mean() - 0.6) < five_sigma(0.6, DRAWS)


def test_with_an_empty_list_of_axes_nothing_drops():
    assert (drawn(FeatureDropout(1.0, axes=())) == 1).all()


def test_an_axis_that_no_feature_has_is_refused():
    with pytest.raises(FlixError, match="did you mean 'language'"):
        drawn(FeatureDropout(0.5, axes=("langauge",)))


@pytest.mark.parametrize("p", [0.5, 0.7, 1.0])
def test_keep_one_brings_back_one_drawn_at_random(p):
    plain, gates = drawn(FeatureDropout(p)), drawn(FeatureDropout(p, keep_one=True))
    lost = plain.sum(axis=1) == 0
    assert (gates[~lost] == plain[~lost]).all()
    assert (gates[lost].sum(axis=1) == 1).all()
    assert abs(gates[lost, 0].mean() - 0.5) < five_sigma(0.5, lost.sum())
    # Kept as drawn, or brought back by a fair coin where both were lost.
    kept = 1 - p + p**2 / 2
    assert np.abs((gates > 0).mean(axis=0) - kept).max() < five_sigma(kept, DRAWS)


def test_keep_one_counts_axes_that_never_drop():
    limited = FeatureDropout(0.9, axes=("language",))
    assert (drawn(limited) == drawn(FeatureDropout(0.9, axes=("language",), keep_one=True))).all()


@pytest.mark.parametrize("p", [0.5, 0.8])
def test_keep_one_counts_an_examples_own_features_where_some_axes_never_drop(p):
    """Of task, language and domain the last never drops; every other example has none, every fourth a task only."""
    axes = ("task", "language", "domain")
    gated = np.tile(
        [[True, True, True], [True, True, False], [True, True, True], [True, False, False]], (DRAWS // 4, 1)
    )
    limited = {"axes": ("task", "language"), "keep_one": True}
    gates = FeatureDropout(p, **limited).gates(axes, len(gated), 0, 0, gated).numpy() * gated
    plain = FeatureDropout(p, axes=("task", "language")).gates(axes, len(gated), 0, 0, gated).numpy() * gated
    assert (gates.sum(axis=1) >= 1).all()
    kept = plain.sum(axis=1) > 0
    assert (gates[kept] == plain[kept]).all() and (~kept).any()
    pairs = gates[1::4, :2]
    assert np.abs(pairs.mean(axis=0) - (1 - p + p**2 / 2)).max() < five_sigma(0.5, len(pairs))
    assert (gates[3::4, 0] == 1).all()
    rescaled = FeatureDropout(p, rescale=True, **limited).gates(axes, len(gated), 0, 0, gated).numpy() * gated
    for start in range(4):
        means = rescaled[start::4][:, gated[start]].mean(axis=0)
        assert np.abs(means - 1).max() < 5 * rescaled.std() / math.sqrt(DRAWS / 4)


@pytest.mark.parametrize("keep_one", [False, True])
@pytest.mark.parametrize("p", [0.3, 0.7])
def test_rescale_keeps_the_expected_update(p, keep_one):
    gates = drawn(FeatureDropout(p, rescale=True, keep_one=keep_one))
    assert len(np.unique(gates)) == 2  # dropped, or one factor for all survivors
    assert np.abs(gates.mean(axis=0) - 1).max() < 5 * gates.std() / math.sqrt(DRAWS)


def test_rescale_follows_the_schedule_and_leaves_other_axes_alone():
    dropout = FeatureDropout(0.8, schedule="linear", schedule_steps=4, rescale=True, axes=("language",))
    for step, factor in [(0, 1.0), (2, 1 / 0.6), (9, 1 / 0.2)]:
        gates = drawn(dropout, step=step)
        assert (gates[:, 0] == 1).all()
        assert gates[:, 1].max() == pytest.approx(factor)


@pytest.mark.parametrize(
    "schedule, expected",
    [
        ("constant", {0: 0.8, 5: 0.8, 10: 0.8, 99: 0.8}),
        ("linear", {0: 0.0, 1: 0.08, 5: 0.4, 10: 0.8, 99: 0.8}),
        ("cosine", {0: 0.0, 2.5: 0.4 * (1 - math.sqrt(0.5)), 5: 0.4, 10: 0.8, 99: 0.8}),
    ],
)
def test_schedules_by_hand(schedule, expected):
    dropout = FeatureDropout(0.8, schedule=schedule, schedule_steps=10)
    assert {step: dropout.probability(step) for step in expected} == pytest.approx(expected, abs=1e-12)


def test_the_drop_rate_follows_the_schedule():
    dropout = FeatureDropout(0.8, schedule="linear", schedule_steps=10)
    assert (drawn(dropout, step=0) == 1).all()
    for step, p in [(5, 0.4), (50, 0.8)]:
        assert abs((drawn(dropout, step=step) == 0).mean() - p) < five_sigma(p, 2 * DRAWS)


@pytest.mark.parametrize("keep_one", [False, True])
def test_a_row_depends_on_seed_and_step_alone(keep_one):
    dropout = FeatureDropout(0.6, keep_one=keep_one)
    gates = drawn(dropout, batch=64, step=7, seed=3)
    np.random.seed(1)
    torch.manual_seed(1)
    drawn(dropout, batch=5, step=8, seed=3)  # what was drawn before does not matter
    assert (drawn(FeatureDropout(0.6, keep_one=keep_one), batch=64, step=7, seed=3) == gates).all()
    assert (drawn(dropout, ("anything", "else"), batch=64, step=7, seed=3) == gates).all()
    assert (drawn(dropout, batch=48, step=7, seed=3) == gates[:48]).all()
    assert (drawn(dropout, batch=64, step=8, seed=3) != gates).any()
    assert (drawn(dropout, batch=64, step=7, seed=4) != gates).any()


def test_a_larger_p_drops_a_superset():
    low, high = drawn(FeatureDropout(0.3), batch=500), drawn(FeatureDropout(0.6), batch=500)
    assert (high <= low).all() and (high < low).any()


@pytest.mark.parametrize("p", [-0.01, 1.01, float("nan"), float("inf"), "0.5", None, True])
def test_a_probability_outside_zero_to_one_is_refused(p):
    with pytest.raises(FlixError, match=r"feature_dropout\.p.*\[0, 1\]") as caught:
        FeatureDropout(p)
    assert repr(p) in str(caught.value)


def test_an_unknown_schedule_is_refused_with_the_nearest_one():
    with pytest.raises(FlixError) as caught:
        FeatureDropout(0.5, schedule="cosin", schedule_steps=3)
    assert "did you mean 'cosine'?" in str(caught.value) and "constant, cosine, linear" in str(caught.value)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_a_rise_takes_at_least_one_step(schedule):
    with pytest.raises(FlixError, match="schedule_steps"):
        FeatureDropout(0.5, schedule=schedule)


def test_nothing_survives_to_be_rescaled_at_p_one():
    with pytest.raises(FlixError, match="rescale"):
        FeatureDropout(1.0, rescale=True)


def test_a_cell_without_a_value_on_an_axis_has_no_ranks_and_no_gate_of_it():
    cells = [Cell("ner", "sw"), Cell("qa", "am", (("domain", "law"),))]
    featurizer = Featurizer(("task", "domain", "language"))
    allocation = RankAllocation({"task": 2, "domain": 3, "language": 1})
    composer = Composer(featurizer, FeatureSpace.of(cells, featurizer), allocation)
    # task=ner 0-1, task=qa 2-3, domain=law 4-6, language=am 7, language=sw 8
    gates = torch.tensor([[0.5, 7.0, 0.25], [1.0, 2.0, 3.0]])
    index, weight = composer.compose(cells, gates)
    assert index.tolist() == [[0, 1, 8, 0, 0, 0], [2, 3, 4, 5, 6, 7]]
    assert weight.tolist() == [[0.5, 0.5, 0.25, 0, 0, 0], [1, 1, 2, 2, 2, 3]]
    assert composer.gated(cells).tolist() == [[True, False, True], [True, True, True]]
    assert composer.active_rank(cells) == 6


def test_a_cell_without_any_feature_composes_to_the_bare_backbone():
    cells = [Cell("qa", "am", (("domain", "law"),)), Cell("ner", "sw")]
    featurizer = Featurizer(("domain",))
    composer = Composer(featurizer, FeatureSpace.of(cells, featurizer), RankAllocation({"domain": 2}))
    assert composer.compose(cells).weight.tolist() == [[1, 1], [0, 0]]
    gated = composer.gated(cells[1:])
    with np.errstate(all="raise"):
        FeatureDropout(0.5, keep_one=True, rescale=True).gates(composer.gate_axes(cells[1:]), 1, 0, 0, gated)
