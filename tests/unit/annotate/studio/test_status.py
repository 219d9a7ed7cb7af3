"""Where a work stands, in numbers and in words; no server is asked."""

import json
from pathlib import Path
from typing import Any

import farm
import pytest
from fake_tasks import FakeTasks, drawn, refused
from farm import FARM, hand_out, start
from typer.testing import CliRunner

from annotate.studio.acts.pull import pull
from annotate.studio.acts.status import hours_by_annotator, standings
from annotate.work import Work
from app.cli.main import app
from partlab.errors import UnknownNameError

RAM = FARM.object("ram")
HEAD, HORN, BODY = (5, 5, 20, 20), (8, 6, 6, 6), (30, 5, 20, 30)


def fetch(work: Work, server: FakeTasks) -> None:
    with server.client() as studio:
        pull(work, studio)


def partlab(*words: object, code: int = 0, json: bool = False) -> str:
    done = CliRunner().invoke(app, [*map(str, words), *(["--json"] if json else [])])
    assert done.exit_code == code, done.output + done.stderr
    return done.stderr if code else done.stdout


def test_a_category_in_numbers(work: Work, server: FakeTasks) -> None:
    result = drawn(RAM, head=HEAD, horn=(6, 6, 8, 8), body=BODY)
    result[1]["origin"], result[2]["origin"] = "prediction", "prediction-changed"
    server.annotate(1001, result, lead_time=60.0)
    server.annotate(1002, drawn(RAM, head=HEAD), lead_time=180.0)
    server.annotate(1003, [refused()], lead_time=None)
    server.annotate(1004, [])
    fetch(work, server)
    (ram,) = standings(work)
    assert (ram.object, ram.round, ram.state, ram.assignee) == ("ram", 1, "annotating", "ann@x.org")
    assert (ram.images, ram.done, ram.drawn, ram.discarded, ram.broken) == (12, 3, 2, 1, 1)
    assert (ram.untouched, ram.changed, ram.manual) == (1, 1, 2)  # D-05
    assert (ram.minutes, ram.minutes_per_image) == (5.5, pytest.approx(5.5 / 3))
    assert (ram.project_id, ram.pulled) == (71, work.batch("ram").cursor)
    (flag,) = ram.flags
    assert "nothing is drawn" in flag


def test_what_was_put_right_is_no_open_flag(work: Work, server: FakeTasks) -> None:
    made = server.annotate(1001, [])
    foreign = server.annotate(1002, drawn(RAM, head=HEAD), by=3)
    fetch(work, server)
    assert len(standings(work)[0].flags) == 2
    server.change(made, result=drawn(RAM, head=HEAD))
    fetch(work, server)
    (left,) = standings(work)[0].flags
    assert "task 1002" in left
    assert len(work.flags()) == 2  # the history keeps both
    server.annotate(1002, drawn(RAM, head=HEAD))
    fetch(work, server)
    assert standings(work)[0].flags == (left,)  # one annotation too many, until it is deleted
    server.delete(foreign)
    fetch(work, server)
    assert standings(work)[0].flags == ()


def test_a_deleted_annotation_stays_an_open_flag(work: Work, server: FakeTasks) -> None:
    made = server.annotate(1001, drawn(RAM, head=HEAD))
    fetch(work, server)
    server.delete(made)
    fetch(work, server)
    assert "it was deleted" in standings(work)[0].flags[0]


def test_what_cannot_be_done_any_more_is_no_open_flag(work: Work, server: FakeTasks) -> None:
    """An accepted category changes hands no more; what happens to it later is told."""
    server.annotate(1001, drawn(RAM, head=HEAD), by=3)
    made = [server.annotate(task, drawn(RAM, head=HEAD)) for task in range(1001, 1013)]
    fetch(work, server)
    assert "`partlab studio reassign`" in standings(work)[0].flags[0]
    sample = {"seed": 1, "plan": "paper", "images": [1, 2, 3]}
    work.record("sampled", who="ina@x.org", object="ram", data=sample)
    work.record("decided", who="ina@x.org", object="ram", data={"accepted": True})
    assert standings(work)[0].flags == ()
    server.change(made[2])
    server.delete(made[3])
    fetch(work, server)
    deleted, late = standings(work)[0].flags
    assert "was accepted already" in late
    assert "it was deleted" in deleted


