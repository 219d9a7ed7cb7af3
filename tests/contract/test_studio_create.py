"""Handing out work on a real Label Studio: made whole, once, whatever cuts it off (M-05)."""

import functools
import http.server
import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner

from annotate.studio.acts.begin import begin_work, handing_out, plan_work
from annotate.studio.acts.create import create
from annotate.studio.acts.pull import pull
from annotate.studio.acts.push import Suggestion, push
from annotate.studio.acts.reassign import reassign
from annotate.studio.acts.reopen import reopen_work
from annotate.studio.acts.rounds import HandedOut, preview
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import facts_of, find_projects
from annotate.studio.api.users import create_users
from annotate.studio.server.start import Running
from annotate.studio.spelling.labelconfig import config_hash, label_config
from annotate.studio.spelling.mark import marked, unmarked
from annotate.studio.spelling.reading import read_result
from annotate.studio.spelling.uniting import PartMask
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.work import Answer, Image, Work
from annotate.work.pictures import shown_picture
from app.cli.main import app
from partlab.errors import BusyError, NotFoundError, StateError, StudioError, UnknownNameError
from partlab.masks import encode

ANN, BEN, CLEO = "ann.c@example.org", "ben.c@example.org", "cleo.c@example.org"
RAM = ObjectParts(
    name="ram",
    parts=(Part(name="head"), Part(name="body"), Part(name="horn")),
    inclusions={"horn": "head"},
)
PEAR = ObjectParts(
    name="Birne & Äpfel: 50%/#1",
    parts=(
        Part(name="Schale"),
        Part(name="Stiel"),
    ),
)
SIZE = (48, 32)  # width, height

MakeWork = Callable[..., Work]


@pytest.fixture(scope="module", autouse=True)
def people(studio_server: Running) -> None:
    with studio_server.studio() as studio:
        create_users(studio, [ANN, BEN, CLEO])


@pytest.fixture
def make_work(tmp_path: Path) -> Iterator[MakeWork]:
    """`make_work(images=3, name="work")`: a work of two object categories, not handed out."""
    opened = []

    def make(images: int = 3, name: str = "work", **settings: Any) -> Work:
        photos = tmp_path / "photos"
        for folder in ("ram", "pear"):
            (photos / folder).mkdir(parents=True, exist_ok=True)
            for number in range(images):
                noise = np.random.default_rng(number).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
                PillowImage.fromarray(noise).save(photos / folder / f"{number}.png")
        pear = PEAR.model_copy(update={"aliases": ("pear",)})
        plan = plan_work(Vocabulary(objects=(RAM, pear)), photos)
        opened.append(begin_work(tmp_path / name, plan, name=name, per_object=images, **settings))
        return opened[-1]

    yield make
    for work in opened:
        work.close()


def project_of(studio: Studio, one: HandedOut) -> Any:
    return studio.get(f"/api/projects/{one.project_id}/")


def tasks_of(studio: Studio, one: HandedOut) -> list[Any]:
    return list(studio.pages("/api/tasks/", key="tasks", project=one.project_id, fields="all"))


def by_object(told: list[HandedOut]) -> dict[str, HandedOut]:
    return {one.object: one for one in told}


def answer(work: Work, owner: str, *, only: int | None = None, round: int = 1) -> None:
    """The assignee's answers, as a pull would record them."""
    batch = work.batch(owner, round)
    mask = np.zeros(SIZE[::-1], bool)
    mask[4:20, 6:30] = True
    masks = [{"part": "head", "object": 1, "rle": encode(mask), "origin": "manual", "model": None}]
    rows = [
        Answer(
            object=owner,
            round=round,
            image_id=task.image_id,
            task_id=task.task_id or 0,
            annotation_id=task.image_id,
            updated_at="2026-01-01",
            annotator=batch.assignee,
            kind="masks",
            masks=masks,
        )
        for task in work.tasks(owner, round)[:only]
    ]
    work.record("pulled", who="partlab", object=owner, data={"file": "x"}, answers=rows)


