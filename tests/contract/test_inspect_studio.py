"""Inspection projects and reviews of refused images on a real Label Studio (Q-01, Q-04)."""

import json
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from annotator import Person
from farm import answer, hand_out, pull, start
from farm_drawn import drawn, paint, submit_drawn
from typer.testing import CliRunner, Result

from annotate.inspect.discards import find_cases, review_discard
from annotate.inspect.effort import measure_effort
from annotate.inspect.project import (
    DISCARDS,
    INSPECT,
    THIRD,
    Opened,
    open_discards,
    open_inspection,
    page,
)
from annotate.inspect.readback import read_discards, read_inspection
from annotate.inspect.service import Inspection
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import find_projects
from annotate.studio.api.users import create_users
from annotate.studio.server.start import Running
from annotate.studio.spelling.labelconfig import check_config
from annotate.work import Work
from app.cli.main import app
from partlab.errors import NotFoundError, StateError

ANN, INA, BEN, CAT = "ann.i@x.org", "ina.i@x.org", "ben.i@x.org", "cat.i@x.org"
HAMMER = "schöner Hammer"


@pytest.fixture(scope="module")
def team(studio_server: Running) -> Iterator[dict[str, Person]]:
    with studio_server.studio() as studio:
        made = {one.email: one.password for one in create_users(studio, [ANN, INA, BEN, CAT])}
    people = {who: Person(studio_server.url, who, str(word)) for who, word in made.items()}
    yield people
    for person in people.values():
        person.__exit__()


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with start(tmp_path / "work") as made:
        paint(made)
        hand_out(made, assignee=ANN)
        yield made


def said(**words: str) -> list[dict[str, Any]]:
    """The result of a filled-in page."""
    kinds = {"verdict": "choices", "reason": "choices", "note": "textarea"}
    return [
        {
            "from_name": name,
            "to_name": "overlay",
            "type": kinds[name],
            "value": {"text" if name == "note" else "choices": [word]},
        }
        for name, word in words.items()
    ]


def tasks(studio: Studio, opened: Opened) -> dict[int, int]:
    found = studio.pages("/api/tasks/", key="tasks", project=opened.project_id, fields="all")
    return {task["data"]["image_id"]: task["id"] for task in found}


