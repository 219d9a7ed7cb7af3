"""Which images are drawn, and in which order they come to the inspector (Q-01)."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate.inspect.plan import PAPER, PLANS, RANKED, SEQUENTIAL
from annotate.inspect.sampling import Sample, random_order, round_seed

IMAGES = range(1, 101)


def test_the_draw_is_known_for_ever() -> None:
    """The same seed gives the same images on every machine and with every library."""
    assert round_seed(0, "ram", 1) == 207753683
    assert random_order(7, IMAGES)[:5] == random_order(7, reversed(IMAGES))[:5]
    assert random_order(7, IMAGES)[:5] == [77, 4, 71, 89, 7]


def test_each_round_category_and_work_has_its_own_draw() -> None:
    """Q-02: a fresh sample each round."""
    draws = {
        tuple(Sample.draw(PAPER, round_seed(*key), IMAGES).images)
        for key in ((0, "ram", 1), (0, "ram", 2), (0, "cat", 1), (1, "ram", 1))
    }
    assert len(draws) == 4
    assert all(len(set(draw)) == 10 for draw in draws)


def test_every_image_is_drawn_as_often() -> None:
    """3,000 draws of 10 of 100: each image about 300 times (5 sigma)."""
    seeds = (round_seed(0, "ram", n) for n in range(3000))
    hits = Counter(i for seed in seeds for i in Sample.draw(PAPER, seed, IMAGES).images)
    assert set(hits) == set(IMAGES)
    assert all(abs(count - 300) < 5 * 17 for count in hits.values())


def test_the_paper_shows_ten_at_once_and_counts_them_in_any_order() -> None:
    sample = Sample.draw(PAPER, 1, IMAGES)
    assert sample.due({}) == sample.images
    first = sample.images[9]
    assert sample.due({first: True}) == sample.images[:9]
    assert sample.decide(dict.fromkeys(sample.images[:9], False)) == "continue"
    assert sample.decide(dict.fromkeys(sample.images, False)) == "accept"
    two = {image: position in (2, 7) for position, image in enumerate(sample.images)}
    assert sample.decide(two) == "reject"


def test_a_sequential_plan_goes_by_the_order_of_the_draw() -> None:
    sample = Sample.draw(SEQUENTIAL, 1, IMAGES)
    assert sample.due({}) == sample.images[:1]
    assert sample.inspected({sample.images[3]: True}) == {}  # not its turn: it cannot count
    bad = dict.fromkeys(sample.images[:11], False)
    assert sample.decide(bad) == "accept"
    assert sample.due(bad) == []


def test_a_ranked_plan_begins_with_the_most_suspicious() -> None:
    scores = {image: image / 100 for image in IMAGES}
    sample = Sample.draw(RANKED, 1, IMAGES, scores)
    assert list(sample.suspects) == [100, 99, 98]
    assert sample.due({}) == [100]
    assert sample.due({100: True}) == [99]
    then = sample.due({100: True, 99: False})  # one clean suspect: random from here
    assert then == [next(i for i in sample.order if i not in (100, 99))]


def test_a_small_category_is_looked_at_whole() -> None:
    sample = Sample.draw(PAPER, 1, [5, 6, 7])
    assert sorted(sample.images) == [5, 6, 7]
    assert sample.decide(dict.fromkeys([5, 6, 7], False)) == "accept"
    assert sample.decide({5: True, 6: True, 7: False}) == "reject"


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
@given(seed=st.integers(0, 2**31 - 1), bad=st.sets(st.sampled_from(IMAGES), max_size=60))
def test_nothing_outside_the_draw_is_ever_asked_for(plan: object, seed: int, bad: set[int]) -> None:
    """What is rendered at the start is enough, whatever is found."""
    scores = {image: hash((seed, image)) % 997 / 997 for image in IMAGES}
    sample = Sample.draw(plan, seed, IMAGES, scores)  # type: ignore[arg-type]
    verdicts: dict[int, bool] = {}
    while due := sample.due(verdicts):
        assert set(due) <= set(sample.images)
        verdicts[due[0]] = due[0] in bad
    assert sample.decide(verdicts) != "continue"
