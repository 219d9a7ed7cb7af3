"""The rules of rounds, verdicts and discards (M-05, M-07, M-08, Q-01, Q-02, Q-04)."""

from pathlib import Path
from typing import Any

import pytest
from farm import answer, hand_out, pull, submit
from sqlalchemy import select

from annotate.work import Answer, Draw, Verdict, Work, discard_state, open_images
from annotate.work.tables import DiscardReview
from partlab.errors import DatasetError, SchemaError, StateError, UnknownNameError


def sample(work: Work, *images: int) -> None:
    data = {"seed": 1, "plan": "paper", "images": list(images)}
    work.record("sampled", who="ina@x.org", object="ram", data=data)


def verdict(work: Work, image: int, passed: bool, who: str = "ina@x.org") -> None:
    data = {"image_id": image, "passed": passed, "reason": None if passed else "outline"}
    work.record("verdict", who=who, object="ram", data=data)


def review(work: Work, image: int, uphold: bool, who: str) -> None:
    data = {"image_id": image, "uphold": uphold}
    work.record("discard-review", who=who, object="ram", data=data)


def test_a_category_goes_through_a_rejected_and_an_accepted_round(work: Work) -> None:
    """Q-02: rejected whole, annotated again whole, sampled afresh; the first round is kept."""
    for round_, accepted in ((1, False), (2, True)):
        hand_out(work, round=round_)
        submit(work)
        sample(work, 3, 1, 2)
        verdict(work, 3, accepted)
        work.record("decided", who="ina@x.org", object="ram", data={"accepted": accepted})
    assert [batch.state for batch in work.rounds("ram")] == ["rejected", "accepted"]
    assert len(list(work.answers("ram", 1))) == len(list(work.answers("ram", 2))) == 12
    with work.read() as session:
        order = select(Draw.image_id).filter_by(round=1).order_by(Draw.position)
        assert list(session.scalars(order)) == [3, 1, 2]  # Q-01: in the order of the draw


def test_no_new_round_while_one_is_open(work: Work) -> None:
    hand_out(work)
    with pytest.raises(StateError, match="no new round is due"):
        hand_out(work, round=2)


def test_an_unfinished_batch_cannot_be_submitted(work: Work) -> None:
    """M-08: the batch comes back whole."""
    hand_out(work)
    pull(work, [answer(work, 1), answer(work, 2, "broken")])
    with work.read() as session:
        assert open_images(session, work.batch("ram")) == list(range(2, 13))
    with pytest.raises(StateError, match="11 images are not done"):
        work.record("submitted", who="x", object="ram", data={"manifest_hash": "m"})


def test_an_answer_changed_after_submitting_opens_the_batch_again(work: Work) -> None:
    hand_out(work)
    submit(work)
    pull(work, [answer(work, 1)])
    assert work.batch("ram").state == "annotating"
    assert work.batch("ram").manifest_hash is None


def test_answers_after_the_sample_are_not_taken(work: Work) -> None:
    hand_out(work)
    submit(work)
    sample(work, 1)
    with pytest.raises(StateError, match="ram round 1 is sampled"):
        pull(work, [answer(work, 1)])


def test_nobody_inspects_their_own_work(work: Work) -> None:
    hand_out(work)
    submit(work)
    sample(work, 1, 2)
    with pytest.raises(StateError, match="nobody inspects their own work"):
        verdict(work, 1, True, who="ann@x.org")


def test_a_verdict_may_be_changed_by_its_inspector_only(work: Work) -> None:
    hand_out(work)
    submit(work)
    sample(work, 1, 2)
    verdict(work, 1, True)
    verdict(work, 1, False)
    with pytest.raises(StateError, match=r"already inspected by ina@x\.org"):
        verdict(work, 1, True, who="ivo@x.org")
    with pytest.raises(StateError, match="not in the sample"):
        verdict(work, 7, True)
    with work.read() as session:
        assert [v.passed for v in session.scalars(select(Verdict))] == [False]
    assert [e.data["passed"] for e in work.events("ram") if e.what == "verdict"] == [True, False]


