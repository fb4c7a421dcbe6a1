"""Tests of rank allocation and of the ranks of matched LoRA baselines, against sums done by hand."""

import pytest

from flix_lightning.adapters.features import Feature, FeatureSpace, Featurizer
from flix_lightning.adapters.ranks import RankAllocation, compute_matched_rank, param_matched_rank, total_rank
from flix_lightning.common.errors import FlixError
from flix_lightning.data.cells import SHARED, Cell
from tests.toy import ALLOCATION, CELLS, FLIX, RANKS


def test_a_feature_has_the_rank_of_its_axis_unless_overridden():
    assert {str(feature): ALLOCATION[feature] for feature in FeatureSpace.of(CELLS, FLIX)} == RANKS
    assert total_rank(ALLOCATION, [Feature("task", "qa"), Feature("language", "yo")]) == 7
    assert total_rank(ALLOCATION, []) == 0


@pytest.mark.parametrize(
    "overrides, cells, compute, params",
    [
        ({}, CELLS, 4 + 2, 3 * 4 + 4 * 2),  # the paper's ranks: 4 a task, 2 a language
        ({"language=yo": 5}, CELLS, 4 + 5, 3 * 4 + 3 * 2 + 5),
        ({"language=yo": 5, "task=qa": 1}, CELLS, 4 + 5, 2 * 4 + 1 + 3 * 2 + 5),
        ({"task=qa": 9}, [Cell("qa", "sw"), Cell("ner", "yo"), Cell("ner", "sw")], 9 + 2, 9 + 4 + 2 * 2),
        ({}, [Cell("qa", "sw")], 6, 6),  # one cell alone: FLix is a LoRA of rank 6
        ({}, [Cell("qa", language) for language in ("am", "bn", "sw")], 6, 4 + 3 * 2),
    ],
)
def test_matched_ranks_by_hand(overrides, cells, compute, params):
    allocation = RankAllocation({"task": 4, "language": 2}, overrides)
    assert compute_matched_rank(allocation, FLIX, cells) == compute
    assert param_matched_rank(allocation, FLIX, cells) == params


def test_the_largest_sum_is_over_cells_not_over_axes():
    # qa (9) and yo (5) never meet in training, so nobody pays for 14.
    allocation = RankAllocation({"task": 1, "language": 1}, {"task=qa": 9, "language=yo": 5})
    assert compute_matched_rank(allocation, FLIX, [Cell("qa", "sw"), Cell("ner", "yo")]) == 10


def test_one_always_on_feature_is_matched_to_itself():
    allocation, lora = RankAllocation({SHARED: 6}), Featurizer((SHARED,))
    assert compute_matched_rank(allocation, lora, CELLS) == param_matched_rank(allocation, lora, CELLS) == 6


@pytest.mark.parametrize("rank", [0, -1, 2.0, 1.5, "2", None, True, False])
def test_a_rank_is_a_whole_number_of_at_least_one(rank):
    with pytest.raises(FlixError, match="rank.task.*at least 1") as caught:
        RankAllocation({"task": rank})
    assert repr(rank) in str(caught.value)
    with pytest.raises(FlixError, match="rank.language=sw.*at least 1"):
        RankAllocation({"task": 1, "language": 1}, {"language=sw": rank})


def test_an_axis_without_a_rank_is_refused_with_the_nearest_one():
    with pytest.raises(FlixError) as caught:
        RankAllocation({"task": 4, "langauge": 2})[Feature("language", "sw")]
    assert "'language'" in str(caught.value) and "did you mean 'langauge'?" in str(caught.value)


def test_a_malformed_override_is_refused():
    with pytest.raises(FlixError, match="axis=value"):
        RankAllocation({"task": 4}, {"task": 2})


def test_an_override_for_an_unknown_feature_is_refused_with_the_nearest_one():
    allocation = RankAllocation({"task": 4, "language": 2}, {"task=parser": 3})
    with pytest.raises(FlixError) as caught:
        allocation.check(FeatureSpace.of(CELLS, FLIX))
    assert "'task=parser'" in str(caught.value) and "did you mean 'task=parse'?" in str(caught.value)


def test_an_override_with_a_misspelt_axis_is_refused():
    allocation = RankAllocation({"task": 4, "language": 2}, {"langauge=sw": 3})
    with pytest.raises(FlixError, match="langauge"):
        allocation.check(FeatureSpace.of(CELLS, FLIX))


def test_an_override_of_an_axis_that_a_baseline_does_not_use_is_no_error():
    RankAllocation({"task": 4, SHARED: 6}, {"task=qa": 3}).check(FeatureSpace.of(CELLS, Featurizer((SHARED,))))


@pytest.mark.parametrize("matched", [compute_matched_rank, param_matched_rank])
def test_no_training_cell_has_no_matched_rank(matched):
    with pytest.raises(FlixError):
        matched(ALLOCATION, FLIX, [])