def test_the_current_round_is_shown(work: Work, server: FakeTasks) -> None:
    for task in range(1001, 1013):
        server.annotate(task, drawn(RAM, head=HEAD))
    fetch(work, server)
    assert standings(work)[0].state == "submitted"
    work.record("abandoned", who="x", object="ram", data={"reason": "reassigned"})
    hand_out(work, assignee="ben@x.org", round=2)
    (ram,) = standings(work)
    assert (ram.round, ram.assignee, ram.done, ram.minutes_per_image) == (2, "ben@x.org", 0, None)


def test_hours_of_every_annotator_over_all_rounds(work: Work, server: FakeTasks) -> None:
    """Q-03: 50 annotators and about 8,000 hours were counted somehow."""
    hand_out(work, "schöner Hammer", "ben@x.org")
    ids = {str(t.image_id): 3000 + t.image_id for t in work.tasks("schöner Hammer", 1)}
    about: dict[str, Any] = {"who": "x", "object": "schöner Hammer"}
    work.record("opened", data={"project_id": 90, "config_hash": "c"}, **about)
    work.record("tasks", data={"project_id": 90, "tasks": ids}, **about)
    server.add_round(work, "schöner Hammer")
    for task in range(1001, 1013):
        server.annotate(task, drawn(RAM, head=HEAD), lead_time=300.0)
    server.annotate(3013, drawn(FARM.object("schöner Hammer"), handle=HEAD), by=3, lead_time=36.0)
    server.annotate(3014, [refused()], by=3, lead_time=None)
    fetch(work, server)
    ann, ben = hours_by_annotator(work)
    assert (ann.annotator, ann.rounds, ann.images, ann.hours) == ("ann@x.org", 1, 12, 1.0)
    assert ann.minutes_per_image == 5.0
    assert (ben.images, ben.discarded, ben.hours) == (2, 1, pytest.approx(0.01))