def command(studio: Studio, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    """`partlab inspect …` beside this server."""
    monkeypatch.setattr(Studio, "from_env", lambda: nullcontext(studio))
    told = CliRunner().invoke(app, ["inspect", *words])
    logging.getLogger().handlers.clear()
    assert told.exit_code == 0, told.output
    return told


def test_the_pages_are_what_label_studio_accepts() -> None:
    check_config(page("overlay", ("pass", "fail"), ("outline", "a & b <c>"), "fail"))
    check_config(page("overlay", ("rightly refused", "draw it after all")))


def test_an_inspection_in_label_studio(studio: Studio, work: Work, team: dict[str, Person]) -> None:
    """Made once, looked at, read back once; the annotator's own word and changed words refused."""
    submit_drawn(work)
    inspection = Inspection(work)
    with pytest.raises(StateError, match="nothing is to be inspected"):
        open_inspection(inspection, studio, "ram")
    desk = inspection.sample("ram", INA)
    with pytest.raises(NotFoundError, match="no such project"):
        read_inspection(inspection, studio, "ram")
    opened = open_inspection(inspection, studio, "ram")
    assert (opened.images, opened.added) == (10, 10)
    again = open_inspection(inspection, studio, "ram")
    assert (again.project_id, again.added) == (opened.project_id, 0)
    project = studio.get(f"/api/projects/{opened.project_id}/")
    assert (project["title"], project["maximum_annotations"]) == ("ram: inspect, 10 of 10 to do", 1)
    views = studio.get("/api/dm/views/", project=opened.project_id)
    assert [view["data"]["title"] for view in views] == ["To do", "All pictures"]

    shown = team[INA].next(opened.project_id)
    card = next(c for c in desk.cards if c.image_id == shown["data"]["image_id"])
    assert team[INA].picture(shown["data"]["overlay"]) == card.overlay.read_bytes()
    assert shown["data"]["question"] == "ram: head, horn, body"

    at = tasks(studio, opened)
    first, second, third, *rest = [c.image_id for c in desk.cards]
    team[ANN].submit(at[first], said(verdict="pass"))
    changed = team[INA].submit(at[second], said(verdict="fail", reason="outline"))
    team[BEN].update(changed["id"], said(verdict="pass"))
    team[INA].submit(at[third], said(verdict="fail", reason="part missing", note="no horn"), 90)
    for image in rest:
        team[INA].submit(at[image], said(verdict="pass"), 30)
    told = read_inspection(inspection, studio, "ram")
    assert told.taken == 8
    assert len(told.refused) == 2
    assert f"{ANN} on image {first}" in told.refused[0]
    assert "nobody inspects their own work" in told.refused[0]
    assert told.refused[1].endswith(f"{BEN} changed it")
    desk = inspection.cards("ram")
    assert (desk.state, desk.seen, desk.bad) == ("sampled", 8, 1)
    kept = desk.card(third)
    assert (kept.reason, kept.note, kept.inspector) == ("part missing", "no horn", INA)

    for image in (first, second):
        team[CAT].submit(at[image], said(verdict="pass"))
    told = read_inspection(inspection, studio, "ram")
    assert (told.taken, told.known) == (2, 8)
    assert inspection.cards("ram").state == "accepted"
    hours = {one.who: one.hours for one in measure_effort(work).people if one.role == "inspector"}
    assert hours[INA] == pytest.approx((90 + 7 * 30) / 3600, abs=0.01)


def test_the_page_says_what_a_picture_may_hide(studio: Studio, work: Work) -> None:
    """M-02: of two parts over each other, a picture shows one."""
    words = "head and body overlap by 12 pixels"
    problem = {"kind": "overlap", "message": words, "severity": "warning"}
    submit_drawn(work, problems=[problem])
    inspection = Inspection(work)
    inspection.sample("ram", INA)
    opened = open_inspection(inspection, studio, "ram")
    found = studio.pages("/api/tasks/", key="tasks", project=opened.project_id, fields="all")
    questions = {task["data"]["question"] for task in found}
    assert questions == {f"ram: head, horn, body; mind: {words}"}


def test_words_after_a_gap_wait(
    studio: Studio, work: Work, team: dict[str, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are no errors: once the image before them has its word, they are taken."""
    submit_drawn(work)
    inspection = Inspection(work)
    desk = inspection.sample("ram", INA, plan="sequential")
    opened = open_inspection(inspection, studio, "ram")
    at = tasks(studio, opened)
    first, gap, *rest = [card.image_id for card in desk.cards]
    for image in (first, *rest):
        team[INA].submit(at[image], said(verdict="pass"))
    told = command(studio, monkeypatch, "decide", str(work.folder), "ram", "--from-studio")
    assert f"1 verdict taken, 10 wait until image {gap} has one" in told.stdout
    assert "was not taken" not in told.stdout
    team[INA].submit(at[gap], said(verdict="pass"))
    last = read_inspection(inspection, studio, "ram")
    assert (last.taken, last.known, last.waiting, last.refused) == (10, 2, 0, [])
    assert inspection.cards("ram").state == "accepted"


def test_an_account_that_is_gone_has_no_say(
    studio: Studio, studio_server: Running, work: Work
) -> None:
    """Whose words they are, nobody can tell: they may be the annotator's own."""
    (made,) = create_users(studio, ["gone.i@x.org"])
    submit_drawn(work)
    inspection = Inspection(work)
    desk = inspection.sample("ram", INA)
    opened = open_inspection(inspection, studio, "ram")
    with Person(studio_server.url, made.email, str(made.password)) as person:
        for task in tasks(studio, opened).values():
            person.submit(task, said(verdict="pass"))
    studio.delete(f"/api/users/{studio.users()[made.email]}/")
    told = read_inspection(inspection, studio, "ram")
    assert (told.taken, len(told.refused)) == (0, len(desk.cards))
    assert told.refused[0].endswith("gone; say it with `partlab inspect decide --by`")
    assert inspection.cards("ram").state == "sampled"


def test_a_deleted_inspection_project_is_made_again(
    studio: Studio, work: Work, team: dict[str, Person]
) -> None:
    submit_drawn(work)
    inspection = Inspection(work)
    desk = inspection.sample("ram", INA)
    opened = open_inspection(inspection, studio, "ram")
    first = desk.cards[0].image_id
    team[INA].submit(tasks(studio, opened)[first], said(verdict="pass"))
    assert read_inspection(inspection, studio, "ram").taken == 1
    studio.delete(f"/api/projects/{opened.project_id}/")
    other = open_inspection(inspection, studio, "ram")
    assert other.project_id != opened.project_id
    assert read_inspection(inspection, studio, "ram").taken == 0
    assert inspection.cards("ram").seen == 1  # what was read stays


def test_refused_images_go_to_two_people_and_a_third(
    studio: Studio, work: Work, team: dict[str, Person]
) -> None:
    """Q-04: two different people by construction, a third on disagreement, never the annotator."""
    submit_drawn(work, discards=(2, 3))
    inspection = Inspection(work)
    (opened,) = open_discards(inspection, studio, "ram")
    assert (opened.images, opened.added) == (2, 2)
    at = tasks(studio, opened)
    for who in (INA, BEN):
        seen = [team[who].next(opened.project_id)["data"]["image_id"] for _ in range(1)]
        assert seen == [2]
        team[who].submit(at[2], said(verdict="rightly refused"))
    assert team[CAT].next(opened.project_id)["data"]["image_id"] == 3  # 2 has had its two
    team[INA].submit(at[3], said(verdict="rightly refused", note="dark"))
    team[ANN].submit(at[3], said(verdict="rightly refused"))
    told = read_discards(inspection, studio, "ram")
    assert told.taken == 3
    assert [why for why in told.refused if "own work" in why]
    team[BEN].submit(at[3], said(verdict="draw it after all"))
    assert read_discards(inspection, studio, "ram").taken == 1
    states = {
        case.image_id: (case.state, case.disputed) for case in find_cases(inspection.work, "ram")
    }
    assert states == {2: ("final", False), 3: ("waiting", True)}

    (third,) = open_discards(inspection, studio, "ram")
    assert third.project_id != opened.project_id
    assert set(find_projects(studio, work, THIRD)) == {("ram", 1)}
    team[CAT].submit(tasks(studio, third)[3], said(verdict="draw it after all"))
    assert read_discards(inspection, studio, "ram").taken == 1
    assert find_cases(inspection.work, "ram")[1].state == "restored"
    assert work.batch("ram").state == "annotating"
    assert open_discards(inspection, studio, "ram") == []
    pull(work, [drawn(work, 3)])
    assert read_discards(inspection, studio, "ram").taken == 0


def test_the_word_of_another_annotator_on_refused_images_counts_only_where_that_is_said(
    studio: Studio, work: Work, team: dict[str, Person]
) -> None:
    submit_drawn(work, discards=(3,))
    hand_out(work, HAMMER, BEN)
    inspection = Inspection(work)
    (opened,) = open_discards(inspection, studio, "ram")
    at = tasks(studio, opened)
    for who in (INA, BEN):
        team[who].submit(at[3], said(verdict="rightly refused"))
    told = read_discards(inspection, studio, "ram")
    assert (told.taken, len(told.refused)) == (1, 1)
    assert f"{BEN} draws {HAMMER} in this work" in told.refused[0]
    assert "--anyone takes it" in told.refused[0]
    assert find_cases(inspection.work, "ram")[0].open
    assert read_discards(inspection, studio, "ram", anyone=True).taken == 1
    assert find_cases(inspection.work, "ram")[0].state == "final"


def test_a_third_review_needs_no_project_of_the_first_two(
    studio: Studio, work: Work, team: dict[str, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two disagreed at the terminal; another category without a project stops nobody."""
    submit_drawn(work, discards=(3,))
    inspection = Inspection(work)
    with pytest.raises(NotFoundError, match="no such project"):
        read_discards(inspection, studio, "ram")
    review_discard(inspection.work, "ram", 3, True, INA)
    review_discard(inspection.work, "ram", 3, False, BEN)
    (third,) = open_discards(inspection, studio, "ram")
    team[CAT].submit(tasks(studio, third)[3], said(verdict="rightly refused"))
    hand_out(work, HAMMER, assignee=ANN)
    submit_drawn(work, HAMMER, discards=(13,))
    told = command(studio, monkeypatch, "discards", str(work.folder), "--from-studio", "--json")
    assert [(one["object"], one["taken"]) for one in json.loads(told.stdout)] == [("ram", 1)]
    assert f"left out: {HAMMER} round 1 has no such project" in told.stderr
    assert find_cases(inspection.work, "ram")[0].state == "final"


def rightly_refused(studio: Studio, work: Work, by: Person) -> tuple[Inspection, Any]:
    """Image 3 is refused, and a first inspector upholds that in Label Studio; their word."""
    submit_drawn(work, discards=(3,))
    inspection = Inspection(work)
    (opened,) = open_discards(inspection, studio, "ram")
    word = by.submit(tasks(studio, opened)[3], said(verdict="rightly refused"))
    assert read_discards(inspection, studio, "ram").taken == 1
    return inspection, word


def test_a_review_changed_in_label_studio_is_not_swallowed(
    studio: Studio, work: Work, team: dict[str, Person]
) -> None:
    inspection, word = rightly_refused(studio, work, team[INA])
    team[INA].update(word["id"], said(verdict="draw it after all"))
    told = read_discards(inspection, studio, "ram")
    assert (told.taken, told.known) == (0, 0)
    assert told.refused[0].endswith("they said 'rightly refused' before, and a review stands")


def test_a_word_on_an_earlier_refusal_is_not_one_on_the_next(
    studio: Studio, work: Work, team: dict[str, Person]
) -> None:
    """Q-04: the picture is refused anew, after somebody spoke; they look at it again."""
    inspection, word = rightly_refused(studio, work, team[INA])
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    anew = answer(work, 3, "discard")
    anew.updated_at = now
    pull(work, [anew])
    assert read_discards(inspection, studio, "ram").known == 1  # it was only saved again
    anew = answer(work, 3, "discard")
    anew.updated_at, anew.reason = now, "object too small"
    pull(work, [anew])
    told = read_discards(inspection, studio, "ram")
    assert told.taken == 0
    assert "refused anew since" in told.refused[0]
    team[INA].update(word["id"], said(verdict="draw it after all"))
    assert read_discards(inspection, studio, "ram").taken == 1
    assert [r.uphold for r in find_cases(inspection.work, "ram")[0].reviews] == [False]


def test_nothing_is_made_where_nothing_waits(studio: Studio, work: Work) -> None:
    pull(work, [answer(work, 1)])
    assert open_discards(Inspection(work), studio, "ram") == []
    assert find_projects(studio, work, DISCARDS) == {}
    assert find_projects(studio, work, INSPECT) == {}