def reject(work: Work, owner: str) -> None:
    ids = [task.image_id for task in work.tasks(owner, 1)]
    steps: list[tuple[str, dict[str, Any]]] = [
        ("submitted", {"manifest_hash": "0"}),
        ("sampled", {"seed": 0, "plan": "paper", "images": ids}),
        ("decided", {"accepted": False, "seen": 2, "bad": 2, "plan": "paper"}),
    ]
    for what, data in steps:
        work.record(what, who=CLEO, object=owner, data=data)


# -- what is made -----------------------------------------------------------------------------


def test_every_category_becomes_one_project(make_work: MakeWork, studio: Studio) -> None:
    work = make_work()
    told = by_object(create(work, studio, annotators=[ANN, BEN]))
    assert {name: one.assignee for name, one in told.items()} == {PEAR.name: ANN, "ram": BEN}
    ram = project_of(studio, told["ram"])
    assert ram["title"] == "ram: draw, 3 of 3 to do"
    assert ram["description"] == f"For {BEN}. Round 1 of the work work."
    assert unmarked(ram["label_config"]) == label_config(RAM, work.settings.discard_reasons)
    assert (ram["maximum_annotations"], ram["show_skip_button"]) == (1, False)
    assert (ram["sampling"], ram["show_instruction"]) == ("Sequential sampling", True)
    assert "cover the whole object" in ram["expert_instruction"]
    wanted = {"work": work.settings.id, "kind": "annotate", "object": "ram", "round": 1}
    assert facts_of(ram) == wanted
    batch = work.batch("ram")
    assert (batch.state, batch.project_id) == ("annotating", told["ram"].project_id)
    assert batch.config_hash == config_hash(ram["label_config"])


def test_tasks_hold_the_pictures_in_their_seeded_order(make_work: MakeWork, studio: Studio) -> None:
    work = make_work()
    told = by_object(create(work, studio, annotators=[ANN]))
    for owner in (PEAR.name, "ram"):
        images, tasks = work.images(owner), tasks_of(studio, told[owner])
        tasks.sort(key=lambda task: task["id"])
        assert [task["data"]["image_id"] for task in tasks] == [image.id for image in images]
        assert [task.task_id for task in work.tasks(owner, 1)] == [task["id"] for task in tasks]
        data, image = tasks[0]["data"], images[0]
        assert (data["object"], data["file_name"]) == (owner, image.file_name)
        assert (data["width"], data["height"]) == SIZE
        with studio.stream("GET", data["image"]) as shown:
            assert shown.read() == shown_picture(work.folder, image).read_bytes()


def test_a_second_run_changes_nothing(make_work: MakeWork, studio_server: Running) -> None:
    work = make_work()
    with studio_server.studio() as studio:
        first = create(work, studio, annotators=[ANN])
    writes: list[str] = []
    transport = Counting(writes)
    again = Studio(studio_server.url, studio_server.token, transport=transport)
    second = create(work, again)
    assert writes == []
    assert [one.project_id for one in second] == [one.project_id for one in first]
    assert not any(one.made or one.added for one in second)
    assert all(one.made and one.added == 3 for one in first)


class Counting(httpx.BaseTransport):
    """Notes every request that changes something; the one numbered `stop` is the last.

    `lost`: that one reaches the server, but its answer does not reach us.
    """

    def __init__(self, writes: list[str], stop: int | None = None, *, lost: bool = False) -> None:
        self.inner, self.writes, self.stop, self.lost = httpx.HTTPTransport(), writes, stop, lost

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            self.writes.append(f"{request.method} {request.url.path}")
            if self.stop is not None and len(self.writes) >= self.stop:
                if self.lost:
                    self.inner.handle_request(request).read()
                raise SystemExit("killed")
        return self.inner.handle_request(request)


