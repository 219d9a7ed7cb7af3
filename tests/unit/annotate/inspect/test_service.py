"""Rounds of inspection: draw, look, decide (Q-01, Q-02)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farm import hand_out, pull
from farm_drawn import begin, drawn, masks_of, submit_drawn
from PIL import Image as PillowImage

from annotate.draw import contact_sheet
from annotate.inspect import overlays, showing
from annotate.inspect.desk import Desk
from annotate.inspect.people import person
from annotate.inspect.sampling import Sample, random_order, round_seed
from annotate.inspect.service import Inspection
from annotate.inspect.showing import show, show_all
from annotate.inspect.standing import status
from annotate.inspect.verdicts import Ruling, decide_all, read_table, write_table
from annotate.work import MovedOnError, Work
from partlab.errors import (
    ConfigError,
    PartlabError,
    SchemaError,
    StateError,
    UnknownNameError,
)

INA, BEN = "ina@x.org", "ben@x.org"
HAMMER = "schöner Hammer"


@pytest.fixture
def for_real() -> None:
    """A test that uses this looks at the overlays; all others do without drawing them."""


@pytest.fixture(autouse=True)
def quickly(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "for_real" not in request.fixturenames:
        for name in ("render", "render_sheet"):
            monkeypatch.setattr(showing, name, lambda *_: None)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with begin(tmp_path / "work") as made:
        yield made


@pytest.fixture
def inspection(work: Work) -> Inspection:
    return Inspection(work)


def look(inspection: Inspection, object: str = "ram") -> Desk:
    """Sample, and draw what there is to look at."""
    desk = inspection.sample(object, INA)
    show_all(inspection.work, desk)
    return desk


def judge(inspection: Inspection, *fails: int, who: str = INA) -> Desk:
    """A verdict on every drawn image; the positions in `fails` do not pass."""
    desk = inspection.cards("ram")
    for card in desk.cards:
        bad = card.position in fails
        desk = inspection.decide(
            "ram", card.image_id, not bad, who, reason="outline" if bad else None
        )
    return desk


def test_two_failing_images_send_the_whole_category_back(inspection: Inspection) -> None:
    """Q-02, and the next round has a sample of its own."""
    first = inspection.sample("ram", INA)
    assert [len(first.cards), len(first.due)] == [10, 10]
    assert judge(inspection, 2, 7).state == "rejected"
    hand_out(inspection.work, round=2)
    submit_drawn(inspection.work)
    second = inspection.sample("ram", BEN)
    drawn = [[card.image_id for card in desk.cards] for desk in (first, second)]
    assert drawn[0] != drawn[1]
    assert judge(inspection, 4, who=BEN).state == "accepted"  # one failure passes
    row = status(inspection.work, ["ram"])[0]
    assert (row.round, row.rejected_rounds, row.inspectors, row.bad) == (2, 1, (BEN,), 1)


def test_nothing_is_decided_before_all_ten_were_seen(inspection: Inspection) -> None:
    desk = inspection.sample("ram", INA)
    for card in desk.cards[:9]:
        desk = inspection.decide("ram", card.image_id, False, INA, reason="outline")
        assert desk.state == "sampled"
    assert desk.bad == 9
    assert [card.image_id for card in desk.due] == [desk.cards[9].image_id]


def test_a_sequential_round_stops_early(inspection: Inspection) -> None:
    desk = inspection.sample("ram", INA, plan="sequential")
    assert desk.plan == "sequential"
    later = desk.cards[5]
    with pytest.raises(StateError, match="not due yet") as refused:
        inspection.decide("ram", later.image_id, True, INA)
    assert str(desk.due[0].image_id) in str(refused.value.hint)
    while desk.state == "sampled":
        desk = inspection.decide("ram", desk.due[0].image_id, True, INA)
    assert (desk.state, desk.seen, desk.bad) == ("accepted", 11, 0)


def test_asked_again_the_sample_is_the_same(inspection: Inspection) -> None:
    first = inspection.sample("ram", INA)
    inspection.decide("ram", first.cards[0].image_id, True, INA)
    events = len(inspection.work.events())
    again = inspection.sample("ram", BEN)
    assert [c.image_id for c in again.cards] == [c.image_id for c in first.cards]
    assert again.cards[0].passed is True
    assert len(inspection.work.events()) == events


def test_overlays_show_picture_masks_and_what_is_missing(
    for_real: None, inspection: Inspection
) -> None:
    """The left half is the photo alone, the right half has the parts' colours."""
    desk = look(inspection)
    both = np.asarray(PillowImage.open(desk.cards[0].overlay).convert("RGB")).astype(int)
    plain, drawn = both[8:428, 8:568], both[8:428, 576:1136]
    assert np.abs(plain - drawn).mean() > 10
    assert plain.max() < 200  # the noise is dark: no colour of ours is on it
    assert (both[460:, :, 0] > both[460:, :, 2] + 100).any()  # red of the head in the legend
    assert PillowImage.open(desk.sheet).size[0] > 1000
    assert desk.cards[0].drawn == ("head", "horn", "body")