def test_the_command(work: Work, server: FakeTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("PARTLAB_STUDIO_URL", "http://127.0.0.1:9/")
    server.annotate(1001, drawn(RAM, head=HEAD), by=3)
    fetch(work, server)
    shown = partlab("status", work.folder)
    assert "ram r1" in shown
    assert "0/12" in shown
    assert "ram r1: project 71 task 1001 annotation 1 (ram/0.jpg): ben@x.org drew it" in shown
    assert "http://127.0.0.1:9/projects/71/data" in shown
    told = json.loads(partlab("status", work.folder, json=True))
    (ram,) = told["rounds"]
    assert (ram["object"], ram["url"]) == ("ram", "http://127.0.0.1:9/projects/71/data")
    assert told["annotators"] == []
    monkeypatch.delenv("PARTLAB_STUDIO_URL")
    assert "http" not in partlab("status", work.folder, "ram")


def test_the_command_is_told_what_is_not_there(work: Work, tmp_path: Path) -> None:
    assert "holds no work" in partlab("status", tmp_path / "nowhere", code=3)
    assert "did you mean ram?" in partlab("status", work.folder, "rem", code=3)
    with pytest.raises(UnknownNameError):
        standings(work, ["rem"])


def test_a_work_of_which_nothing_is_handed_out(tmp_path: Path) -> None:
    with start(tmp_path / "new"):
        assert "next: partlab studio create" in partlab("status", tmp_path / "new")


def test_pull_needs_to_know_the_server(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PARTLAB_STUDIO_URL", "PARTLAB_STUDIO_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert "PARTLAB_STUDIO_URL and" in partlab("studio", "pull", work.folder, code=4)


def test_what_was_seen_in_an_answer_is_told(tmp_path: Path) -> None:
    """M-02: parts drawn over each other are no flag, and nobody has to wait for the export."""
    with farm.start(tmp_path / "farm") as work:
        farm.hand_out(work)
        drawn = farm.answer(work, 1)
        drawn.problems = [
            {"kind": "overlap", "severity": "warning", "message": "90% of head lies in body"}
        ]
        farm.pull(work, [drawn, farm.answer(work, 2)])
        (ram,) = standings(work)
        assert ram.problems == ("image 1: 90% of head lies in body",)
    told = CliRunner().invoke(app, ["status", str(work.folder)]).stdout
    assert "ram r1: image 1: 90% of head lies in body" in told


@pytest.fixture
def commands(work: Work, server: FakeTasks, monkeypatch: pytest.MonkeyPatch) -> FakeTasks:
    """The server, also for commands."""
    monkeypatch.setattr("annotate.studio.api.client.Studio.from_env", server.client)
    return server


def test_pull_recommends_what_can_be_done(work: Work, commands: FakeTasks) -> None:
    """Q-04: discards are reviewed before anything is sampled."""
    for task in range(1001, 1011):
        commands.annotate(task, drawn(RAM, head=HEAD, horn=HORN, body=BODY))
    for task in (1011, 1012):
        commands.annotate(task, [refused()])
    told = partlab("studio", "pull", work.folder)
    assert "10 drawn, 2 discarded" in told
    assert f"next: partlab inspect discards {work.folder}" in told
    assert "inspect sample" not in told
    for task in (1011, 1012):
        commands.annotate(task, drawn(RAM, head=HEAD, horn=HORN, body=BODY))
    told = partlab("studio", "pull", work.folder)
    assert f"next: partlab inspect sample {work.folder} --by WHO" in told
    assert "inspect discards" not in told


def notes(work: Work) -> list[str]:
    return [str(note) for note in standings(work)[0].notes]


def test_what_holds_for_many_pictures_is_said_once(
    work: Work, commands: FakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M-02: a rule broken in every picture, and a part nobody drew, stand out."""
    monkeypatch.setenv("COLUMNS", "80")
    for task in range(1001, 1012):
        commands.annotate(task, drawn(RAM, head=HEAD, body=(5, 5, 30, 30)))
    suggested = [
        {**region, "origin": "prediction"}
        for region in drawn(RAM, head=HEAD, horn=HORN, body=(5, 5, 30, 30))
    ]
    commands.annotate(1012, [*suggested, refused()])  # given up: nobody drew these
    second = drawn(RAM, head=(40, 5, 20, 20), body=(40, 5, 20, 30))
    for region in second:
        number = {"from_name": "object", "type": "number", "value": {"number": 2}}
        commands.tasks[1001]["annotations"][0]["result"] += [
            {**region, "id": f"second{region['id']}"},
            {**region, "id": f"second{region['id']}", **number},
        ]
    told = partlab("studio", "pull", work.folder)
    assert "11 drawn, 1 discarded, see the notes" in told
    assert f"in words: partlab status {work.folder}" in told  # though it was submitted
    (ram,) = standings(work)
    assert len(ram.problems) == 14  # two objects of the first image, suggestions of the last
    words = "head lies in body, and no inclusion is declared"
    listed = ", ".join(map(str, range(1, 11)))
    assert notes(work) == [f"11 of 11 images: {words} (image {listed}, …)"]
    assert ram.undrawn == ("horn",)
    shown = partlab("status", work.folder)
    assert shown.count("head lies in body, and no inclusion is declared") == 1
    assert "ram r1: horn is drawn in no picture" in shown
    (row,) = json.loads(partlab("status", work.folder, json=True))["rounds"]
    assert row["notes"][0]["images"] == list(range(1, 12))
    assert row["problems"] == list(ram.problems)
    inclusions = {"horn": "head", "head": "body"}
    declared = FARM.replaced([RAM.model_copy(update={"inclusions": inclusions})])
    work.replace_vocabulary(declared, "lead")
    assert notes(work) == []


def test_a_flag_hides_no_note_and_a_round_under_way_misses_no_part(
    work: Work, commands: FakeTasks
) -> None:
    for task in (1001, 1002):
        commands.annotate(task, drawn(RAM, head=HEAD, body=(5, 5, 30, 30)))
    commands.annotate(1002, [], by=3)
    commands.annotate(1003, drawn(RAM, head=(5, 5, 20, 20), body=(40, 5, 10, 10)))
    told = partlab("studio", "pull", work.folder)
    assert "see the notes" in told
    assert notes(work)[0].startswith("2 of 3 images: head lies in body")
    assert standings(work)[0].undrawn == ()
    commands.annotate(1004, drawn(RAM, head=HEAD, horn=HORN, body=BODY))
    assert "see the notes" not in partlab("studio", "pull", work.folder)  # nothing new to see


def test_specks_are_one_line(work: Work, commands: FakeTasks) -> None:
    for task in (1001, 1002):
        commands.annotate(task, drawn(RAM, head=HEAD, body=(50, 40, 1, 1)))
    told = partlab("studio", "pull", work.folder)
    assert "notes" not in told  # they need nobody
    assert notes(work) == [
        "2 of 2 images: specks, such as slips of the mouse, are dropped (image 1, 2)"
    ]
    assert standings(work)[0].problems[0] == "image 1: body: 1 speck of 1 pixel dropped"


def test_what_happened_in_the_round_before_is_shown_too(work: Work, server: FakeTasks) -> None:
    """What `pull` announces as a flag stands in `status`."""
    made = [server.annotate(task, drawn(RAM, head=HEAD)) for task in range(1001, 1013)]
    fetch(work, server)
    sample = {"seed": 1, "plan": "paper", "images": [1, 2, 3]}
    work.record("sampled", who="ina@x.org", object="ram", data=sample)
    work.record("decided", who="ina@x.org", object="ram", data={"accepted": False})
    ids = [image.id for image in work.images("ram")]
    about: dict[str, Any] = {"who": "lead", "object": "ram", "round": 2}
    planned = {"images": ids, "assignee": "ann@x.org", "vocabulary_version": 1}
    work.record("planned", data=planned, **about)
    work.record("opened", data={"project_id": 72, "config_hash": "c"}, **about)
    tasks = {str(id): 2000 + id for id in ids}
    work.record("tasks", data={"project_id": 72, "tasks": tasks}, **about)
    server.add_round(work, "ram", 2)
    server.change(made[2])
    with server.client() as studio:
        before, now = pull(work, studio)
    assert (before.round, before.flags, now.flags) == (1, 1, 0)
    (flag,) = standings(work)[0].flags
    assert flag.startswith("round 1: project 71 task 1003")
    assert "round 1: project 71 task 1003" in partlab("status", work.folder)


def test_for_whom_it_waits_and_how_long(work: Work, server: FakeTasks) -> None:
    for task in range(1001, 1010):
        server.annotate(task, drawn(RAM, head=HEAD), lead_time=1200.0)
    fetch(work, server)
    shown = partlab("status", work.folder)
    assert "in all: 0 of 1 category accepted, 9 of 12 pictures done" in shown
    assert "3 pictures are still to be drawn, about 1 hour; at the pace so far until" in shown
    assert "waits for ann@x.org: ram (3 to draw)" in shown
    for task in range(1010, 1013):
        server.annotate(task, drawn(RAM, head=HEAD))
    fetch(work, server)
    assert "waits for an inspector: ram (partlab inspect sample)" in partlab("status", work.folder)
