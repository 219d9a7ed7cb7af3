"""What each project says on the wall of Label Studio, state after state."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import hand_out, start
from farm_drawn import paint, submit_drawn

from annotate.inspect.service import Inspection
from annotate.studio.acts.wall import _title, look_of
from annotate.work import Work

INA = "ina@x.org"


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with start(tmp_path / "work") as made:
        paint(made)
        hand_out(made)
        yield made


def seen(work: Work, kind: str = "annotate", round: int | None = None) -> tuple[str, bool]:
    look = look_of(work, work.batch("ram", round), kind)
    return look.title, look.open


def test_a_project_says_what_is_to_be_done_and_when_nothing_is(work: Work) -> None:
    assert seen(work) == ("ram: draw, 12 of 12 to do", True)
    assert (
        look_of(work, work.batch("ram")).description == "For ann@x.org. Round 1 of the work farm."
    )
    submit_drawn(work)
    assert seen(work) == ("over: ram, drawn, to be inspected", False)
    inspection = Inspection(work)
    desk = inspection.sample("ram", INA)
    assert seen(work) == ("over: ram, drawn, being inspected", False)
    inspection.decide("ram", desk.due[0].image_id, True, INA)
    inspection.pass_rest("ram", INA)
    assert seen(work) == ("over: ram, accepted", False)
    image = desk.cards[0].image_id
    data = {"image_id": image, "reason": "outline"}
    work.record("sent-back", who=INA, object="ram", data=data)
    assert seen(work) == ("ram: correct 1 of 12", True)


def test_a_rejected_round_is_over_and_the_next_one_is_open(work: Work) -> None:
    submit_drawn(work)
    inspection = Inspection(work)
    desk = inspection.sample("ram", INA)
    for card in desk.cards[:2]:
        inspection.decide("ram", card.image_id, False, INA, reason="outline")
    inspection.pass_rest("ram", INA)
    hand_out(work, round=2)
    assert seen(work, round=1) == ("over: ram, drawn again elsewhere", False)
    assert seen(work) == ("ram: draw again (round 2), 12 of 12 to do", True)
    work.record("abandoned", who="lead", object="ram", data={"reason": "r"})
    assert seen(work) == ("over: ram, given up (round 2)", False)


@pytest.mark.parametrize("kind", ["inspect", "discards", "third"])
def test_a_project_that_an_earlier_version_made_for_inspectors_is_over(
    kind: str, work: Work
) -> None:
    """Whatever waits: what is said in it is not read any more, and it says where to go."""
    submit_drawn(work)
    Inspection(work).sample("ram", INA)
    look = look_of(work, work.batch("ram"), kind)
    assert (look.title, look.open) == ("over: ram, inspected elsewhere", False)
    assert look.description.startswith("Inspect on the page Inspect of partlab's app")


def test_titles_are_no_longer_than_label_studio_allows() -> None:
    title = _title("an object with a name that is far too long", "draw, 3 of 3 to do", open_=True)
    assert len(title) == 50
    assert title.endswith("…: draw, 3 of 3 to do")


def test_only_what_changed_is_sent(work: Work) -> None:
    look = look_of(work, work.batch("ram"))
    fresh = look.fields({})
    assert fresh.pop("pinned_at")
    assert fresh == {"title": look.title, "description": look.description, "color": "#FFFFFF"}
    assert look.fields({**fresh, "pinned_at": "2026-01-01"}) == {}