def test_a_card_says_which_part_was_not_drawn(tmp_path: Path) -> None:
    with begin(tmp_path / "work") as work:
        rows = list(work.answers("ram", 1))
        for row in rows:
            row.masks = [*masks_of("ram", 1)[:1], *masks_of("ram", 3)[:1]]
        pull(work, rows)
        work.record("submitted", who="x", object="ram", data={"manifest_hash": "n"})
        desk = look(Inspection(work))
        legend = overlays._legend(rows[0].masks, work.vocabulary.object("ram"))
    assert {(card.drawn, card.missing) for card in desk.cards} == {(("head",), ("horn", "body"))}
    assert [text for text, _ in legend] == [":head x2", ":horn (not drawn)", ":body (not drawn)"]


def test_the_sheet_says_what_is_missing_and_how_many_objects(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither can be seen in a picture of masks alone."""
    captions: list[str] = []

    def keep(pictures: Any, told: list[str], columns: int) -> PillowImage.Image:
        captions.extend(told)
        return contact_sheet(pictures, told, columns)

    monkeypatch.setattr(overlays, "contact_sheet", keep)
    rows = [(work.image(row.image_id), row) for row in list(work.answers("ram", 1))[:3]]
    head, _, body = masks_of("ram", 1)
    rows[1][1].masks = [head, body]
    rows[2][1].masks = [head, body, *({**one, "object": 2} for one in (head, body))]
    overlays.render_sheet(work, rows, work.folder / "sheet.png")
    names = [image.file_name for image, _ in rows]
    assert captions == [
        f"1. image 1, {names[0]}",
        f"2. image 2 (without: horn), {names[1]}",
        f"3. image 3 (2 objects, without: horn), {names[2]}",
    ]


def test_a_missing_picture_does_not_stop_an_inspection(for_real: None, work: Work) -> None:
    desk = look(Inspection(work))
    for path in desk.sheet.parent.iterdir():
        path.unlink()
    broken = work.folder / "images" / "ram" / f"{desk.cards[0].image_id:06d}.png"
    broken.write_bytes(broken.read_bytes()[:60])
    again = look(Inspection(work))
    assert again.cards[0].overlay.is_file()


def test_a_picture_that_was_repaired_is_drawn_again(for_real: None, work: Work) -> None:
    """Beside its masks, on the sheet and where Label Studio shows it."""
    desk = look(Inspection(work))
    for path in desk.sheet.parent.iterdir():
        path.unlink()
    card = desk.cards[0]
    broken = work.folder / "images" / "ram" / f"{card.image_id:06d}.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:60])
    look(Inspection(work))
    pictures = [card.overlay, desk.sheet]
    grey = [path.read_bytes() for path in pictures]
    broken.write_bytes(whole)
    look(Inspection(work))
    again = [path.read_bytes() for path in pictures]
    assert [a == b for a, b in zip(grey, again, strict=True)] == [False] * 2
    look(Inspection(work))
    assert [path.read_bytes() for path in pictures] == again


def test_nobody_inspects_their_own_work(inspection: Inspection) -> None:
    """Neither the draw nor a verdict, however the address is spelt."""
    with pytest.raises(StateError, match="nobody inspects their own work"):
        inspection.sample("ram", "Ann@X.org ")
    desk = inspection.sample("ram", INA)
    with pytest.raises(StateError, match="nobody inspects their own work"):
        inspection.decide("ram", desk.cards[0].image_id, True, " ANN@x.org")
    data = {"image_id": desk.cards[0].image_id, "passed": True}
    with pytest.raises(StateError, match="nobody inspects their own work"):
        inspection.work.record("verdict", who=" ANN@x.org", object="ram", data=data)
    inspection.decide("ram", desk.cards[0].image_id, True, " INA@x.org")
    assert inspection.work.events("ram")[-1].who == INA


def test_nobody_inspects_masks_that_began_as_theirs(inspection: Inspection) -> None:
    """A round that began with the masks of the round before is also that annotator's."""
    inspection.sample("ram", INA)
    assert judge(inspection, 2, 7).state == "rejected"
    work = inspection.work
    hand_out(work, assignee=BEN, round=2, start_from="r1:ann@x.org")
    submit_drawn(work)
    for who in ("ann@x.org", BEN):
        with pytest.raises(StateError, match="nobody inspects their own work"):
            inspection.sample("ram", who)
    assert inspection.sample("ram", INA).state == "sampled"


def test_a_verdict_can_be_changed_until_the_round_is_closed(inspection: Inspection) -> None:
    desk = inspection.sample("ram", INA)
    image = desk.cards[0].image_id
    inspection.decide("ram", image, False, INA, reason="outline", note="horn")
    with pytest.raises(StateError, match=f"already inspected by {INA}"):
        inspection.decide("ram", image, True, BEN)
    desk = inspection.decide("ram", image, True, INA)
    assert (desk.cards[0].passed, desk.cards[0].reason, desk.bad) == (True, None, 0)


@pytest.mark.parametrize(
    ("passed", "reason", "error", "words"),
    [
        (False, None, ConfigError, "needs a reason"),
        (True, "outline", ConfigError, "needs no reason"),
        (False, "outlines", UnknownNameError, "unknown reason"),
    ],
)
def test_reasons_are_those_of_the_work(
    inspection: Inspection, passed: bool, reason: str | None, error: type, words: str
) -> None:
    desk = inspection.sample("ram", INA)
    with pytest.raises(error, match=words):
        inspection.decide("ram", desk.cards[0].image_id, passed, INA, reason=reason)
    assert inspection.cards("ram").seen == 0


def test_images_go_by_id_or_file_name(inspection: Inspection) -> None:
    desk = inspection.sample("ram", INA)
    card = desk.cards[3]
    assert desk.card(card.file_name) == desk.card(str(card.image_id)) == card
    assert desk.card(card.file_name.partition("/")[2]) == card
    with pytest.raises(UnknownNameError, match="image in the sample of ram"):
        inspection.decide("ram", "ghost.jpg", True, INA)


def test_only_a_submitted_category_is_sampled(inspection: Inspection) -> None:
    hand_out(inspection.work, "schöner Hammer")
    with pytest.raises(StateError, match="is still being drawn: 3 of 3 pictures were open"):
        inspection.sample("schöner Hammer", INA)
    with pytest.raises(UnknownNameError, match="object category"):
        inspection.sample("rams", INA)
    with pytest.raises(StateError, match="nothing is to be inspected"):
        inspection.decide("ram", 1, True, INA)
    assert inspection.ready() == ["ram"]


def test_a_decision_lost_in_a_crash_is_taken_up(inspection: Inspection) -> None:
    """All verdicts are in, the process died before it closed the round."""
    desk = inspection.sample("ram", INA)
    for card in desk.cards:
        data = {"image_id": card.image_id, "passed": True}
        inspection.work.record("verdict", who=INA, object="ram", data=data)
    assert inspection.work.batch("ram").state == "sampled"
    assert inspection.sample("ram", BEN).state == "accepted"


def test_two_inspectors_at_once_close_a_round_once(inspection: Inspection, work: Work) -> None:
    """Each in a process of their own, as far as the database can tell."""
    halves = {
        INA: inspection.sample("ram", INA).cards[::2],
        BEN: inspection.cards("ram").cards[1::2],
    }

    def sit_down(who: str) -> None:
        with Work.open(work.folder) as own:
            for card in halves[who]:
                Inspection(own).decide("ram", card.image_id, True, who)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(sit_down, halves))
    desk = inspection.cards("ram")
    assert (desk.state, desk.seen) == ("accepted", 10)
    assert {card.inspector for card in desk.cards} == {INA, BEN}
    assert [event.what for event in work.events("ram")].count("decided") == 1


