"""Sampling plans: what they decide, what they let through, what they cost (Q-01, Q-02, Q-05)."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from played_inspections import Plays, simulate

from annotate.inspect.curve import (
    consumer_risk,
    mean_images,
    operate,
    operating_curve,
    producer_risk,
    whatever_ranking,
)
from annotate.inspect.design import Goal, least_mean, tune
from annotate.inspect.plan import (
    PAPER,
    PLANS,
    RANKED,
    SEQUENTIAL,
    Limits,
    Plan,
    as_setting,
    get_plan,
    in_words,
    single,
)
from partlab.errors import ConfigError, NotFoundError, UnknownNameError

EVERY_PLAN = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
STRICT = pytest.mark.parametrize("plan", [SEQUENTIAL, RANKED], ids=["sequential", "ranked"])


def verdicts(text: str) -> list[bool]:
    """`"gb"` -> good, then bad."""
    return [letter == "b" for letter in text]


@pytest.mark.parametrize(("bad", "share"), [(5, 0.92), (10, 0.74), (15, 0.54), (20, 0.36)])
def test_the_papers_operating_curve(bad: int, share: float) -> None:
    """Q-05, to the two digits it states; 30 bad: 14 %."""
    assert operate(PAPER, bad).accept == pytest.approx(share, abs=0.005)
    assert operate(PAPER, 30).accept == pytest.approx(0.14, abs=0.005)


def test_the_papers_plan_is_hypergeometric() -> None:
    """Against the closed formula, and against another draw and count."""
    from math import comb

    for draw, reject_at, bad in product((5, 10, 20), (1, 2, 3), (0, 1, 4, 20, 100)):
        passing = sum(comb(bad, k) * comb(100 - bad, draw - k) for k in range(reject_at))
        found = operate(single(draw, reject_at), bad)
        assert found.accept == pytest.approx(passing / comb(100, draw))
        assert found.images == pytest.approx(draw)


@STRICT
def test_a_stricter_plan_at_the_same_mean_cost(plan: Plan) -> None:
    """A 20 %-bad category passes at most 10 % of the time, a 2 %-bad one fails at most 5 %,
    and the mean cost where half of the categories are of each kind is at most the paper's 10:
    exactly computed, for random images, and for suspects from a ranking of AUROC 0.9."""
    assert consumer_risk(plan) <= 0.10
    assert producer_risk(plan) <= 0.05
    assert mean_images(plan, auroc=0.9) <= mean_images(PAPER) == pytest.approx(10)


@pytest.mark.parametrize("auroc", [0.9, 0.95])
@STRICT
def test_the_same_by_simulation(plan: Plan, auroc: float) -> None:
    """Played out with normal scores, through the code that draws real inspections. The
    bounds are one-sided Clopper-Pearson at 99.9 %."""
    good = simulate(plan, 2, auroc=auroc, trials=2500, seed=7)
    bad = simulate(plan, 20, auroc=auroc, trials=2500, seed=8)
    assert bad.accept_bounds()[0] <= 0.10
    assert 1 - good.accept_bounds()[1] <= 0.05
    if plan is RANKED:  # the sequential plan stands at the edge: only its bounds can be tested
        assert bad.accept_bounds()[1] < 0.10
    assert good.accept_bounds()[0] > 0.92
    assert bad.accept_bounds()[1] < 0.13
    assert (good.images + bad.images) / 2 <= 10.2


@EVERY_PLAN
@pytest.mark.parametrize("bad", [2, 10, 20])
def test_calculation_and_simulation_agree(plan: Plan, bad: int) -> None:
    """With a ranking that knows nothing there is no model to disagree about."""
    exact, played = operate(plan, bad), simulate(plan, bad, trials=1500, seed=bad)
    low, high = played.accept_bounds()
    assert low < exact.accept < high
    assert played.images == pytest.approx(exact.images, abs=0.7)


def test_no_ranking_makes_the_ranked_plan_worse_than_its_promise() -> None:
    """Useless, misleading or perfect: both risks stay within the bounds, by every way the look
    at the suspects can end; and it costs at most one image more than the sequential plan."""
    assert consumer_risk(RANKED, auroc=None) <= 0.10
    assert producer_risk(RANKED, auroc=None) <= 0.05
    for auroc in (1e-6, 0.1, 0.5, 0.8, 0.95, 1 - 1e-6):
        for bad in (2, 20):
            ways = [point.accept for point in whatever_ranking(RANKED, bad)]
            assert min(ways) - 1e-9 <= operate(RANKED, bad, auroc=auroc).accept <= max(ways) + 1e-9
    assert mean_images(RANKED, auroc=0.5) <= mean_images(SEQUENTIAL) + 1


@pytest.mark.parametrize("auroc", [0.02, 0.5])
def test_a_misleading_ranking_by_simulation(auroc: float) -> None:
    """A segmenter that learnt the annotators' mistakes ranks them last."""
    played = simulate(RANKED, 20, auroc=auroc, trials=2500, seed=3)
    low, high = played.accept_bounds()
    assert low < 0.10
    assert high < 0.13


