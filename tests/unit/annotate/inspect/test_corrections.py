"""One image of an accepted category goes back alone; the rules of its way (Q-01, Q-02)."""

import pytest
from farm import hand_out, pull
from farm_drawn import drawn, submit_drawn

from annotate.inspect.again import decide_again, read_again, write_again
from annotate.inspect.build import build
from annotate.inspect.corrections import corrections, look_again, send_back
from annotate.inspect.service import Inspection
from annotate.studio.acts.todo import todos
from annotate.work import Work
from annotate.work.complaints import REDRAWN
from partlab.errors import ConfigError, NotFoundError, StateError, UnknownNameError

INA = "ina@x.org"


def accepted(work: Work) -> int:
    """Rams, accepted with one bad image of ten; its id."""
    hand_out(work)
    submit_drawn(work)
    inspection = Inspection(work)
    first, *others = [card.image_id for card in inspection.sample("ram", INA).cards]
    inspection.decide("ram", first, False, INA, reason="outline", note="too low")
    for image in others:
        inspection.decide("ram", image, True, INA)
    assert work.batch("ram").state == "accepted"
    return first


def redraw(work: Work, image: int, month: int = 2) -> None:
    """As a pull would record it."""
    note = {"kind": REDRAWN, "message": "drawn again", "severity": "note"}
    at = f"2026-{month:02d}-01T00:00:00Z"
    pull(work, [drawn(work, image, problems=[note], updated_at=at)])


def test_the_reason_is_that_of_the_verdict(work: Work) -> None:
    bad = accepted(work)
    one = send_back(work, "ram", bad, INA)
    assert (one.reason, one.note, one.drawn, one.annotator) == (
        "outline",
        "too low",
        False,
        "ann@x.org",
    )
    assert todos(work, work.batch("ram")) == {
        bad: "An inspector sent it back (outline: too low): correct it, and press Update"
    }
    assert work.batch("ram").state == "accepted"
    built = build(work, keep_ids=False)
    assert (len(built.dataset.images), built.correcting, built.undone) == (11, 1, 0)


def test_drawn_again_it_waits_for_a_look_and_may_go_back_once_more(work: Work) -> None:
    bad = accepted(work)
    send_back(work, "ram", bad, INA)
    redraw(work, bad)
    assert corrections(work)[0].drawn
    assert todos(work, work.batch("ram")) == {}
    assert build(work, keep_ids=False).correcting == 1
    look_again(work, "ram", bad, False, INA, reason="part missing")
    (one,) = corrections(work)
    assert (one.drawn, one.reason) == (False, "part missing")
    redraw(work, bad)
    look_again(work, "ram", bad, True, "ivo@x.org")
    assert corrections(work) == []
    assert len(build(work, keep_ids=False).dataset.images) == 12
    with pytest.raises(NotFoundError, match="is not being corrected"):
        look_again(work, "ram", bad, True, INA)


def test_a_line_of_the_table_is_about_the_drawing_it_was_written_for(work: Work) -> None:
    bad = accepted(work)
    send_back(work, "ram", bad, INA)
    redraw(work, bad)
    table = write_again(work, "ram", INA)
    table.write_text(table.read_text("utf-8").replace(".jpg,,,", ".jpg,pass,,"), "utf-8")
    (said,) = read_again(work, "ram", INA)
    assert (said.image, said.passed) == (str(bad), True)
    assert read_again(work, "ram", "ivo@x.org") == []  # it was written for ina
    redraw(work, bad, month=3)
    assert read_again(work, "ram", INA) == []
    with pytest.raises(StateError, match="was drawn once more, or looked at, meanwhile"):
        decide_again(work, "ram", [said], INA)
    assert write_again(work, "ram", INA).read_text("utf-8").count("pass") == 0
    assert corrections(work)[0].drawn


def test_an_image_that_nobody_looked_at_can_go_back_too(work: Work) -> None:
    accepted(work)
    seen = {card.image_id for card in Inspection(work).cards("ram").cards}
    unseen = next(image.id for image in work.images("ram") if image.id not in seen)
    with pytest.raises(ConfigError, match="needs a reason"):
        send_back(work, "ram", unseen, INA)
    with pytest.raises(UnknownNameError, match="unknown reason"):
        send_back(work, "ram", unseen, INA, reason="ugly")
    send_back(work, "ram", unseen, INA, reason="overlap")
    desk = Inspection(work).cards("ram")
    assert (desk.seen, desk.bad, {card.image_id for card in desk.cards}) == (10, 1, seen)


def test_only_what_was_sent_back_may_be_drawn_in_an_accepted_round(work: Work) -> None:
    bad = accepted(work)
    send_back(work, "ram", bad, INA)
    other = next(image.id for image in work.images("ram") if image.id != bad)
    with pytest.raises(StateError, match="is accepted"):
        pull(work, [drawn(work, other)])
    with pytest.raises(StateError, match="was sent back and has not passed since"):
        Inspection(work).reopen("ram", INA, "a slip")
    look_again(work, "ram", bad, True, INA)  # as it is, after all
    Inspection(work).reopen("ram", INA, "a slip")


def test_who_drew_it_neither_sends_back_nor_passes(work: Work) -> None:
    bad = accepted(work)
    with pytest.raises(StateError, match="nobody inspects their own work"):
        send_back(work, "ram", bad, "ann@x.org")
    send_back(work, "ram", bad, INA)
    with pytest.raises(StateError, match="nobody inspects their own work"):
        look_again(work, "ram", bad, True, "ann@x.org")


def test_a_category_that_is_not_accepted_sends_nothing_back(work: Work) -> None:
    hand_out(work)
    submit_drawn(work)
    with pytest.raises(StateError, match="single images are sent back once it is accepted"):
        send_back(work, "ram", 1, INA, reason="outline")
