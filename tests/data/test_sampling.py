"""Tests of the sampling order: counts of the urn, seeded permutations, and what the global batch of a step holds."""

import time
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flix_lightning.data import sampling
from flix_lightning.data.sampling import GlobalBatches, Urn, batches_within, permuted

PROBABILITIES = np.array([0.5, 0.3, 0.15, 0.05])
SIZES = (7, 20, 50, 3)


# The urn


@pytest.mark.parametrize("max_draws", [sampling.MAX_DRAWS, 12 * 8, 12])  # the last two: urns of 8 windows and of one
def test_counts_before_a_window_are_the_sum_of_all_windows_before_it(monkeypatch, max_draws):
    monkeypatch.setattr(sampling, "MAX_DRAWS", max_draws)
    urn, walked = Urn(PROBABILITIES, 12, seed=3), np.zeros(4, dtype=np.int64)
    for window in range(60):
        before, here = urn.counts(window)
        np.testing.assert_array_equal(before, walked)
        assert here.sum() == 12 and (here >= 0).all()
        walked += here
    fresh_before, fresh_here = Urn(PROBABILITIES, 12, seed=3).counts(59)  # found without walking there
    np.testing.assert_array_equal(fresh_before + fresh_here, walked)


def test_an_emptied_urn_has_given_the_asked_proportions_to_the_last_draw(monkeypatch):
    monkeypatch.setattr(sampling, "MAX_DRAWS", 10 * 16)
    urn = Urn(PROBABILITIES, 10, seed=0)
    for emptied in (1, 2, 5):
        np.testing.assert_array_equal(urn.counts(16 * emptied)[0], emptied * np.array([80, 48, 24, 8]))


@pytest.mark.parametrize("draws", [100, 10_000, 1_000_000])
def test_realised_proportions_converge(draws):
    # Binomial draws would stay within 5 standard deviations; draws without replacement vary less.
    for seed in range(5):
        before, _ = Urn(PROBABILITIES, 10, seed).counts(draws // 10)
        bound = 5 * np.sqrt(draws * PROBABILITIES * (1 - PROBABILITIES))
        assert (abs(before - draws * PROBABILITIES) < bound).all()


def test_windows_vary_as_random_draws_do():
    # A window of 10 from a large urn: variance 10 p (1 - p). Over 1,000 windows the estimate's error is about 5 %.
    urn = Urn(PROBABILITIES, 10, seed=1)
    counts = np.array([urn.counts(window)[1] for window in range(1000)])
    np.testing.assert_allclose(counts.var(axis=0), 10 * PROBABILITIES * (1 - PROBABILITIES), rtol=0.25)


def test_a_cell_of_probability_zero_is_never_drawn():
    before, _ = Urn(np.array([0.0, 1.0, 0.0]), 8, seed=0).counts(1000)
    assert before.tolist() == [0, 8000, 0]


def test_seeds_decide_the_draws():
    def first(seed: int) -> list[list[int]]:
        urn = Urn(PROBABILITIES, 10, seed)
        return [urn.counts(window)[1].tolist() for window in range(8)]

    assert first(0) == first(0) != first(1)


# Seeded permutations


@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_every_place_goes_to_a_place_of_its_own(size, key):
    assert sorted(permuted(np.arange(size), size, key)) == list(range(size))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 15, 16, 17, 255, 256, 257, 1023, 1024, 1025])
def test_sizes_about_the_powers_of_two(size):
    assert sorted(permuted(np.arange(size), size, 0x9E3779B97F4A7C15)) == list(range(size))


def test_a_place_goes_alone_where_it_goes_in_company():
    places = np.array([999, 3, 500])
    whole = permuted(np.arange(1000), 1000, 42)
    np.testing.assert_array_equal(permuted(places, 1000, 42), whole[places])
    assert places.tolist() == [999, 3, 500]  # the caller's array stays as it was


def test_the_key_decides_the_permutation():
    orders = {tuple(permuted(np.arange(50), 50, key)) for key in range(200)}
    assert len(orders) == 200 and tuple(range(50)) not in orders