def test_a_discard_needs_two_other_people(work: Work) -> None:
    """Q-04: the annotator does not count, nor the same inspector twice."""
    hand_out(work)
    submit(work, discards=(4,))
    with pytest.raises(StateError, match="1 discarded image waits"):
        sample(work, 1)
    with pytest.raises(StateError, match="two others must review it"):
        review(work, 4, True, "ann@x.org")
    review(work, 4, True, "ina@x.org")
    with pytest.raises(StateError, match="already reviewed"):
        review(work, 4, True, "ina@x.org")
    review(work, 4, True, "ivo@x.org")
    with pytest.raises(StateError, match="closed"):
        review(work, 4, True, "ida@x.org")
    sample(work, 1)


def test_a_third_inspector_decides_and_a_restored_image_is_drawn(work: Work) -> None:
    """M-07: hard images are not refused; the batch is open until the image is drawn."""
    hand_out(work)
    submit(work, discards=(4,))
    for who, uphold in (("ina@x.org", True), ("ivo@x.org", False), ("ida@x.org", False)):
        review(work, 4, uphold, who)
    assert work.batch("ram").state == "annotating"
    with work.read() as session:
        assert session.get(Answer, ("ram", 1, 4)).kind == "restored"  # type: ignore[union-attr]
        assert open_images(session, work.batch("ram")) == [4]
    pull(work, [answer(work, 4)])
    work.record("submitted", who="x", object="ram", data={"manifest_hash": "m"})


VERDICTS = {"": "waiting", "u": "waiting", "ur": "waiting", "uu": "final", "rr": "restored"}
VERDICTS |= {"uru": "final", "urr": "restored"}


@pytest.mark.parametrize(("words", "state"), VERDICTS.items())
def test_two_agree_or_the_third_decides(words: str, state: str) -> None:
    key = {"object": "o", "round": 1, "image_id": 1, "refusal": "5@t"}
    reviews = [
        DiscardReview(**key, inspector=str(n), uphold=w == "u", at=str(n))
        for n, w in enumerate(words)
    ]
    assert discard_state(reviews) == state


def test_a_category_changes_hands_whole_and_only_before_its_first_answer(work: Work) -> None:
    """M-05: the same annotator draws all images of a category."""
    hand_out(work)
    work.record("reassigned", who="lead", object="ram", data={"to": "bea@x.org"})
    assert work.batch("ram").assignee == "bea@x.org"
    pull(work, [answer(work, 1)])
    with pytest.raises(StateError, match="one annotator draws a whole category"):
        work.record("reassigned", who="lead", object="ram", data={"to": "cem@x.org"})
    work.record("abandoned", who="lead", object="ram", data={"reason": "ill"})
    hand_out(work, assignee="cem@x.org", round=2)
    assert [b.state for b in work.rounds("ram")] == ["abandoned", "annotating"]


def test_a_change_of_an_earlier_version_moves_masks_and_opens_what_lost_a_part(work: Work) -> None:
    hand_out(work)
    submit(work)
    data: dict[str, Any] = {"vocabulary_version": 1, "parts": {"head": "skull"}}
    work.record("migrated", who="lead", object="ram", data=data)
    assert {m["part"] for a in work.answers("ram", 1) for m in a.masks} == {"skull"}
    assert work.batch("ram").state == "submitted"
    data["parts"] = {"skull": None}
    work.record("migrated", who="lead", object="ram", data=data)
    assert work.batch("ram").state == "annotating"
    assert {a.kind for a in work.answers("ram", 1)} == {"broken"}


def test_images_of_other_categories_and_twice_the_same_are_refused(work: Work) -> None:
    """M-05: a batch is of one category; what an event names is in it."""
    hand_out(work)
    count = len(work.events())
    for images, why in (([13], "is not an image of it"), ([1], "is in it already")):
        with pytest.raises(StateError, match=why):
            work.record("extended", who="lead", object="ram", data={"images": images})
    data: dict[str, dict[str, Any]] = {
        "tasks": {"project_id": 71, "tasks": {"13": 5}},
        "pushed": {"model": "m", "tasks": {"13": "c"}},
        "pulled": {"seen": {"13": "2026"}},
        "flagged": {"reason": "r", "gone": [13]},
    }
    for what, values in data.items():
        with pytest.raises(StateError, match="image 13 is not in ram round 1"):
            work.record(what, who="lead", object="ram", data=values)
    with pytest.raises(StateError, match="image 13 is not in ram round 1"):
        pull(work, [answer(work, 13)])
    assert len(work.events()) == count