@pytest.mark.parametrize("lost", [False, True])
def test_killed_at_any_request_it_goes_on_without_doubles(
    make_work: MakeWork, studio_server: Running, lost: bool
) -> None:
    for stop in range(1, 30, 1 if lost else 4):
        work, writes = make_work(name=f"w{stop}{'l' if lost else ''}"), []
        transport = Counting(writes, stop, lost=lost)
        cut = Studio(studio_server.url, studio_server.token, transport=transport)
        try:
            create(work, cut, annotators=[ANN])
            break
        except SystemExit:
            pass
        with studio_server.studio() as studio:
            told = create(work, studio, annotators=[ANN])
            projects = [
                p
                for p in studio.pages("/api/projects/")
                if facts_of(p).get("work") == work.settings.id
            ]
            assert len(projects) == 2
            for one in told:
                ids = [task["data"]["image_id"] for task in tasks_of(studio, one)]
                assert sorted(ids) == [image.id for image in work.images(one.object)]
                assert all(task.task_id for task in work.tasks(one.object, 1))
                assert "Ctrl+Enter" in project_of(studio, one)["expert_instruction"]
    assert stop == 13  # two projects of six: project, storage, instructions, two tabs, tasks


def test_a_deleted_project_is_made_afresh_with_what_is_left(
    make_work: MakeWork, studio: Studio
) -> None:
    work = make_work()
    told = by_object(create(work, studio, annotators=[ANN]))
    answer(work, "ram", only=1)
    studio.delete(f"/api/projects/{told['ram'].project_id}/")
    again = by_object(create(work, studio))
    assert again["ram"].made
    assert not again[PEAR.name].made
    left = [image.id for image in work.images("ram")[1:]]
    assert [task["data"]["image_id"] for task in tasks_of(studio, again["ram"])] == left
    assert len(list(work.answers("ram", 1))) == 1
    assert not any(one.made or one.added for one in create(work, studio))


def test_an_interface_or_a_description_changed_by_hand_is_put_back(
    make_work: MakeWork, studio: Studio
) -> None:
    work = make_work()
    told = by_object(create(work, studio, annotators=[ANN]))["ram"]
    before = project_of(studio, told)
    path = f"/api/projects/{told.project_id}/"
    studio.patch(path, {"description": "mine", "label_config": unmarked(before["label_config"])})
    assert not any(one.made or one.added for one in create(work, studio))
    after = project_of(studio, told)
    assert after["description"] == before["description"]
    assert after["label_config"] == before["label_config"]
    other = marked(before["label_config"], {**facts_of(before), "work": "another"})
    studio.patch(path, {"label_config": other})
    assert by_object(create(work, studio))["ram"].made


def test_a_project_of_an_earlier_version_is_known_and_changed(
    make_work: MakeWork, studio: Studio
) -> None:
    """Its description held what it is found by; people read that no longer."""
    work = make_work()
    told = by_object(create(work, studio, annotators=[ANN]))["ram"]
    new = project_of(studio, told)
    facts = json.dumps({"partlab": {**facts_of(new), "assignee": ANN}})
    old = {"title": "work/ram/annotate/r1", "description": f"ram, drawn by {ANN}. {facts}"}
    old |= {"label_config": unmarked(new["label_config"]), "pinned_at": None}
    studio.patch(f"/api/projects/{told.project_id}/", old)
    assert find_projects(studio, work)["ram", 1] == told.project_id
    assert not any(one.made or one.added for one in create(work, studio))
    now = project_of(studio, told)
    assert (now["title"], now["description"]) == (new["title"], new["description"])
    assert (now["pinned_at"] is not None, facts_of(now)["assignee"]) == (True, ANN)


def test_nothing_is_made_for_somebody_without_an_account(
    make_work: MakeWork, studio: Studio
) -> None:
    """As on a server that was begun afresh."""
    work = make_work()
    create(work, studio, annotators=[ANN])
    work.record("reassigned", who="lead", object="ram", data={"to": "gone@example.org"})
    create(work, studio)
    studio.delete(f"/api/projects/{work.batch('ram').project_id}/")
    with pytest.raises(UnknownNameError, match="gone@example"):
        create(work, studio)


def test_of_two_projects_of_a_round_the_noted_one_counts(
    make_work: MakeWork, studio: Studio
) -> None:
    work = make_work()
    told = by_object(create(work, studio, annotators=[ANN]))["ram"]
    made = {**project_of(studio, told), "title": "twin"}
    wanted = ("title", "description", "label_config")
    twin = studio.post("/api/projects/", {key: made[key] for key in wanted})["id"]
    assert find_projects(studio, work)["ram", 1] == told.project_id
    studio.delete(f"/api/projects/{told.project_id}/")
    assert find_projects(studio, work)["ram", 1] == twin


