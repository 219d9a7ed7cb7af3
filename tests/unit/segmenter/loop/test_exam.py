"""The exam: what is better beyond luck, what is not, and what nobody can tell."""

import itertools

import numpy as np
import pytest

from partlab.paired import sign_flip
from segmenter.loop.exam import FEWEST, judge


def exam(*scores: float, part: str = "ram:head") -> dict[int, dict[str, float]]:
    return {number: {part: score} for number, score in enumerate(scores)}


@pytest.mark.parametrize("values", [[0.1, 0.3, -0.2, 0.4], [0.2] * 6, [0.5, -0.5, 0.1], [1.0, 0.2]])
def test_sign_flip_is_the_share_of_all_signs(values: list[float]) -> None:
    means = [
        np.mean(np.multiply(s, values)) for s in itertools.product((1, -1), repeat=len(values))
    ]
    share = np.mean(np.abs(means) >= abs(np.mean(values)) - 1e-12)
    assert sign_flip(values) == pytest.approx(share)


def test_sign_flip_of_many_is_near_and_the_same_again() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.3, 60).tolist()
    assert sign_flip(values) == sign_flip(values)
    assert 0.001 < sign_flip(values) < 0.05


def test_sign_flip_of_nothing_is_no_evidence() -> None:
    assert [sign_flip([]), sign_flip([0.3]), sign_flip([0.0, 0.0])] == [1.0, 1.0, 1.0]


def test_it_finds_nothing_where_there_is_nothing() -> None:
    """Of two equal segmenters one in twenty comparisons at most seems to show a difference."""
    rng = np.random.default_rng(0)
    found = [sign_flip(rng.normal(0, 1, 8).tolist()) <= 0.05 for _ in range(200)]
    assert np.mean(found) < 0.09


def test_better_in_every_picture_is_served() -> None:
    result = judge(exam(*[0.5] * 8), exam(*[0.6, 0.7, 0.8, 0.6, 0.6, 0.9, 0.7, 0.6]))
    assert result.passed
    assert result.why.startswith(
        "it is better: mean IoU 68.8 against 50.0 percent on 8 pictures, p = 0.0078"
    )


def test_worse_and_no_better_are_kept_aside() -> None:
    worse = judge(exam(*[0.7] * 8), exam(*[0.5] * 8))
    assert not worse.passed
    assert "it is worse" in worse.why
    same = judge(exam(*[0.5] * 8), exam(0.6, 0.4, 0.6, 0.4, 0.6, 0.4, 0.7, 0.4))
    assert not same.passed
    assert "not better beyond luck" in same.why


def test_too_few_pictures_are_said() -> None:
    few = judge(exam(*[0.1] * (FEWEST - 1)), exam(*[0.9] * (FEWEST - 1)), seen=3)
    assert not few.passed
    assert few.why == (
        "too few pictures are held out to tell: 5, and 6 are needed "
        "(3 more were learnt from before)"
    )
    assert not judge({}, {}).passed


def test_a_new_part_does_not_make_up_for_what_was_forgotten() -> None:
    old = {n: {"ram:head": 0.9, "ram:tail": 0.0} for n in range(10)}
    new = {n: {"ram:head": 0.6, "ram:tail": 0.9} for n in range(10)}
    assert judge(old, new).passed
    found = judge(old, new, known=["ram:head"])
    assert not found.passed
    assert "worse at the parts that were known before: mean IoU 60.0 against 90.0" in found.why


def test_an_invented_part_counts_against_whoever_invents_it() -> None:
    old = {n: {"ram:head": 0.8} for n in range(8)}
    new = {n: {"ram:head": 0.8, "ram:horn": 0.0} for n in range(8)}
    assert judge(old, new).compared.worse
