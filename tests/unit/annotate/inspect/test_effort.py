"""What a work took (Q-03, Q-04)."""

import pytest
from farm import hand_out
from farm_drawn import mask, submit_drawn

from annotate.data.effort import PUBLISHED, Effort
from annotate.inspect.discards import review_discard
from annotate.inspect.effort import measure_effort, note_hours
from annotate.inspect.service import Inspection
from annotate.studio.acts.status import standings
from annotate.work import Work
from partlab.errors import ConfigError, SchemaError

INA, BEN = "ina@x.org", "ben@x.org"


def rounds(work: Work) -> None:
    """Rams: one refused image, two rejected rounds, an accepted one; 2 minutes an image."""
    inspection = Inspection(work)
    for round_, passed in ((1, False), (2, False), (3, True)):
        hand_out(work, round=round_)
        submit_drawn(work, discards=(1,))
        for who in (INA, BEN):
            review_discard(inspection.work, "ram", 1, True, who, minutes=3.0)
        for card in inspection.sample("ram", INA).cards:
            why = None if passed else "overlap"
            inspection.decide("ram", card.image_id, passed, INA, reason=why, minutes=6.0)


def test_the_ledger_by_hand(work: Work) -> None:
    rounds(work)
    note_hours(work, BEN, 1.5, "inspector", "reading the rules")
    found = measure_effort(work)
    assert (found.annotators, found.inspectors) == (1, 2)
    assert (found.categories, found.accepted, found.rounds, found.rejections) == (1, 1, 3, 2)
    assert found.rejected_share == 2 / 3
    assert (found.verdicts, found.failed_verdicts) == (30, 20)
    assert found.fail_reasons == {"overlap": 20}
    assert (found.looked_at, found.discarded, found.discards_final) == (36, 3, 3)
    assert found.discard_rate == 3 / 36
    assert found.minutes_per_image == 2.0
    people = {(p.who, p.role): (p.hours, p.images, p.rounds, p.rejected) for p in found.people}
    assert people == {
        ("ann@x.org", "annotator"): (1.2, 36, 3, 2),
        (BEN, "inspector"): (1.5 + 0.15, 3, 0, 0),
        (INA, "inspector"): (3.0 + 0.15, 33, 3, 2),
    }
    assert found.hours == pytest.approx(1.2 + 1.65 + 3.15)


def test_help_of_a_model_is_counted_by_kind(work: Work) -> None:
    hand_out(work)
    masks = [mask("head", (0, 0, 5, 5), origin=o) for o in ("manual", "prediction", "prediction")]
    submit_drawn(work, masks=masks)
    assert measure_effort(work).regions == {"manual": 12, "prediction": 24}


def test_a_work_that_has_not_begun(work: Work) -> None:
    found = measure_effort(work)
    assert (found.annotators, found.hours, found.rounds) == (0, 0, 0)
    assert (found.minutes_per_image, found.rejected_share, found.discard_rate) == (None,) * 3
    hand_out(work)
    assert measure_effort(work).annotators == 0  # nobody has done anything yet


def test_the_figures_survive_a_file(work: Work) -> None:
    rounds(work)
    found = measure_effort(work)
    assert Effort.from_json(found.as_json()) == found
    with pytest.raises(SchemaError, match="cannot be read"):
        Effort.from_json({"people": []})
    with pytest.raises(SchemaError, match="cannot be read"):
        Effort.from_json(7)


@pytest.mark.parametrize(("hours", "role"), [(0, "other"), (-1, "other"), (2, "boss")])
def test_hours_that_cannot_be(work: Work, hours: float, role: str) -> None:
    with pytest.raises(ConfigError):
        note_hours(work, INA, hours, role)
    assert measure_effort(work).people == []


def test_the_published_figures_are_references() -> None:
    """Q-03, Q-04."""
    names = ("inspectors", "annotators", "hours", "discarded")
    assert [PUBLISHED[name] for name in names] == [5, 50, 8_000, 37_505]


def test_a_short_name_and_an_address_are_one_person(work: Work) -> None:
    """As the rules have it: who may inspect, and who may not."""
    hand_out(work)
    submit_drawn(work)
    inspection = Inspection(work)
    for place, card in enumerate(inspection.sample("ram", INA).cards):
        inspection.decide("ram", card.image_id, True, INA if place % 2 else "Ina", minutes=6.0)
    note_hours(work, "ina", 2, "inspector")
    found = measure_effort(work)
    assert found.inspectors == 1
    (ina,) = [person for person in found.people if person.role == "inspector"]
    assert (ina.who, ina.images, ina.hours, ina.rounds) == (INA, 10, 3.0, 1)
    for other in ("ina@y.org", "ina"):  # now nobody knows which of two is meant
        note_hours(work, other, 1, "other")
    assert {p.who for p in measure_effort(work).people if p.role == "other"} == {"Ina", "ina@y.org"}


def test_the_minutes_of_a_changed_verdict_are_its_last(work: Work) -> None:
    """Label Studio counts on where somebody opens their annotation again."""
    hand_out(work)
    submit_drawn(work)
    inspection = Inspection(work)
    first, *_ = inspection.sample("ram", INA).cards
    inspection.decide("ram", first.image_id, True, INA, minutes=30)
    inspection.decide("ram", first.image_id, False, INA, reason="outline", minutes=42)
    inspection.decide("ram", first.image_id, True, INA)  # at the terminal, where nobody counts
    (ina,) = [person for person in measure_effort(work).people if person.role == "inspector"]
    assert ina.hours == 0.7


def test_flags_are_those_that_are_still_open(work: Work) -> None:
    hand_out(work)
    flag = {"task_id": 1003, "annotation_id": 0, "kind": "task-gone", "message": "m", "at": "t"}
    other = {**flag, "task_id": 1004}
    seen = {"reason": "deleted", "flags": [flag, other], "gone": [3, 4]}
    work.record("flagged", who="x", object="ram", data=seen)
    assert measure_effort(work).flags == len(standings(work)[0].flags) == 2
    again = {"project_id": 71, "tasks": {"3": 2003}}
    work.record("tasks", who="x", object="ram", data=again)
    assert measure_effort(work).flags == len(standings(work)[0].flags) == 1
    assert measure_effort(work).flags_seen == 2  # settled ones were breaches, too