def test_the_next_round_begins_fresh_or_from_the_one_before(
    make_work: MakeWork, studio: Studio
) -> None:
    work = make_work()
    create(work, studio, annotators=[BEN])
    for owner in ("ram",):
        answer(work, owner)
        reject(work, owner)
    told = by_object(create(work, studio, annotators=[ANN], start_from="previous"))["ram"]
    assert told.note == f"stays with {BEN}; `partlab studio reassign` hands a category over"
    assert (told.round, told.assignee, told.made) == (2, BEN, True)
    project = project_of(studio, told)
    assert project["title"] == "ram: draw again (round 2), 3 of 3 to do"
    assert (project["model_version"], project["show_collab_predictions"]) == (f"r1:{BEN}", True)
    (prediction,) = tasks_of(studio, told)[0]["predictions"]
    assert prediction["model_version"] == f"r1:{BEN}"
    reading = read_result(prediction["result"], RAM, SIZE, SIZE)
    before = next(work.answers("ram", 1)).masks[0]
    assert [(mask.part, mask.rle) for mask in reading.masks] == [("head", before["rle"])]
    assert len(find_projects(studio, work)) == 3


def test_a_model_hides_what_a_round_began_with_only_where_that_is_said(
    make_work: MakeWork, studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    """Label Studio shows suggestions of one origin; tried as the annotator sees them."""
    work = make_work()
    create(work, studio, annotators=[BEN])
    answer(work, "ram")
    reject(work, "ram")
    told = by_object(create(work, studio, start_from="previous"))["ram"]

    def suggest(images: Sequence[Image]) -> Iterator[Suggestion]:
        body = np.zeros(SIZE[::-1], bool)
        body[20:30, 4:40] = True
        for image in images:
            yield Suggestion(image.id, (PartMask("body", 1, encode(body)),), 0.9)

    def shown() -> list[tuple[str, str]]:
        """What the next picture begins with, for who works through the project."""
        opened = studio.get(f"/api/projects/{told.project_id}/next")
        masks = [
            (one["model_version"], read_result(one["result"], RAM, SIZE, SIZE).masks)
            for one in opened["predictions"]
        ]
        return [(model, mask.part) for model, found in masks for mask in found]

    with pytest.raises(StateError, match="ram round 2 began with what was drawn before"):
        push(work, studio, suggest, model="seg-1", objects=["ram"])
    (pear,) = push(work, studio, suggest_nothing, model="seg-1")
    assert pear.object == PEAR.name
    assert "left out: ram round 2 began with" in caplog.text
    assert shown() == [(f"r1:{BEN}", "head")]

    (replaced,) = push(work, studio, suggest, model="seg-1", objects=["ram"], replace=True)
    assert replaced.sent == 3
    assert shown() == [("seg-1", "body")]
    studio.delete(f"/api/tasks/{tasks_of(studio, told)[0]['id']}/")
    with pytest.raises(StudioError, match=r"task \d+ \(.*\) is gone from Label Studio"):
        push(work, studio, suggest, model="seg-1", objects=["ram"], replace=True)
    pull(work, studio)
    create(work, studio)  # makes it again, with what was drawn before, and shows the model's
    assert project_of(studio, told)["model_version"] == "seg-1"
    (again,) = push(work, studio, suggest, model="seg-1", objects=["ram"], replace=True)
    assert (again.sent, again.unchanged) == (1, 2)
    assert shown() == [("seg-1", "body")]


def suggest_nothing(images: Sequence[Image]) -> Iterator[Suggestion]:
    """A model that looked and found nothing."""
    return (Suggestion(image.id, ()) for image in images)


def test_a_work_without_model_help_shows_no_predictions(
    make_work: MakeWork, studio: Studio
) -> None:
    work = make_work(model_help=False)
    told = create(work, studio, annotators=[ANN])
    assert project_of(studio, told[0])["show_collab_predictions"] is False


def test_example_pictures_are_served_with_the_instructions(
    make_work: MakeWork, studio: Studio, tmp_path: Path
) -> None:
    (tmp_path / "examples" / "ram").mkdir(parents=True)
    PillowImage.new("RGB", (80, 60), (200, 10, 10)).save(tmp_path / "examples" / "ram" / "x.png")
    told = by_object(create(make_work(), studio, annotators=[ANN], examples=tmp_path / "examples"))
    html = project_of(studio, told["ram"])["expert_instruction"]
    address = html.split('<img src="')[1].split('"')[0].replace("&amp;", "&")
    with studio.stream("GET", address) as shown:
        assert shown.read().startswith(b"\x89PNG")
    assert "<img" not in project_of(studio, told[PEAR.name])["expert_instruction"]


def test_examples_that_are_given_later_renew_the_instructions(
    make_work: MakeWork, studio: Studio, tmp_path: Path
) -> None:
    work, examples = make_work(), tmp_path / "examples" / "ram"
    told = by_object(create(work, studio, annotators=[ANN]))
    assert "<img" not in project_of(studio, told["ram"])["expert_instruction"]
    examples.mkdir(parents=True)
    for red, count in ((200, 2), (90, 1)):
        for number in range(2):
            (examples / f"{number}.png").unlink(missing_ok=True)
        for number in range(count):
            PillowImage.new("RGB", (80, 60), (red, 10, 10)).save(examples / f"{number}.png")
        again = by_object(create(work, studio, examples=examples.parent))
        assert not any(one.made or one.added for one in again.values())
        html = project_of(studio, told["ram"])["expert_instruction"]
        assert html.count("<img") == count
        shown = work.folder / "images" / "_examples" / "ram" / "1.png"
        with PillowImage.open(shown) as picture:
            assert picture.convert("RGB").getpixel((40, 30)) == (red, 10, 10)
    create(work, studio)
    assert project_of(studio, told["ram"])["expert_instruction"] == html


def test_a_project_that_an_earlier_version_made_for_inspectors_is_over(
    make_work: MakeWork, studio: Studio
) -> None:
    work = make_work()
    create(work, studio, annotators=[BEN])
    facts = {"work": work.settings.id, "kind": "inspect", "object": "ram", "round": 1}
    config = "<View><Image name='overlay' value='$overlay'/></View>"
    fields = {"title": "ram: inspect, 3 of 3 to do", "label_config": marked(config, facts)}
    fields |= {"pinned_at": "2026-01-01T00:00:00Z"}
    made = studio.post("/api/projects/", fields)["id"]
    create(work, studio)
    now = studio.get(f"/api/projects/{made}/")
    assert (now["title"], now["pinned_at"]) == ("over: ram, inspected elsewhere", None)
    assert now["description"].startswith("Inspect on the page Inspect of partlab's app")
    assert find_projects(studio, work)["ram", 1] != made


def test_what_is_over_stands_last_and_says_so(make_work: MakeWork, studio: Studio) -> None:
    work = make_work()
    first = by_object(create(work, studio, annotators=[BEN]))
    answer(work, "ram")
    reject(work, "ram")
    second = by_object(create(work, studio))["ram"]
    ids = [first["ram"].project_id, first[PEAR.name].project_id, second.project_id]
    wall = [p for p in studio.pages("/api/projects/") if p["id"] in ids]  # in the wall's order
    assert [(p["id"], p["pinned_at"] is None) for p in wall] == [
        (second.project_id, False),
        (first[PEAR.name].project_id, False),
        (first["ram"].project_id, True),
    ]
    assert wall[-1]["title"] == "over: ram, drawn again elsewhere"
    assert wall[-1]["color"] != wall[0]["color"]
    studio.patch(f"/api/projects/{second.project_id}/", {"title": "mine"})
    create(work, studio)
    assert project_of(studio, second)["title"] == "ram: draw again (round 2), 3 of 3 to do"


# -- what can go wrong ------------------------------------------------------------------------


def test_only_the_categories_that_are_named_are_handed_out(
    make_work: MakeWork, studio: Studio
) -> None:
    work, table = make_work(), {"ram": BEN, PEAR.name: ANN}
    with pytest.raises(UnknownNameError, match="'rma'") as caught:
        create(work, studio, objects=["rma"], annotators=table)
    assert caught.value.hint == "did you mean ram?"
    (seen,) = preview(work, table, objects=["ram"])
    (made,) = create(work, studio, objects=["ram"], annotators=table)
    assert (seen.object, seen.assignee, seen.added) == ("ram", BEN, 3)
    assert (made.object, made.assignee, made.added) == ("ram", BEN, 3)
    assert [batch.object for batch in work.batches()] == ["ram"]
    assert set(find_projects(studio, work)) == {("ram", 1)}
    pear = create(work, studio, objects=[PEAR.name], annotators={PEAR.name: ANN})
    assert [(one.object, one.added) for one in pear] == [(PEAR.name, 3)]
    studio.delete(f"/api/projects/{made.project_id}/")
    assert not any(one.made for one in create(work, studio, objects=[PEAR.name]))
    assert by_object(create(work, studio))["ram"].made
    assert [one.object for one in preview(work, objects=["ram"])] == ["ram"]


def test_who_has_no_account_is_said_and_nothing_is_recorded(
    make_work: MakeWork, studio: Studio
) -> None:
    work = make_work()
    with pytest.raises(UnknownNameError, match="nobody@example"):
        create(work, studio, annotators=[ANN, "nobody@example.org"])
    assert work.batches() == []
    assert find_projects(studio, work) == {}


def test_two_at_once_do_not_hand_out_twice(make_work: MakeWork, studio: Studio) -> None:
    work = make_work()
    with handing_out(work.folder), pytest.raises(BusyError, match="is handing out"):
        create(work, studio, annotators=[ANN])


def test_pictures_the_server_may_not_show(
    make_work: MakeWork, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as elsewhere:
        work = make_work()
        outside = Path(elsewhere) / "work"
        work.close()
        work.folder.rename(outside)
        work = Work.open(outside)
        with pytest.raises(StudioError, match="its document root is not above it") as caught:
            create(work, studio, annotators=[ANN])
        assert f"studio up DIR --root {Path(elsewhere)}" in str(caught.value.hint)
        assert find_projects(studio, work) == {}  # no empty project stays behind
        work.close()
        outside.rename(tmp_path / "work")
    with Work.open(tmp_path / "work") as work:
        told = create(work, studio)
    assert told[0].made
    assert all(one.state == "annotating" and one.added == 3 for one in told)


class Blind(httpx.BaseTransport):
    """To a server that does not show the pictures of one folder."""

    def __init__(self, folder: str) -> None:
        self.inner, self.folder = httpx.HTTPTransport(), folder

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if f"/images/{self.folder}/" in request.url.params.get("d", ""):
            return httpx.Response(404)
        return self.inner.handle_request(request)


def test_a_picture_of_every_category_is_tried(
    make_work: MakeWork, studio_server: Running, studio: Studio
) -> None:
    work = make_work()
    blind = Studio(studio_server.url, studio_server.token, transport=Blind("ram"))
    with pytest.raises(StudioError, match=r"does not show .*/ram/"):
        create(work, blind, annotators=[ANN])
    assert set(find_projects(studio, work)) == {(PEAR.name, 1)}
    assert len(create(work, studio)) == 2


def test_a_lost_picture_leaves_no_empty_project(make_work: MakeWork, studio: Studio) -> None:
    work = make_work()
    shown_picture(work.folder, work.images("ram")[0]).unlink()
    with pytest.raises(NotFoundError, match="is not in"):
        create(work, studio, annotators=[ANN])
    assert set(find_projects(studio, work)) == {(PEAR.name, 1)}


class ForAllPages(http.server.SimpleHTTPRequestHandler):
    """Lets the pages of every site show its pictures."""

    def end_headers(self) -> None:
        self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()


@pytest.fixture
def web(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A web server of the user's own for tmp_path; its address."""
    kind = getattr(request, "param", ForAllPages)
    handler = functools.partial(kind, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_pictures_may_come_from_a_web_server(make_work: MakeWork, studio: Studio, web: str) -> None:
    work = make_work(name="zoo", image_url=f"{web}/zoo/images/")
    told = by_object(create(work, studio, annotators=[ANN]))[PEAR.name]
    address = tasks_of(studio, told)[0]["data"]["image"]
    assert address.startswith(f"{web}/zoo/images/Birne")
    image = work.images(PEAR.name)[0]
    assert httpx.get(address).content == shown_picture(work.folder, image).read_bytes()
    assert studio.get("/api/storages/localfiles", project=told.project_id) == []


def test_a_wrong_address_of_the_pictures(make_work: MakeWork, studio: Studio, web: str) -> None:
    with pytest.raises(StudioError, match=r"is not the picture .*status 404"):
        create(make_work(image_url=f"{web}/wrong"), studio, annotators=[ANN])
    with pytest.raises(StudioError, match="cannot fetch http://127"):
        create(make_work(name="b", image_url="http://127.0.0.1:9/x"), studio, annotators=[ANN])


@pytest.mark.parametrize("web", [http.server.SimpleHTTPRequestHandler], indirect=True)
def test_pictures_that_browsers_would_not_show(
    make_work: MakeWork, studio: Studio, web: str
) -> None:
    with pytest.raises(StudioError, match="browsers show no picture") as caught:
        create(make_work(name="zoo", image_url=f"{web}/zoo/images"), studio, annotators=[ANN])
    assert f"Access-Control-Allow-Origin: {studio.url}" in str(caught.value.hint)


def test_a_mistyped_address_can_be_put_right(
    make_work: MakeWork, studio: Studio, web: str, tmp_path: Path
) -> None:
    work = make_work(name="zoo", image_url=f"{web}/from/images")
    with pytest.raises(StudioError, match="is not the picture"):
        create(work, studio, annotators=[ANN])
    right = f"{web}/zoo/images"
    reopen_work(work.folder, image_url=right, dry_run=True)
    with Work.open(work.folder) as same:
        assert same.settings.image_url == f"{web}/from/images"
    told = create(reopen_work(work.folder, image_url=right), studio)
    assert tasks_of(studio, told[0])[0]["data"]["image"].startswith(right)
    reopen_work(work.folder, image_url=right)
    with pytest.raises(StateError, match=f"begun with image url: {right}"):
        reopen_work(work.folder, image_url=f"{web}/other")


# -- handing over -----------------------------------------------------------------------------


def test_a_category_changes_hands_before_its_first_answer(
    make_work: MakeWork, studio: Studio
) -> None:
    work = make_work()
    told = by_object(create(work, studio, annotators=[ANN]))["ram"]
    batch, redone = reassign(work, studio, "ram", CLEO.upper())
    assert (batch.assignee, batch.round, redone) == (CLEO, 1, 0)
    assert project_of(studio, told)["description"].startswith(f"For {CLEO}. ")
    assert work.batch(PEAR.name).assignee == ANN
    assert by_object(create(work, studio))["ram"].project_id == told.project_id
    with pytest.raises(StateError, match="s already"):
        reassign(work, studio, "ram", CLEO)


def test_with_answers_the_round_is_begun_afresh(make_work: MakeWork, studio: Studio) -> None:
    work = make_work()
    told = by_object(create(work, studio, annotators=[ANN]))["ram"]
    answer(work, "ram", only=2)
    with pytest.raises(StateError, match=f"already has 2 answers of {ANN}"):
        reassign(work, studio, "ram", BEN)
    assert reassign(work, studio, "ram", BEN, force=True, dry_run=True)[1] == 2
    assert work.batch("ram").assignee == ANN
    batch, redone = reassign(work, studio, "ram", BEN, force=True)
    assert (batch.round, batch.state, batch.assignee, redone) == (2, "planned", BEN, 2)
    assert project_of(studio, told)["title"] == "over: ram, given up"
    again = by_object(create(work, studio))["ram"]
    assert (again.round, again.made, again.added) == (2, True, 3)
    assert len(list(work.answers("ram", 1))) == 2  # nothing is lost


def test_after_a_rejection_the_next_round_may_be_somebody_elses(
    make_work: MakeWork, studio: Studio
) -> None:
    work = make_work()
    create(work, studio, annotators=[ANN])
    answer(work, "ram")
    reject(work, "ram")
    batch, redone = reassign(work, studio, "ram", BEN)
    assert (batch.round, batch.assignee, redone) == (2, BEN, 0)
    with pytest.raises(UnknownNameError, match="nobody@x"):
        reassign(work, studio, "ram", "nobody@x.org")
    with pytest.raises(UnknownNameError, match="rat"):
        reassign(work, studio, "rat", BEN)


# -- the commands -----------------------------------------------------------------------------


def run(*words: object) -> tuple[int, dict[str, Any], str]:
    result = CliRunner().invoke(app, ["studio", *map(str, words), "--json"])
    told = json.loads(result.stdout) if result.stdout.startswith("{") else {}
    return result.exit_code, told, result.stderr


def test_the_commands(
    make_work: MakeWork,
    studio_server: Running,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARTLAB_STUDIO_URL", studio_server.url)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", studio_server.token)
    old = make_work(name="old")
    words = ["create", tmp_path / "new", "--vocabulary", old.folder / "vocabulary.yaml"]
    words += ["--images", tmp_path / "photos", "--annotators", f"{ANN},{BEN}", "--per-object", 2]
    code, told, _ = run(*words, "--dry-run")
    assert code == 0
    assert [one["images"] for one in told["rounds"]] == [2, 2]
    assert not (tmp_path / "new").exists()
    for dry in ([], ["--dry-run"]):
        code, _, words_of_error = run(*words[:-3], "nobody@example.org", "--per-object", 2, *dry)
        assert code == 3
        assert "partlab studio user nobody@example.org" in words_of_error
    assert not (tmp_path / "new").exists()
    code, told, _ = run(*words)
    assert code == 0
    assert [one["state"] for one in told["rounds"]] == ["annotating", "annotating"]
    code, told, _ = run("create", tmp_path / "new", "--dry-run")
    assert [one["added"] for one in told["rounds"]] == [0, 0]
    code, told, _ = run("reassign", tmp_path / "new", "ram", "--to", CLEO)
    assert (code, told["assignee"]) == (0, CLEO)
    assert run("create", tmp_path / "other")[0] == 2
    assert run(*words[:-1], 4, "--dry-run")[0] == 1  # a work goes by what it was begun with
    for dry in ([], ["--dry-run"]):
        code, told, _ = run("create", tmp_path / "new", "ram", *dry)
        assert (code, [one["object"] for one in told["rounds"]]) == (0, ["ram"])
        code, _, words_of_error = run("create", tmp_path / "new", "rma", *dry)
        assert (code, "did you mean ram?" in words_of_error) == (3, True)
    for option in (["--no-model-help"], ["--seed", 5], ["--name", "x"]):
        code, _, words_of_error = run("create", tmp_path / "new", *option)
        assert (code, "was begun with" in words_of_error) == (1, True)
        assert str(option[0]).removeprefix("--no-").removeprefix("--") in words_of_error
    words[1] = tmp_path / "newer"
    code, _, words_of_error = run(*words[:-1], 4, "--dry-run")
    assert (code, "fewer than 4 images of" in words_of_error) == (5, True)
    assert run("reassign", tmp_path / "other", "ram", "--to", CLEO)[0] == 3
    monkeypatch.delenv("PARTLAB_STUDIO_TOKEN")
    code, _, words_of_error = run("create", tmp_path / "new")
    assert (code, "PARTLAB_STUDIO_TOKEN not set" in words_of_error) == (4, True)


def test_a_preview_needs_no_server(make_work: MakeWork) -> None:
    told = preview(make_work(), [ANN, BEN])
    assert [(one.assignee, one.images, one.made) for one in told] == [
        (ANN, 3, True),
        (BEN, 3, True),
    ]