def test_only_images_with_masks_are_inspected(work: Work) -> None:
    hand_out(work)
    submit(work, discards=(4,))
    for who in ("ina@x.org", "ivo@x.org"):
        review(work, 4, True, who)
    for image in (4, 13):
        with pytest.raises(StateError, match=f"image {image} of ram has no masks"):
            sample(work, image)


def test_two_pictures_of_one_number_are_one_sentence(work: Work) -> None:
    row = {"id": 1, "object": "ram", "file_name": "x", "width": 1, "height": 1, "shown": [1, 1]}
    with pytest.raises(DatasetError, match="refused a row that contradicts another"):
        work.record("images", who="lead", data={"images": [{**row, "rank": 0}]})


def test_bytes_that_are_no_text_are_refused_before_anything_is_done(work: Work) -> None:
    """As the shell hands them over: the journal could not hold them."""
    count = len(work.events())
    for about in ({"who": "a\udcff"}, {"who": "a", "data": {"note": ["a\udcff"]}}):
        with pytest.raises(SchemaError, match=r"udcff' is not UTF-8 text"):
            work.record("logged", **about)  # type: ignore[arg-type]
    assert len(work.events()) == count


def test_what_is_refused_leaves_no_trace(work: Work) -> None:
    count = len(work.events())
    with pytest.raises(UnknownNameError, match="unknown object category 'ramm'"):
        work.record("submitted", who="x", object="ramm", data={})
    with pytest.raises(SchemaError, match="unknown kind of event"):
        work.record("dance", who="x")
    assert len(work.events()) == count


def test_names_of_folders_are_safe_and_different(tmp_path: Path, work: Work) -> None:
    from annotate.work import safe_name

    names = ["ram", "schöner Hammer", "a/b", "a:b", "../x", ".", "CON?"]
    folders = [safe_name(name) for name in names]
    assert len(set(folders)) == len(names)
    assert all("/" not in folder and folder.strip(".") for folder in folders)
    long = [safe_name(letter * 3000) for letter in ("x", "足", "😀")]
    assert all(len(name.encode()) < 200 for name in long)
    assert safe_name("x" * 3000) != safe_name("x" * 3001)


def test_a_short_name_is_the_person_whose_address_begins_with_it(work: Work) -> None:
    """Nobody gets round the rules by leaving out what stands after the @."""
    hand_out(work)
    submit(work, discards=(4,))
    with pytest.raises(StateError, match="two others must review it"):
        review(work, 4, True, "ann")
    review(work, 4, True, "ina")
    with pytest.raises(StateError, match="already reviewed"):
        review(work, 4, True, "ina@x.org")
    review(work, 4, True, "ivo@x.org")
    sample(work, 1, 2)
    with pytest.raises(StateError, match="nobody inspects their own work"):
        verdict(work, 1, True, who="Ann")


def test_a_deleted_task_that_is_put_back_needs_nobody(work: Work) -> None:
    hand_out(work)
    flag = {"task_id": 1003, "annotation_id": 0, "kind": "task-gone", "message": "m", "at": "t"}
    data = {"reason": "deleted", "flags": [flag], "gone": [3]}
    work.record("flagged", who="x", object="ram", data=data)
    assert [f.settled for f in work.flags()] == [False]
    work.record("tasks", who="x", object="ram", data={"project_id": 71, "tasks": {"3": 2003}})
    assert [f.settled for f in work.flags()] == [True]


def test_what_was_read_stays_read_after_an_ingest_without_a_cursor(work: Work) -> None:
    hand_out(work)
    pull(work, [answer(work, 1)])
    work.record("pulled", who="x", object="ram", data={"seen": {"2": "2026"}})
    assert work.batch("ram").cursor == "2026-01-01T00:00:00Z"
