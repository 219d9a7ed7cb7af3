"""Verdicts of a page: kept at once, taken back, foreseen; somebody closes the round."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import hand_out
from farm_drawn import begin

from annotate.inspect.discards import find_cases, foresee_review, review_discard
from annotate.inspect.overview import look_over
from annotate.inspect.pins import Pin, noted, pins_of, read_pins, typed
from annotate.inspect.queue import queue
from annotate.inspect.rounds import verdicts_of
from annotate.inspect.service import Inspection
from annotate.studio.acts.todo import todos
from annotate.work import Work
from partlab.errors import ConfigError, StateError

INA, IVO, ANN = "ina@x.org", "ivo@x.org", "ann@x.org"


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with begin(tmp_path / "work") as made:
        yield made


@pytest.fixture
def inspection(work: Work) -> Inspection:
    found = Inspection(work)
    found.sample("ram", INA)
    return found


def decide_rest(inspection: Inspection, failing: int) -> None:
    for n, card in enumerate(inspection.cards("ram").due):
        words = {"reason": "outline"} if n < failing else {}
        inspection.decide("ram", card.image_id, n >= failing, INA, **words, hold=True)


def test_a_held_round_stays_open_until_it_is_finished(inspection: Inspection, work: Work) -> None:
    decide_rest(inspection, failing=2)
    desk = inspection.sample("ram", IVO)  # nobody else's command closes it
    assert (desk.state, desk.decision, desk.due) == ("sampled", "reject", [])
    (row,) = look_over(work).rows
    assert (row.waits_for, row.why) == (INA, "to be finished")
    with pytest.raises(StateError, match="nobody inspects their own work"):
        inspection.finish("ram", ANN)
    assert inspection.finish("ram", IVO).state == "rejected"
    assert work.events("ram")[-1].who == IVO
    with pytest.raises(StateError, match="rejected"):
        inspection.finish("ram", INA)


def test_a_round_that_is_not_decided_cannot_be_finished(inspection: Inspection) -> None:
    with pytest.raises(StateError, match="10 images wait"):
        inspection.finish("ram", INA)


def test_a_verdict_is_taken_back_by_who_gave_it(inspection: Inspection, work: Work) -> None:
    decide_rest(inspection, failing=0)
    image = inspection.cards("ram").cards[3].image_id
    with pytest.raises(StateError, match=f"{IVO} has said nothing of image {image}"):
        inspection.take_back("ram", image, IVO)
    desk = inspection.take_back("ram", image, INA)
    assert [card.image_id for card in desk.due] == [image]
    assert image not in verdicts_of(work, work.batch("ram"))
    desk, passed = inspection.pass_rest("ram", INA)
    assert (desk.state, passed) == ("accepted", 1)


def test_the_command_closes_what_a_page_held(inspection: Inspection) -> None:
    decide_rest(inspection, failing=0)
    desk, passed = inspection.pass_rest("ram", INA)
    assert (desk.state, passed) == ("accepted", 0)


def test_the_outlook_is_what_then_comes(inspection: Inspection) -> None:
    ahead = inspection.outlook("ram")
    assert str(ahead.rest).startswith("0 of 10 inspected images bad; this accepts")
    assert len(ahead.of) == 10
    decide_rest(inspection, failing=1)
    last = inspection.cards("ram").cards[-1].image_id
    words = inspection.outlook("ram").of[last]
    assert words[False].decision == "reject"
    assert (
        inspection.decide("ram", last, False, INA, reason="other", hold=True).decision == "reject"
    )
    assert str(words[False]) == (
        "2 of 10 inspected images bad; this rejects the category: all of it is drawn again, in a "
        "new round"
    )
    assert inspection.outlook("ram").rest is None


def test_a_pin_reaches_the_annotators_task(inspection: Inspection, work: Work) -> None:
    first, *others = inspection.cards("ram").due
    pins = read_pins([{"x": 0.25, "y": 0.4, "part": "horn", "why": "too wide"}, {"x": 1, "y": 0}])
    words = {"reason": "outline", "note": "look at the horn"}
    inspection.decide("ram", first.image_id, False, INA, **words, pins=pins, hold=True)
    for n, card in enumerate(others):
        inspection.decide(
            "ram", card.image_id, n > 0, INA, reason=None if n else "other", hold=True
        )
    note = inspection.cards("ram").card(first.image_id).note
    assert note == (
        "look at the horn; horn at 25% from the left, 40% from the top: too wide; no part at 100% "
        "from the left, 0% from the top"
    )
    assert typed(note, pins) == "look at the horn"
    assert pins_of(work, "ram", 1) == {first.image_id: pins}
    inspection.finish("ram", INA)
    hand_out(work, round=2)
    assert todos(work, work.batch("ram"))[first.image_id] == (
        f"Draw it better than in round 1: outline: {note}"
    )


@pytest.mark.parametrize("given", [{"x": 1.2, "y": 0.5}, {"y": 0.5}, {"x": "a", "y": 0}])
def test_pins_that_are_nowhere_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        read_pins([given])


def test_a_note_alone_and_pins_alone() -> None:
    pin = Pin(x=0.5, y=0.5, part="", why="")
    assert noted(None, ()) is None
    assert noted(" words ", ()) == "words"
    assert typed(noted(None, [pin]), [pin]) == ""
    assert typed("words", ()) == "words"


def test_the_queue_of_each(work: Work) -> None:
    (item,) = queue(work, INA).items
    assert (item.kind, item.object, item.state, item.pictures) == ("round", "ram", "submitted", 10)
    assert item.minutes == 5
    own = queue(work, ANN)
    assert (own.items, own.own) == ((), ("ram",))
    inspection = Inspection(work)
    card = inspection.sample("ram", INA).due[0]
    inspection.decide("ram", card.image_id, True, IVO, hold=True, minutes=0.2)
    (item,) = queue(work, INA).items
    assert (item.state, item.pictures, item.others) == ("sampled", 9, (IVO,))
    assert item.minutes == pytest.approx(9 * 0.2)
    decide_rest(inspection, failing=0)
    (item,) = queue(work, INA).items
    assert (item.finish, item.pictures) == (True, 0)
    inspection.finish("ram", INA)
    assert "no object category waits" in queue(work, INA).why


def test_who_may_review_what_was_given_up(tmp_path: Path) -> None:
    from farm import start
    from farm_drawn import paint, submit_drawn

    with start(tmp_path / "w") as work:
        paint(work)
        hand_out(work)
        submit_drawn(work, discards=[1, 2])
        (item,) = queue(work, INA).items
        assert (item.kind, item.pictures) == ("discards", 2)
        assert queue(work, ANN).for_others == 2
        (case, _) = find_cases(work)
        assert foresee_review(case, True) == "another inspector looks at it, too"
        case = review_discard(work, "ram", 1, True, INA)
        assert foresee_review(case, True) == "the image is given up for good"
        assert foresee_review(case, False) == "you two disagree: a third inspector decides"
        case = review_discard(work, "ram", 1, False, IVO)
        assert foresee_review(case, False) == f"{ANN} is to draw it after all"
        assert queue(work, INA).items[0].pictures == 1
        assert queue(work, "ida@x.org").items[0].pictures == 2
