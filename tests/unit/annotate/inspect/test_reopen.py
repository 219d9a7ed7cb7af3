"""Deciding by mistake: what it would cause is said before, and it can be taken back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import hand_out
from farm_drawn import begin, drawn, submit_drawn

from annotate.data.check import check_folder
from annotate.inspect import showing
from annotate.inspect.export import export
from annotate.inspect.service import Inspection
from annotate.work import Answer, Event, Flag, Work, rebuild_work
from partlab.errors import ConfigError, StateError

INA, LEA = "ina@x.org", "lea@x.org"


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("render", "render_sheet"):
        monkeypatch.setattr(showing, name, lambda *_: None)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with begin(tmp_path / "work") as made:
        yield made


def decide_all(inspection: Inspection, passed: bool) -> None:
    reason = None if passed else "outline"
    for card in inspection.sample("ram", INA).cards:
        inspection.decide("ram", card.image_id, passed, INA, reason=reason)


def test_what_verdicts_would_cause_is_foreseen_and_not_recorded(work: Work) -> None:
    inspection = Inspection(work)
    ids = [card.image_id for card in inspection.sample("ram", INA).cards]
    before = work.hash_of("ram")
    cases = [(0, "accept"), (1, "accept"), (2, "reject")]
    for bad, decision in cases:
        ahead = inspection.foresee("ram", {image: n >= bad for n, image in enumerate(ids)}, INA)
        assert (ahead.decision, ahead.bad, ahead.seen, ahead.due) == (decision, bad, 10, [])
    half = inspection.foresee("ram", dict.fromkeys(ids[:4], True), INA)
    assert (half.decision, half.seen, len(half.due)) == ("continue", 4, 6)
    assert work.hash_of("ram") == before
    with pytest.raises(StateError, match="nobody inspects their own work"):
        inspection.foresee("ram", {}, "ann@x.org")


def test_a_decision_is_taken_back_and_made_anew(work: Work) -> None:
    inspection = Inspection(work)
    decide_all(inspection, passed=True)
    drawn = [card.image_id for card in inspection.cards("ram").cards]
    inspection.reopen("ram", LEA, "a slip")
    desk = inspection.cards("ram")
    assert (desk.state, desk.seen, [card.image_id for card in desk.due]) == ("sampled", 0, drawn)
    assert inspection.sample("ram", INA).cards == desk.cards  # the same draw
    decide_all(inspection, passed=False)
    assert inspection.cards("ram").state == "rejected"
    said = [(event.what, event.who) for event in work.events("ram")]
    assert said.count(("verdict", INA)) == 20  # the history forgets nothing
    assert ("reopened", LEA) in said


def test_who_may_not_reopen_and_when(work: Work) -> None:
    inspection = Inspection(work)
    with pytest.raises(StateError, match=r"is submitted; 'reopened' needs it accepted or rejected"):
        inspection.reopen("ram", LEA, "early")
    decide_all(inspection, passed=False)
    with pytest.raises(StateError, match="nobody inspects their own work"):
        inspection.reopen("ram", "ann@x.org", "I was right")
    with pytest.raises(ConfigError, match="no reason"):
        inspection.reopen("ram", LEA, "  ")
    hand_out(work, round=2)
    with pytest.raises(StateError, match=r"is annotating|round 2 has begun"):
        inspection.reopen("ram", LEA, "too late")
    submit_drawn(work)
    decide_all(inspection, passed=True)
    inspection.reopen("ram", LEA, "the newest can")
    assert inspection.cards("ram").round == 2


def test_an_export_made_before_says_that_it_is_stale(work: Work, tmp_path: Path) -> None:
    inspection = Inspection(work)
    decide_all(inspection, passed=True)
    out, moved = tmp_path / "out", tmp_path / "moved"
    export(work, out)
    export(work, moved)
    moved.rename(tmp_path / "elsewhere")
    assert not check_folder(out).by_kind.get("stale")
    assert inspection.reopen("ram", LEA, "a slip") == {out: True, moved: False}
    (finding,) = check_folder(out).by_kind["stale"]
    assert finding.message == "ram was opened again after this was exported: a slip"
    assert finding.file == str(out / "annotations" / "all.json")
    decide_all(inspection, passed=True)
    export(work, out, force=True)
    assert not check_folder(out).by_kind.get("stale")


def test_no_manifest_but_that_of_an_export_of_this_work_is_touched(
    work: Work, tmp_path: Path
) -> None:
    inspection, out = Inspection(work), tmp_path / "out"
    decide_all(inspection, passed=True)
    export(work, out)
    for strange in ('{"work": {"id": "another"}}', "[]", "no JSON"):
        (out / "manifest.json").write_text(strange)
        assert inspection.reopen("ram", LEA, "a slip") == {out: False}
        assert (out / "manifest.json").read_text() == strange
        decide_all(inspection, passed=True)


def test_a_rebuilt_work_was_reopened_too(work: Work, tmp_path: Path) -> None:
    inspection = Inspection(work)
    decide_all(inspection, passed=True)
    export(work, tmp_path / "out")
    inspection.reopen("ram", LEA, "a slip")
    before, events = work.hash_of("ram"), len(work.events())
    work.close()

    def ingest(replayed: Work, _: Event) -> tuple[list[Answer], list[Flag]]:
        return [drawn(replayed, task.image_id) for task in replayed.tasks("ram", 1)], []

    assert rebuild_work(work.folder, ingest) == events
    with Work.open(work.folder) as again:
        assert again.hash_of("ram") == before
        assert Inspection(again).cards("ram").state == "sampled"
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["stale"] == {"ram": "a slip"}