@pytest.mark.parametrize("size", [3, 7])
def test_over_many_keys_every_place_goes_everywhere_equally_often(size):
    keys = 1500
    counts = np.zeros((size, size))
    for key in range(keys):
        counts[np.arange(size), permuted(np.arange(size), size, key)] += 1
    p = 1 / size
    assert (abs(counts - keys * p) < 5 * np.sqrt(keys * p * (1 - p))).all()


# Global batches


def batches(seed: int = 0, batch_size: int = 8, bucket: int = 1, **options) -> GlobalBatches:
    return GlobalBatches(SIZES, PROBABILITIES, batch_size, seed, bucket, **options)


def length(cell: int, row: int) -> int:
    """Made-up lengths, 5 to 104."""
    return 5 + (row * 37 + cell * 11) % 100


def pairs(draws) -> list[tuple[int, int]]:
    return list(zip(draws.cells.tolist(), draws.rows.tolist()))


@pytest.mark.parametrize("bucket, last", [(1, 200), (4, 1000)])
def test_a_step_is_the_same_asked_directly_and_walked_to(bucket, last):
    walker = batches(bucket=bucket, length=length)
    walked = [pairs(walker[step]) for step in range(last + 1)]
    for step in (last, last - 1, 0, last // 3):
        assert pairs(batches(bucket=bucket, length=length)[step]) == walked[step]
    assert pairs(walker[3]) == walked[3]  # and going back


@pytest.mark.parametrize("bucket", [1, 4])
def test_no_example_comes_again_before_its_cells_pass_has_ended(monkeypatch, bucket):
    monkeypatch.setattr(sampling, "MAX_DRAWS", 600)  # several urns
    data, seen = batches(bucket=bucket, length=length), [np.zeros(size, dtype=int) for size in SIZES]
    for step in range(400):
        for cell, row in pairs(data[step]):
            seen[cell][row] += 1
        if (step + 1) % bucket == 0:  # inside a bucket the order is by length
            assert all(times.max() - times.min() <= 1 for times in seen)
    assert all(times.min() >= 9 for times in seen)  # 3,200 draws: about 480 of the 50 examples of the third cell


def test_every_pass_has_an_order_of_its_own():
    data = GlobalBatches([40], np.array([1.0]), 20, seed=0)  # two steps are one pass
    halves = [frozenset(data[step].rows.tolist()) for step in range(10)]
    assert all(first | second == set(range(40)) for first, second in zip(halves[::2], halves[1::2]))
    assert len(set(halves)) == 10


def test_cells_of_one_size_are_walked_in_different_orders():
    alone = [GlobalBatches([40, 40], np.array(p), 40, seed=0)[0].rows.tolist() for p in ([1.0, 0.0], [0.0, 1.0])]
    assert sorted(alone[0]) == sorted(alone[1]) and alone[0] != alone[1]


def test_seeds_differ():
    assert pairs(batches(seed=0)[5]) == pairs(batches(seed=0)[5]) != pairs(batches(seed=1)[5])


@pytest.mark.parametrize("bucket, steps", [(1, 7), (4, 0), (4, 8), (4, 11)])
def test_drawn_counts_the_cells_of_the_steps_before(bucket, steps):
    data = batches(bucket=bucket, length=length)
    walked = Counter(cell for step in range(steps) for cell, _ in pairs(data[step]))
    assert data.drawn(steps).tolist() == [walked[cell] for cell in range(4)]


def test_a_bucket_decides_the_order_only_never_what_is_drawn():
    """Whatever the lengths, the steps of a bucket hold the same examples."""
    sorted_, flat = batches(bucket=8, length=length), batches(bucket=8, length=lambda cell, row: 1)
    for window in (0, 5):
        steps = range(8 * window, 8 * window + 8)
        held = [Counter(pair for step in steps for pair in pairs(data[step])) for data in (sorted_, flat)]
        assert held[0] == held[1] and held[0].total() == 64
        assert [pairs(sorted_[step]) for step in steps] != [pairs(flat[step]) for step in steps]


def padding(data: GlobalBatches, steps: int) -> float:
    """The share of padding in batches as wide as their longest row."""
    lengths = [[length(*pair) for pair in pairs(data[step])] for step in range(steps)]
    return 1 - sum(map(sum, lengths)) / sum(max(row) * len(row) for row in lengths)


def test_bucketing_saves_padding():
    # Uniform lengths of 5 to 104, 16 a batch: without sorting the longest is about 98, the mean 54.5: 44 % padding.
    # In a bucket of 16 batches one spans about 6 lengths: 3 of 54.5 wasted on average.
    plain, sorted_ = (GlobalBatches([100] * 4, np.full(4, 0.25), 16, 0, bucket, length) for bucket in (1, 16))
    assert padding(plain, 64) > 0.35
    assert padding(sorted_, 64) < 0.1


def test_short_batches_do_not_always_come_first():
    data = batches(bucket=8, length=length)
    means = np.array([[length(*pair) for pair in pairs(data[step])] for step in range(80)]).mean(axis=1).reshape(10, 8)
    assert len({tuple(row.argsort()) for row in means}) > 5


def test_a_far_step_of_a_thousand_cells_is_found_as_quickly_as_the_first():
    weights = np.random.default_rng(0).random(1000)

    def seconds(step: int) -> float:
        data = GlobalBatches([1000] * 1000, weights / weights.sum(), 512, 0)
        began = time.process_time()
        assert len(data[step].cells) == 512
        return time.process_time() - began

    assert min(seconds(100_000) for _ in range(3)) < 10 * min(seconds(0) for _ in range(3))


# --- chunks ---


def test_a_chunked_cell_is_walked_chunk_by_chunk_each_in_an_order_of_its_own():
    batches = GlobalBatches([10], np.array([1.0]), batch_size=1, seed=3, chunk=4)
    rows = np.concatenate([batches[step].rows for step in range(20)])
    for first in (0, 10):
        chunks = [rows[first : first + 4], rows[first + 4 : first + 8], rows[first + 8 : first + 10]]
        assert [sorted(chunk) for chunk in chunks] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert rows[:4].tolist() != rows[4:8].tolist() != (rows[4:8] - 4).tolist()
    assert rows[:10].tolist() != rows[10:].tolist(), "the next pass is in another order"


def test_a_chunk_as_large_as_the_cell_changes_nothing():
    for chunk in (7, 100):
        whole, chunked = (GlobalBatches([7, 3], np.array([0.6, 0.4]), 5, 1, chunk=c) for c in (None, chunk))
        for step in range(20):
            assert all(np.array_equal(a, b) for a, b in zip(whole[step], chunked[step]))


def test_a_chunked_batch_is_a_function_of_its_step():
    make = partial(GlobalBatches, [23, 11], np.array([0.7, 0.3]), 4, 5, bucket=3, length=lambda c, r: r % 5, chunk=5)
    walked = make()
    batches = [walked[step] for step in range(30)]
    for step in (29, 7, 0, 13):
        assert all(np.array_equal(a, b) for a, b in zip(make()[step], batches[step]))


@pytest.mark.parametrize(
    ("rows", "tokens", "wanted"),
    [
        (2, None, [[3, 3], [4, 9], [2]]),
        (9, None, [[3, 3, 4, 9, 2]]),
        (9, 12, [[3, 3, 4], [9], [2]]),  # 3 rows of 4 fill it; 2 rows of 9 are too many, on either side
        (2, 12, [[3, 3], [4], [9], [2]]),
        (9, 1, [[3], [3], [4], [9], [2]]),  # too long for any budget: alone
    ],
)
def test_batches_within_a_budget(rows, tokens, wanted):
    lengths = [(3,), (3,), (4,), (9,), (2,)]
    assert [[n for (n,) in lengths[cut]] for cut in batches_within(lengths, rows, tokens)] == wanted
    assert batches_within([], rows, tokens) == []


def test_prompts_and_answers_are_padded_apart():
    lengths = [(5, 1), (1, 5)]  # 2 * 6 tokens in them, 2 * 10 when padded
    assert len(batches_within(lengths, 9, 19)) == 2 and len(batches_within(lengths, 9, 20)) == 1