def test_a_better_ranking_finds_bad_categories_sooner() -> None:
    points = [operate(RANKED, 20, auroc=auroc) for auroc in (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)]
    assert [p.images for p in points] == sorted((p.images for p in points), reverse=True)
    assert points[3].accept < 0.08
    assert points[-1].images < 3.7


def test_random_images_alone_cannot_cost_ten_at_two_percent_bad() -> None:
    """The honest limit: whoever holds both risks looks at 11.8 images of a good category at
    least, and at 9.6 where half are good; the sequential plan is within 3 % of either."""
    for share_good in (0.5, 1.0):
        goal = Goal(share_good=share_good)
        least = least_mean(goal)
        assert least == pytest.approx(11.84 if share_good == 1 else 9.64, abs=0.01)
        assert least <= goal.cost(SEQUENTIAL) <= 1.03 * least


def test_the_bound_lies_below_every_plan_that_holds_both_risks() -> None:
    rng = np.random.default_rng(0)
    goal, held = Goal(), 0
    for _ in range(300):
        accept = np.sort(rng.integers([9, 16, 24], [16, 26, 36])).tolist()
        reject = (0, int(rng.integers(0, 4)), int(rng.integers(0, 15)))
        plan = Plan(name="x", reject_at=3, limits=(Limits(accept=accept, reject=reject),))
        if goal.met_by(plan):
            held += 1
            assert goal.cost(plan) >= 9.64
    assert held > 20


@STRICT
def test_the_search_cannot_better_the_plans(plan: Plan) -> None:
    assert tune(plan) == plan


def test_the_search_finds_the_sequential_plan_from_a_bad_start() -> None:
    start = SEQUENTIAL.model_copy(update={"limits": (Limits(accept=(5, 14, 20)),)})
    assert not Goal().met_by(start)
    found = tune(start)
    assert Goal().met_by(found)
    assert Goal().cost(found) <= 1.03 * Goal().cost(SEQUENTIAL)


def test_the_search_for_another_size() -> None:
    goal = Goal(size=50)
    found = tune(SEQUENTIAL, goal)
    assert goal.met_by(found)
    assert goal.cost(found) < goal.cost(SEQUENTIAL)


@STRICT
def test_other_sizes_as_the_guide_states_them(plan: Plan) -> None:
    for size in range(50, 126):
        assert producer_risk(plan, size, auroc=None) < 0.071
        assert consumer_risk(plan, size, auroc=None) < 0.11
    assert producer_risk(RANKED, 150, auroc=None) == 1  # three bad ones are 2 % there


def test_the_papers_ten_are_judged_together() -> None:
    assert PAPER.decide(verdicts("bb")) == "continue"  # all ten are shown at once
    assert PAPER.decide(verdicts("bggggggggg")) == "accept"
    assert PAPER.decide(verdicts("bbgggggggg")) == "reject"
    assert PAPER.decide(verdicts("ggggg"), size=5) == "accept"  # there are no more
    assert PAPER.max_images == 10


