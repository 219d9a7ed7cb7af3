"""Intervals, corrections and matched robustness, against theory and against simulation."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from train.statistics import (
    Interval,
    bootstrap,
    clean_at,
    difference_interval,
    holm,
    matched_gains,
    student,
    verdict,
)

shares = st.floats(0, 1)


def width(found: Interval) -> float:
    return (found.high - found.low) / 2


def test_the_interval_is_that_of_the_normal_law_where_there_are_many_images() -> None:
    right = np.arange(10_000) % 10 < 4
    found = bootstrap(right)
    assert found.value == pytest.approx(0.4)
    assert width(found) == pytest.approx(1.96 * np.sqrt(0.24 / 10_000), rel=0.06)
    assert found == bootstrap(np.random.default_rng(5).permutation(right)), "order says nothing"
    assert found != bootstrap(right, seed=1)


def test_drawing_counts_of_kinds_is_drawing_images() -> None:
    rng = np.random.default_rng(0)
    outcomes = rng.integers(0, 5, 300) / 4
    plain = outcomes[rng.integers(0, 300, (20_000, 300))].mean(1)
    found = bootstrap(outcomes, resamples=20_000)
    assert [found.low, found.high] == pytest.approx(np.percentile(plain, [2.5, 97.5]), abs=2e-3)


def coverage(runs: int, n: int, truth: float) -> float:
    rng = np.random.default_rng(7)
    held = [
        (found := bootstrap(rng.random(n) < truth, seed=k)).low <= truth <= found.high
        for k in range(runs)
    ]
    return float(np.mean(held))


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    assert coverage(200, 1_000, 0.4) == pytest.approx(0.95, abs=0.04)
    assert coverage(200, 200, 0.01) >= 0.93, "few images right"


@pytest.mark.slow
@pytest.mark.parametrize(("n", "truth"), [(1_000, 0.4), (1_000, 0.7), (5_000, 0.2)])
def test_ninety_five_of_a_hundred_in_two_thousand_simulations(n: int, truth: float) -> None:
    assert coverage(2_000, n, truth) == pytest.approx(0.95, abs=0.01)


def test_none_of_two_hundred_right_is_not_a_certain_nothing() -> None:
    found = bootstrap(np.zeros(200))
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 200))
    same = difference_interval(np.ones(50, bool), np.ones(50, bool))
    assert same.low == pytest.approx(-same.high)
    assert same.high > 0.05


def nested(n: int, levels: tuple[float, ...]) -> NDArray[np.bool_]:
    """Outcomes under threats of which each breaks all that the milder ones break."""
    hard = np.random.default_rng(0).random(n)
    return np.stack([hard < level for level in levels])


def test_the_average_of_nested_outcomes_is_less_certain_than_of_independent_ones() -> None:
    """The published ±0.38 of 10,000 images takes them for independent; it is ±0.61 (E-05)."""
    mpm = nested(10_000, (0.391, 0.136, 0.062, 0.243))
    found = bootstrap(mpm.mean(0))
    assert found.value == pytest.approx(0.208, abs=0.01)
    assert 100 * width(found) == pytest.approx(0.61, abs=0.04)
    apart = np.stack([np.random.default_rng(k).permutation(row) for k, row in enumerate(mpm)])
    assert 100 * width(bootstrap(apart.mean(0))) == pytest.approx(0.38, abs=0.03)


def test_seeds_that_differ_widen_the_interval_and_equal_ones_do_not() -> None:
    rng = np.random.default_rng(1)
    one = rng.random(2_000) < 0.5
    same = bootstrap(np.stack([one] * 5))
    assert width(same) == pytest.approx(width(bootstrap(one)), rel=0.08)
    unlike = np.stack([rng.random(2_000) < share for share in (0.4, 0.45, 0.5, 0.55, 0.6)])
    assert width(bootstrap(unlike)) > 2 * width(same)
    four = np.stack([[row, row] for row in unlike])  # (seeds, threats, n)
    assert bootstrap(four.mean(-2)) == bootstrap(unlike)


def test_ten_thousand_images_take_milliseconds() -> None:
    right = np.random.default_rng(0).random((5, 10_000)) < 0.4
    began = time.process_time()
    bootstrap(right)
    assert time.process_time() - began < 0.5


def test_no_images_no_interval() -> None:
    with pytest.raises(ValueError, match="no outcomes"):
        bootstrap(np.zeros(0))


def test_the_interval_of_a_difference_is_paired() -> None:
    rng = np.random.default_rng(2)
    first = rng.random(1_000) < 0.5
    second = first | (rng.random(1_000) < 0.04)  # never loses an image
    found = difference_interval(first, second)
    assert found.value == pytest.approx(second.mean() - first.mean())
    assert found.low > 0
    assert width(found) < width(bootstrap(first)) / 2


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(shares, min_size=1, max_size=12))
def test_holm_keeps_order_and_lies_between_one_test_and_bonferroni(p: list[float]) -> None:
    found = holm(p)
    assert np.array_equal(np.sort(found), np.asarray(found)[np.argsort(p, kind="stable")])
    assert all(a <= b <= min(1, a * len(p)) + 1e-12 for a, b in zip(p, found, strict=True))


def test_student_over_seeds() -> None:
    assert student([0.03]) is None
    assert student([0.0, 0.0]) == 1.0
    assert student([0.55 - 0.5, 0.6 - 0.55]) == 0.5  # equal but for how numbers are stored
    assert student([0.02, 0.02]) == 0.5  # signs alone
    assert student([1.0, 2.0, 3.0]) == pytest.approx(0.0742, abs=1e-4)  # t = √12, 2 degrees


def test_what_a_p_says() -> None:
    assert verdict(0.051) == "no evidence (0.05)"
    assert verdict(0.05) == "0.05"
    assert verdict(0.00012) == "0.0001"
    assert verdict(None) == "one seed"


def test_clean_accuracy_at_equal_robustness() -> None:
    baseline = [(0.2, 0.8), (0.4, 0.6), (0.3, 0.5)]  # the last is beaten at both
    assert clean_at(baseline, 0.3) == pytest.approx(0.7)
    assert clean_at(baseline, 0.41) is None
    assert clean_at(baseline, 0.19) is None
    assert clean_at([], 0.3) is None
    ours = [(0.3, 0.85), (0.5, 0.65)]
    found = matched_gains(baseline, ours)
    assert found == [(0.3, pytest.approx(0.15)), (0.4, pytest.approx(0.15))]
    assert matched_gains(baseline, [(0.6, 0.5)]) == []


@given(st.lists(st.tuples(shares, shares), min_size=1, max_size=8))
def test_a_family_gains_nothing_over_itself(models: list[tuple[float, float]]) -> None:
    gains = matched_gains(models, models)
    assert gains
    assert all(gain == 0 for _, gain in gains)


def test_one_image_of_a_thousand_is_no_difference() -> None:
    """McNemar says p = 1 of it, so its interval may not leave 0 out."""
    first = np.arange(1000) < 700
    second = first.copy()
    second[700] = True
    found = difference_interval(first, second)
    assert found.low <= 0 < found.value
    assert difference_interval(second, first).high >= 0


def test_seeds_that_agree_are_as_one() -> None:
    """None of 200 images, three times: not a certainty of 0."""
    assert bootstrap(np.zeros((3, 200))) == bootstrap(np.zeros(200))
    assert bootstrap(np.zeros((3, 200))).high > 0.01
