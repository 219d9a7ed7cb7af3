"""Images that annotators refused: two inspectors, a third, back to the annotator (M-07, Q-04)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import answer, hand_out, pull, start
from farm_drawn import drawn, paint, submit_drawn

from annotate.inspect.discards import find_cases, review_discard
from annotate.inspect.effort import measure_effort
from annotate.inspect.refusals import PUBLISHED, refusals, total, worries
from annotate.inspect.service import Inspection
from annotate.inspect.standing import status
from annotate.work import Work, final_discards
from app.cli._inspect_rounds import case_lines
from partlab.errors import NotFoundError, StateError, UnknownNameError

INA, BEN, CAT = "ina@x.org", "ben@x.org", "cat@x.org"


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    """Rams of which 2 and 3 are refused."""
    with start(tmp_path / "work") as made:
        paint(made)
        hand_out(made)
        submit_drawn(made, discards=(2, 3))
        yield made


@pytest.fixture
def inspection(work: Work) -> Inspection:
    return Inspection(work)


def test_a_discard_is_final_with_two_different_inspectors(inspection: Inspection) -> None:
    case = review_discard(inspection.work, "ram", 2, True, INA, note="nothing to see")
    assert (case.state, case.open, case.disputed) == ("waiting", True, False)
    with pytest.raises(StateError, match="already reviewed"):
        review_discard(inspection.work, "ram", 2, True, " Ina@X.org")
    case = review_discard(inspection.work, "ram", "ram/1.jpg", True, BEN)
    assert (case.state, case.open) == ("final", False)
    assert [(r.inspector, r.uphold, r.note) for r in case.reviews] == [
        (INA, True, "nothing to see"),
        (BEN, True, None),
    ]
    with pytest.raises(StateError, match="closed"):
        review_discard(inspection.work, "ram", 2, False, CAT)


def test_who_discarded_it_does_not_review_it(inspection: Inspection) -> None:
    with pytest.raises(StateError, match="two others must review it"):
        review_discard(inspection.work, "ram", 2, True, "ANN@x.org")


def test_who_draws_another_category_reviews_only_where_that_is_said(
    work: Work, inspection: Inspection
) -> None:
    hand_out(work, "schöner Hammer", "ben@x.org")
    with pytest.raises(StateError, match="draws schöner Hammer in this work") as caught:
        review_discard(work, "ram", 2, True, " Ben@X.org")
    assert "--anyone" in (caught.value.hint or "")
    assert find_cases(work, "ram")[0].reviews == ()
    review_discard(work, "ram", 2, True, INA)
    assert review_discard(work, "ram", 2, True, BEN, anyone=True).state == "final"
    with pytest.raises(StateError, match="two others must review it"):
        review_discard(work, "ram", 3, True, "ann@x.org", anyone=True)


def test_a_third_decides_a_dispute(inspection: Inspection) -> None:
    review_discard(inspection.work, "ram", 2, True, INA)
    case = review_discard(inspection.work, "ram", 2, False, BEN)
    assert (case.state, case.disputed) == ("waiting", True)
    assert review_discard(inspection.work, "ram", 2, True, CAT).state == "final"


def test_nothing_is_sampled_while_discards_wait(inspection: Inspection) -> None:
    with pytest.raises(StateError, match="2 discarded images wait for review"):
        inspection.sample("ram", INA)
    assert status(inspection.work, ["ram"])[0].discards_waiting == 2


def test_a_restored_image_goes_back_and_the_refusal_stays_in_the_record(
    inspection: Inspection, work: Work
) -> None:
    for who in (INA, BEN):
        review_discard(inspection.work, "ram", 2, False, who)
        review_discard(inspection.work, "ram", 3, True, who)
    assert work.batch("ram").state == "annotating"
    assert [c.state for c in find_cases(inspection.work, "ram")] == ["restored", "final"]
    pull(work, [drawn(work, 2)])
    work.record("submitted", who="x", object="ram", data={"manifest_hash": "n"})
    case = find_cases(inspection.work, "ram")[0]
    assert (case.state, case.drawn, case.reason, case.annotator) == (
        "restored",
        True,
        "low quality",
        "ann@x.org",
    )
    desk = inspection.sample("ram", INA)
    assert 3 not in {card.image_id for card in desk.cards}  # a final discard is not inspected


def test_refusals_are_counted_for_each_annotator(inspection: Inspection, work: Work) -> None:
    for who in (INA, BEN):
        review_discard(inspection.work, "ram", 2, False, who)
    (row,) = refusals(work)
    assert (row.object, row.annotator, row.looked_at, row.refused) == ("ram", "ann@x.org", 12, 2)
    assert (row.waiting, row.final, row.restored) == (1, 0, 1)
    assert (row.rate, row.restored_share) == (2 / 12, 1.0)
    assert row.reasons == {"low quality": 2}
    assert total([row, row]).refused == 4


def test_the_published_rate_is_that_of_the_paper() -> None:
    """Q-05: 37,505 refused against 91,000 kept."""
    assert PUBLISHED["rate"] == pytest.approx(0.29, abs=0.005)


def test_refusing_hard_images_shows(tmp_path: Path) -> None:
    """Six of twelve refused, four of them wrongly."""
    with start(tmp_path / "work") as work:
        hand_out(work)
        submit_drawn(work, discards=range(1, 7))
        inspection = Inspection(work)
        assert len(worries(refusals(work))) == 1  # the rate
        for image in range(1, 6):
            for who in (INA, BEN):
                review_discard(inspection.work, "ram", image, image == 1, who)
        signs = worries(refusals(work))
    assert signs[0] == "inspectors restored 80% of the 5 settled refusals of ann@x.org"
    assert signs[1].startswith("ann@x.org refused 50% of 12 images of ram")


def test_few_refusals_are_no_sign(inspection: Inspection, work: Work) -> None:
    for who in (INA, BEN):
        review_discard(inspection.work, "ram", 2, False, who)
    assert worries(refusals(work)) == []


def test_a_few_restored_of_many_are_no_sign(tmp_path: Path) -> None:
    """One of five: no more than people may differ about."""
    with start(tmp_path / "work") as work:
        hand_out(work)
        submit_drawn(work, discards=range(1, 6))
        inspection = Inspection(work)
        for image in range(1, 6):
            for who in (INA, BEN):
                review_discard(inspection.work, "ram", image, image > 1, who)
        (row,) = refusals(work)
        assert (row.restored, row.final) == (1, 4)
        assert [sign for sign in worries([row]) if "restored" in sign] == []


def test_what_cannot_be_read_is_not_looked_at(tmp_path: Path) -> None:
    """The rate is of answers, drawn or refused."""
    with start(tmp_path / "work") as work:
        hand_out(work)
        kinds = {1: "masks", 2: "discard", 3: "broken"}
        pull(work, [answer(work, image, kind) for image, kind in kinds.items()])
        (row,) = refusals(work)
    assert (row.looked_at, row.refused, row.rate) == (2, 1, 0.5)


def test_unknown_names(inspection: Inspection) -> None:
    with pytest.raises(NotFoundError, match="no image 7 of ram is discarded"):
        review_discard(inspection.work, "ram", 7, True, INA)
    with pytest.raises(UnknownNameError, match="object category"):
        find_cases(inspection.work, "rma")


def test_a_refusal_of_an_earlier_round_is_kept(inspection: Inspection, work: Work) -> None:
    """M-07: never deleted, also when the category is drawn again."""
    for image in (2, 3):
        for who in (INA, BEN):
            review_discard(inspection.work, "ram", image, True, who)
    work.record("abandoned", who="lead", object="ram", data={"reason": "left"})
    hand_out(work, round=2)
    pull(work, [answer(work, 2, "discard")])
    states = [
        (case.round, case.image_id, case.state) for case in find_cases(inspection.work, "ram")
    ]
    assert states == [(1, 2, "final"), (1, 3, "final"), (2, 2, "waiting")]


def redraw(work: Work, image: int, at: str, reason: str | None = None) -> None:
    """The annotator changes their mind: masks, or a refusal for another reason."""
    changed = drawn(work, image) if reason is None else answer(work, image, "discard")
    changed.updated_at, changed.reason = at, reason
    pull(work, [changed])


def submit(work: Work) -> None:
    work.record("submitted", who="p", object="ram", data={"manifest_hash": "m"})


def test_a_refusal_that_was_taken_back_waits_for_nobody(inspection: Inspection, work: Work) -> None:
    review_discard(inspection.work, "ram", 2, True, INA)
    for who in (INA, BEN):
        review_discard(inspection.work, "ram", 3, True, who)
    redraw(work, 2, "2026-01-02T00:00:00Z")
    redraw(work, 3, "2026-01-02T00:00:00Z")
    submit(work)
    cases = [(c.image_id, c.state, c.open, c.drawn) for c in find_cases(inspection.work, "ram")]
    assert cases == [(2, "withdrawn", False, True), (3, "withdrawn", False, True)]
    effort = measure_effort(work)
    assert (effort.discards_waiting, effort.discards_final) == (0, 0)
    assert status(inspection.work, ["ram"])[0].discards_waiting == 0
    assert case_lines(find_cases(inspection.work, "ram"))[0].endswith(
        "(withdrawn; ina@x.org: uphold)"
    )
    assert len(inspection.sample("ram", INA).due) == 10


def test_a_refusal_for_another_reason_is_reviewed_afresh(
    inspection: Inspection, work: Work
) -> None:
    """M-07, Q-04: two upheld what was then taken back, and is refused anew."""
    for image in (2, 3):
        for who in (INA, BEN):
            review_discard(inspection.work, "ram", image, True, who)
    redraw(work, 2, "2026-01-02T00:00:00Z")
    redraw(work, 2, "2026-01-03T00:00:00Z", "object too small")
    submit(work)
    case = find_cases(inspection.work, "ram")[0]
    assert (case.state, case.reason, case.reviews) == ("waiting", "object too small", ())
    with pytest.raises(StateError, match="1 discarded image waits"):
        inspection.sample("ram", INA)
    with work.read() as session:
        assert final_discards(session, "ram") == {3}
    for who in (INA, BEN):
        case = review_discard(inspection.work, "ram", 2, False, who)
    assert (case.state, [r.uphold for r in case.reviews]) == ("restored", [False, False])
    assert work.batch("ram").state == "annotating"


def test_a_refusal_saved_again_keeps_what_inspectors_said(
    inspection: Inspection, work: Work
) -> None:
    """Q-04: an annotator cannot be rid of a word by pressing Update."""
    review_discard(inspection.work, "ram", 2, False, INA)
    redraw(work, 2, "2026-01-02T00:00:00Z", "low quality")
    case = review_discard(inspection.work, "ram", 2, False, BEN)
    assert (case.state, len(case.reviews)) == ("restored", 2)


def test_a_word_on_a_reason_that_has_changed_is_not_taken(
    inspection: Inspection, work: Work
) -> None:
    word = {"image_id": 2, "uphold": True, "reason": "low quality"}
    redraw(work, 2, "2026-01-02T00:00:00Z", "object too small")
    with pytest.raises(StateError, match="given up anew: object too small"):
        work.record("discard-review", who=INA, object="ram", data=word)


def test_a_round_that_was_given_up_waits_for_nobody(inspection: Inspection, work: Work) -> None:
    review_discard(inspection.work, "ram", 2, True, INA)
    work.record("abandoned", who="lead", object="ram", data={"reason": "left"})
    assert [case.state for case in find_cases(inspection.work, "ram")] == ["abandoned"] * 2
    assert measure_effort(work).discards_waiting == 0
    hand_out(work, round=2)
    assert status(inspection.work, ["ram"])[0].discards_waiting == 0