@EVERY_PLAN
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_category_whose_every_image_is_bad_never_passes(plan: Plan, size: int) -> None:
    """Also where it has fewer images than the bad ones that reject (Q-02)."""
    assert plan.decide([True] * size, size) == "reject"
    assert plan.decide([False] * size, size) == "accept"
    assert operate(plan, size, size).accept == 0


@pytest.mark.parametrize(
    ("plan", "seen", "decision"),
    [
        ("sequential", "b", "reject"),
        ("sequential", "gb", "reject"),
        ("sequential", "ggb", "continue"),
        ("sequential", "ggb" + "g" * 8 + "b", "reject"),
        ("sequential", "ggb" + "g" * 9 + "b", "continue"),
        ("sequential", "g" * 10, "continue"),
        ("sequential", "g" * 11, "accept"),
        ("sequential", "gggb" + "g" * 16, "accept"),
        ("sequential", "ggb" + "g" * 9 + "bggb", "reject"),
        ("ranked", "bbb", "reject"),
        ("ranked", "bb", "continue"),
        ("ranked", "bbg" + "g" * 10, "continue"),
        ("ranked", "bbg" + "g" * 11, "accept"),
        ("ranked", "bbgb", "reject"),
        ("ranked", "gb", "reject"),
        ("ranked", "g" * 12, "accept"),
        ("ranked", "g" * 12 + "bbb", "accept"),  # later verdicts change nothing
    ],
)
def test_decisions(plan: str, seen: str, decision: str) -> None:
    assert get_plan(plan).decide(verdicts(seen)) == decision


@EVERY_PLAN
@given(data=st.data())
def test_every_inspection_ends(plan: Plan, data: st.DataObject) -> None:
    """Within `max_images`, without showing an image twice, however the verdicts fall; and the
    decision is the one `decide` gives on the same verdicts."""
    size = data.draw(st.integers(1, 60))
    ranked = data.draw(st.booleans())
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    bad = rng.random(size) < data.draw(st.floats(0, 1))
    suspicion = dict(enumerate(rng.random(size).tolist())) if ranked else None
    seen: dict[int, bool] = {}
    while images := plan.next_images(range(size), seen, suspicion):
        assert not set(images) & set(seen)
        seen.update({image: bool(bad[image]) for image in images})
    assert len(seen) <= min(plan.max_images, size)
    assert plan.decide(seen.values(), size) in ("accept", "reject")
    longer = [*seen.values(), True, False, True]
    assert plan.decide(longer, size) == plan.decide(seen.values(), size)


def test_the_ranked_plan_follows_the_ranking_while_it_finds_bad_images() -> None:
    suspicion = {3: 0.9, 8: 0.7, 5: 0.5}
    order = [6, 2, 3, 5, 8, 1, 4, 7, 9, 10]
    assert RANKED.next_images(order, {}, suspicion) == [3]
    assert RANKED.next_images(order, {3: True}, suspicion) == [8]
    assert RANKED.next_images(order, {3: True, 8: False}, suspicion) == [6]
    assert RANKED.next_images(order, {3: False}, suspicion) == [6]
    assert RANKED.next_images(order, {3: True, 8: True, 5: True}, suspicion) == []
    assert RANKED.next_images(order, {}, None) == [6]


def test_plans_by_name_and_by_settings() -> None:
    assert get_plan("paper") is PAPER
    assert get_plan(RANKED) is RANKED
    assert get_plan(RANKED.model_dump()) == RANKED
    with pytest.raises(UnknownNameError, match="sequental") as raised:
        get_plan("sequental")
    assert "sequential" in (raised.value.hint or "")
    with pytest.raises(ConfigError, match="one for each number of bad images"):
        get_plan({"name": "x", "reject_at": 2, "limits": [{"accept": [10]}]})
    with pytest.raises(ConfigError, match="0 to 2 bad suspects"):
        get_plan({**RANKED.model_dump(), "limits": [{"accept": [1, 2, 3]}]})
    with pytest.raises(ConfigError, match="clean_suspects"):
        get_plan({**RANKED.model_dump(), "clean_suspects": 0})
    for limits in (
        {"accept": [10], "reject": [1]},
        {"accept": [0]},
        {"accept": [5], "reject": [-1]},
    ):
        with pytest.raises(ConfigError):
            get_plan({"name": "x", "reject_at": 1, "limits": [limits]})
    with pytest.raises(ConfigError):
        single(0, 2)