def test_two_who_sample_at_once_get_the_same_draw(
    inspection: Inspection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is quicker, just before the draw is recorded."""
    draw = Sample.draw

    def late(*arguments: object) -> Sample:
        monkeypatch.setattr(Sample, "draw", draw)
        inspection.sample("ram", BEN)
        return draw(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Sample, "draw", late)
    assert len(inspection.sample("ram", INA).due) == 10
    drawn = [event for event in inspection.work.events("ram") if event.what == "sampled"]
    assert [event.who for event in drawn] == [BEN]


def test_a_unicode_category_has_its_overlays(for_real: None, inspection: Inspection) -> None:
    name = HAMMER
    hand_out(inspection.work, name)
    submit_drawn(inspection.work, name)
    desk = look(inspection, name)
    assert all(card.overlay.is_file() for card in desk.cards)
    assert len(desk.cards) == 3
    assert desk.rules[0] == "look at 3 random images at once"
    assert desk.rules[-1].startswith("it has 3 images")


def test_hints_follow_the_state(inspection: Inspection) -> None:
    hand_out(inspection.work, HAMMER)
    looks = {
        "`partlab status` shows what is missing": inspection.being_inspected,
        "fetch what was drawn since: partlab studio pull": lambda o: inspection.sample(o, INA),
    }
    for hint, look in looks.items():
        with pytest.raises(StateError) as refused:
            look(HAMMER)
        assert hint in str(refused.value.hint)


# --- the table an inspector fills in -------------------------------------------------------


def test_a_filled_in_table_decides_the_round(inspection: Inspection, tmp_path: Path) -> None:
    desk = inspection.sample("ram", INA)
    table = tmp_path / "verdicts.csv"
    write_table(desk, table)
    lines = table.read_text().splitlines()
    assert lines[0] == "image,file_name,verdict,reason,note"
    told = [lines[0], *(line.replace(",,,", ",pass,,") for line in lines[1:])]
    told[4] = told[4].replace(",pass,,", ",FAIL,part missing,no horn")
    table.write_text("\ufeff" + "\n".join(told).replace(",", ";"))  # as a spreadsheet saves it
    desk, given = decide_all(inspection, "ram", read_table(table), INA)
    assert (desk.state, given, desk.bad) == ("accepted", 10, 1)
    assert (desk.cards[3].reason, desk.cards[3].note) == ("part missing", "no horn")
    write_table(desk, table)
    assert "FAIL" in table.read_text()  # what an inspector wrote is never replaced


def test_a_table_beyond_the_decision_is_not_needed(inspection: Inspection) -> None:
    desk = inspection.sample("ram", INA, plan="sequential")
    rulings = [Ruling(str(card.image_id), True) for card in reversed(desk.cards)]
    desk, given = decide_all(inspection, "ram", rulings, INA)
    assert (desk.state, given, len(rulings)) == ("accepted", 11, 12)


def test_a_table_goes_by_the_order_of_the_plan(inspection: Inspection) -> None:
    """A ranked plan turns to the random images between its suspects; one table is enough."""
    order = random_order(round_seed(0, "ram", 1), range(1, 13))
    suspects = {order[11]: 9.0, order[5]: 8.0, order[6]: 7.0}
    desk = inspection.sample("ram", INA, plan="ranked", suspicion=suspects)
    rulings = [Ruling(str(card.image_id), True) for card in desk.cards]
    desk, given = decide_all(inspection, "ram", rulings, INA)
    assert (desk.state, given, len(rulings)) == ("accepted", 12, 12)


def test_a_table_with_a_gap_goes_as_far_as_it_can(inspection: Inspection) -> None:
    """The rest waits; given again, what stands is not said twice, and corrections come first."""
    desk = inspection.sample("ram", INA, plan="sequential")
    rulings = [Ruling(str(card.image_id), True) for card in desk.cards if card.position != 2]
    desk, given = decide_all(inspection, "ram", rulings, INA)
    assert (desk.state, given) == ("sampled", 2)
    assert [card.position for card in desk.due] == [2]
    events = len(inspection.work.events())
    assert decide_all(inspection, "ram", rulings, INA)[1] == 0
    assert len(inspection.work.events()) == events
    other = Ruling(rulings[1].image, False, "outline")
    filled = Ruling(str(desk.due[0].image_id), True)
    desk, given = decide_all(inspection, "ram", [filled, other], INA)
    assert (given, desk.bad, desk.seen, desk.state) == (1, 1, 2, "rejected")


def test_an_image_that_somebody_else_inspected_leaves_every_verdict_out(
    inspection: Inspection,
) -> None:
    """Nothing is given unless all of it can be; one image under two names has two verdicts."""
    desk = inspection.sample("ram", INA)
    first, second = desk.cards[:2]
    inspection.decide("ram", second.image_id, True, BEN)
    both = [Ruling(str(card.image_id), True) for card in (first, second)]
    with pytest.raises(StateError, match=f"already inspected by {BEN}"):
        decide_all(inspection, "ram", both, INA)
    twice = [Ruling(str(first.image_id), True), Ruling(first.file_name, False, "outline")]
    with pytest.raises(ConfigError, match="two verdicts"):
        decide_all(inspection, "ram", twice, INA)
    assert inspection.cards("ram").seen == 1


def test_an_error_in_a_table_says_where_it_stands(inspection: Inspection, tmp_path: Path) -> None:
    desk = inspection.sample("ram", INA)
    first, second = (card.image_id for card in desk.cards[:2])
    table = tmp_path / "verdicts.csv"
    for line, words in (
        (f"{second},fail,", "line 3: an image that fails needs a reason"),
        (f"{second},fail,uggly", "line 3: unknown reason 'uggly'"),
        ("77,pass,", "line 3: image 77 is not in the sample of ram"),
    ):
        table.write_text(f"image,verdict,reason\n{first},pass,\n{line}\n")
        with pytest.raises(PartlabError) as refused:
            decide_all(inspection, "ram", read_table(table), INA)
        assert refused.value.message.startswith(f"{table} {words}")
    assert refused.value.hint == f"is {table} another category's?"
    assert inspection.cards("ram").seen == 0


def test_reasons_match_whatever_their_capitals(inspection: Inspection, tmp_path: Path) -> None:
    first = inspection.sample("ram", INA).cards[0].image_id
    table = tmp_path / "verdicts.csv"
    table.write_text(f"image,verdict,reason\n{first},Fail,Part Missing\n")
    desk, given = decide_all(inspection, "ram", read_table(table), INA)
    assert (given, desk.card(first).reason) == (1, "part missing")
    assert decide_all(inspection, "ram", read_table(table), INA)[1] == 0


def test_a_table_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes("image,file_name,verdict\n1,böck.jpg,pass\n".encode("cp1252"))
    with pytest.raises(SchemaError, match="not UTF-8") as refused:
        read_table(path)
    assert "CSV in UTF-8" in str(refused.value.hint)


def test_a_work_with_a_plan_of_its_own(tmp_path: Path) -> None:
    """Its numbers stand in the work's settings; one round may have another."""
    ours = {"name": "ours", "reject_at": 1, "limits": [{"accept": [4]}]}
    with begin(tmp_path / "work", plan=ours) as work:
        assert status(work)[0].plan == "ours"
    with Work.open(tmp_path / "work") as again:
        inspection = Inspection(again)
        desk = inspection.sample("ram", INA)
        assert (desk.plan, len(desk.cards), len(desk.due)) == ("ours", 4, 1)
        assert judge(inspection).state == "accepted"


def test_who_an_inspector_is_stands_on_one_line() -> None:
    assert person("  Ina\nMay ") == "Ina May"
    assert person("Ina@X.org\t") == INA
    with pytest.raises(ConfigError, match="nobody"):
        person(" \n")


def test_a_bad_line_leaves_every_verdict_out(inspection: Inspection) -> None:
    desk = inspection.sample("ram", INA)
    good, bad = (str(card.image_id) for card in desk.cards[:2])
    for wrong in (Ruling(bad, False, "ugly"), Ruling(bad, False), Ruling("ghost.jpg", True)):
        with pytest.raises((UnknownNameError, ConfigError)):
            decide_all(inspection, "ram", [Ruling(good, True), wrong], INA)
    assert inspection.cards("ram").seen == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "no columns"),
        ("", "no columns"),
        ("image,verdict\n1,maybe\n", "'maybe'"),
        ("image,verdict\n1,pass\n2,pass\n1,fail\n", "line 4: image 1 has a verdict further up"),
        ('image,verdict\n"1,pass\n2,pass\n', "unexpected end"),
        ("image,verdict,note\n1,pass," + "x" * 140_000, "near line 1: field larger"),
    ],
)
def test_a_table_that_is_none(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(SchemaError, match=words):
        read_table(path)


def test_an_answer_that_comes_in_during_the_draw_is_noticed(
    inspection: Inspection, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The draw would be of images with masks that are no longer those of the round."""
    draw = Sample.draw

    def late(*arguments: object) -> Sample:
        monkeypatch.setattr(Sample, "draw", draw)
        pull(work, [drawn(work, 1, updated_at="2026-02-01T00:00:00Z")])
        work.record("submitted", who="p", object="ram", data={"manifest_hash": "n"})
        return draw(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Sample, "draw", late)
    with pytest.raises(MovedOnError, match="changed by another process"):
        inspection.sample("ram", INA)
    assert work.batch("ram").state == "submitted"
    assert inspection.sample("ram", INA).state == "sampled"


def test_a_round_that_another_process_ended_meanwhile(
    inspection: Inspection, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one decides, and hands the next round out, while this one reads the verdicts."""
    for card in inspection.sample("ram", INA).cards:
        data = {"image_id": card.image_id, "passed": False, "reason": "outline"}
        work.record("verdict", who=INA, object="ram", data=data)
    cards = Inspection.cards

    def slowly(self: Inspection, *arguments: Any) -> Desk:
        desk = cards(self, *arguments)
        if work.batch("ram").state == "sampled":
            decided = {"accepted": False, "seen": 10, "bad": 10}
            work.record("decided", who=BEN, object="ram", data=decided)
            hand_out(work, round=2)
        return desk

    monkeypatch.setattr(Inspection, "cards", slowly)
    with pytest.raises(StateError, match="round 2 is annotating"):
        inspection.being_inspected("ram")


def test_a_card_is_drawn_when_it_is_looked_at(for_real: None, inspection: Inspection) -> None:
    desk = inspection.sample("ram", INA)
    assert not desk.sheet.parent.exists()
    shown = show(inspection.work, desk, desk.cards[3])
    assert shown == desk.cards[3].overlay
    assert list(desk.sheet.parent.iterdir()) == [shown]


def test_another_plan_or_an_audit_comes_too_late(inspection: Inspection) -> None:
    drawn = inspection.sample("ram", INA, plan="sequential")
    with pytest.raises(ConfigError, match="drawn already, by the plan sequential"):
        inspection.sample("ram", INA, plan="paper")
    with pytest.raises(ConfigError, match="too late"):
        inspection.sample("ram", INA, suspicion={1: 0.5})
    assert inspection.sample("ram", INA, plan="sequential") == drawn


def test_all_that_are_ready_and_not_ones_own(
    inspection: Inspection, caplog: pytest.LogCaptureFixture
) -> None:
    """What was named and cannot be is an error; what was not is left out, and said."""
    work = inspection.work
    hand_out(work, HAMMER, "ina@x.org")
    submit_drawn(work, HAMMER)
    assert [desk.object for desk in inspection.sample_all(INA)] == ["ram"]
    assert "left out: ina@x.org drew schöner Hammer" in caplog.text
    with pytest.raises(StateError, match="nobody inspects their own work"):
        inspection.sample_all(INA, ["ram", HAMMER])


def test_the_rest_passes_as_foreseen(inspection: Inspection) -> None:
    desk = inspection.sample("ram", INA)
    bad = desk.cards[4].image_id
    ahead = inspection.foresee("ram", {bad: False}, INA, pass_rest=True)
    assert (ahead.decision, ahead.seen, ahead.bad) == ("accept", 10, 1)
    assert inspection.cards("ram").seen == 0
    inspection.decide("ram", bad, False, INA, reason="outline")
    told, count = inspection.pass_rest("ram", INA)
    assert (told.state, told.seen, told.bad, count) == ("accepted", 10, 1, 9)