@EVERY_PLAN
def test_a_plan_from_a_file(plan: Plan, tmp_path: Path) -> None:
    """Written as a work keeps it: the name of a known plan, the numbers of any other."""
    assert get_plan(as_setting(plan)) == plan
    ours = plan.model_copy(update={"name": "ours"})
    path = tmp_path / "ours.json"
    path.write_text(json.dumps(as_setting(ours)))
    assert get_plan(str(path)) == ours
    path.write_text("[]")
    with pytest.raises(ConfigError, match=r"ours\.json"):
        get_plan(str(path))
    with pytest.raises(NotFoundError):
        get_plan(str(tmp_path / "none.json"))


def test_impossible_questions() -> None:
    for bad, size in ((-1, 100), (101, 100), (0, 0)):
        with pytest.raises(ConfigError):
            operate(PAPER, bad, size)
    with pytest.raises(ConfigError, match="AUROC"):
        operate(RANKED, 2, auroc=1.0)
    with pytest.raises(ConfigError):
        simulate(RANKED, 200)


def test_words_and_curve() -> None:
    assert in_words(SEQUENTIAL)[-1] == (
        "accept after 11 random images with 0 bad, 20 random images with 1 bad, 28 random images "
        "with 2 bad; reject at 1 bad within the first 2; reject at 2 bad within the first 12"
    )
    assert "at most 3, until 1 of them turned out good" in in_words(RANKED)[0]
    assert in_words(PAPER) == [
        "look at 10 random images at once",
        "reject when 2 images are bad",
        "accept after 10 random images with at most 1 bad",
    ]
    assert [point.bad for point in operating_curve(PAPER)] == [0, 2, 5, 10, 15, 20, 30]


def test_words_for_a_category_of_a_few_images() -> None:
    """Nothing is promised that so few images cannot come to."""
    assert in_words(PAPER, 8) == [
        "look at 8 random images at once",
        "reject when 2 images are bad",
        "it has 8 images: accept when all were seen and nothing rejects it",
    ]
    assert in_words(SEQUENTIAL, 12)[2] == (
        "accept after 11 random images with 0 bad; reject at 1 bad within the first 2; "
        "reject at 2 bad within the first 12"
    )
    assert in_words(SEQUENTIAL, 1)[1:3] == [
        "reject as soon as 1 image is bad",
        "reject at 1 bad within the first 1",
    ]
    assert "random images with" not in " ".join(in_words(RANKED, 11))  # 10 are left to draw
    assert [point.bad for point in operating_curve(PAPER, 8)] == [0, 1, 2]


def test_more_suspects_than_images() -> None:
    """The look at them then ends with the last image, and the risks are still told."""
    limits = [{"accept": [5] * (3 - bad)} for bad in range(3)]
    values = {"name": "wary", "reject_at": 3, "suspects": 50, "clean_suspects": 20}
    plan = get_plan(values | {"limits": limits})
    assert [(p.accept, p.images) for p in whatever_ranking(plan, 2, 10)] == [(1.0, 10)]
    assert consumer_risk(plan, 10) == 1.0
    assert {point.accept for point in whatever_ranking(plan, 4, 10)} == {0.0}
    assert not Goal(size=10).met_by(plan)


def test_clopper_pearson() -> None:
    """Textbook values: 0 of 10 and 2 of 10 at 97.5 % one-sided; all and none."""
    assert Plays(10, 0, 0).accept_bounds(0.975) == pytest.approx((0, 0.3085), abs=1e-4)
    assert Plays(10, 2, 0).accept_bounds(0.975) == pytest.approx((0.0252, 0.5561), abs=1e-4)
    assert Plays(10, 10, 0).accept_bounds(0.975) == pytest.approx((0.6915, 1), abs=1e-4)
