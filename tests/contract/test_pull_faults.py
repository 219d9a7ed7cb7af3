"""Pull and a real Label Studio when things go wrong: nothing is lost, and it is said what is."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotator import Person, choice
from fake_tasks import drawn, refused
from farm import FARM
from PIL import Image as PillowImage

from annotate.studio.acts.begin import begin_work, plan_work
from annotate.studio.acts.create import create
from annotate.studio.acts.pull import pull, read_export
from annotate.studio.acts.push import push
from annotate.studio.api.changes import PAGE
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import mark
from annotate.studio.api.users import create_users
from annotate.studio.server.start import Running, start_server
from annotate.studio.spelling.labelconfig import config_hash, label_config
from annotate.studio.spelling.mark import marked
from annotate.work import Image, Work, rebuild_work
from partlab.errors import StudioError
from partlab.progress import Silent, listening

ROOT = Path(__file__).resolve().parents[2]
RAM = FARM.object("ram")
ANN, BEN, LEAD = "ann.pull@x.org", "ben.pull@x.org", "lead.pull@x.org"
TASKS = 2 * PAGE + 10
HEAD, BODY = (5, 5, 20, 20), (30, 5, 20, 30)


@pytest.fixture(scope="module")
def people(studio_server: Running) -> dict[str, str]:
    """Passwords by email."""
    with studio_server.studio() as studio:
        made = create_users(studio, [ANN, BEN, LEAD])
    return {account.email: account.password or "" for account in made}


def filled(folder: Path, studio: Studio) -> Work:
    """A round of many pictures, all but two drawn or given up; imported, so that it is quick."""
    rows = [
        Image(id=i, object="ram", file_name=f"{i}.jpg", width=64, height=48, shown=[64, 48], rank=i)
        for i in range(1, TASKS + 1)
    ]
    work = Work.create(folder, folder.name, FARM, rows)
    planned = {"images": [r.id for r in rows], "assignee": ANN, "vocabulary_version": 1}
    work.record("planned", who="lead", object="ram", round=1, data=planned)
    xml = label_config(RAM)
    made = {"title": folder.name, "label_config": marked(xml, mark(work, work.batch("ram")))}
    project = studio.post("/api/projects/", made)["id"]
    ann = studio.users()[ANN]
    tasks = [task_with(n, work, ann) for n in range(1, TASKS + 1)]
    ids = studio.post(f"/api/projects/{project}/import", tasks, return_task_ids="true")["task_ids"]
    opened = {"project_id": project, "config_hash": config_hash(xml)}
    work.record("opened", who="lead", object="ram", data=opened)
    known = {"project_id": project, "tasks": {str(n): id for n, id in enumerate(ids, 1)}}
    work.record("tasks", who="lead", object="ram", data=known)
    return work


def task_with(number: int, work: Work, annotator: int) -> dict[str, Any]:
    shift = number % 7
    result = drawn(RAM, head=(4 + shift, 4, 20, 20), body=(30, 4 + shift, 20, 30))
    made = {"result": [refused()] if number % 10 == 0 else result, "lead_time": 60.0}
    made |= {"completed_by": annotator, "ground_truth": False}
    data = {"image": "x.jpg", "image_id": number, "partlab": work.settings.id, "todo": ""}
    return {"data": data, "annotations": [made] if number <= TASKS - 2 else []}


def state(work: Work) -> Any:
    """What is known of the ram."""
    answers = [
        (a.image_id, a.task_id, a.annotation_id, a.updated_at, a.kind, a.reason, a.masks)
        for a in work.answers("ram", 1)
    ]
    return answers, [f.message for f in work.flags()], work.batch("ram").cursor


def exports(folder: Path) -> list[Path]:
    return sorted((folder / "exports" / "ram" / "r1").glob("0*.jsonl.gz"))


@pytest.fixture
def run(studio_server: Running) -> Callable[..., subprocess.Popen[str]]:
    """`run("pull", folder)`: `partlab studio pull folder` in a process of its own."""

    def start(*words: object, **variables: str) -> subprocess.Popen[str]:
        env = {**os.environ, "PARTLAB_STUDIO_URL": studio_server.url}
        env |= {"PARTLAB_STUDIO_TOKEN": studio_server.token, **variables}
        command = [sys.executable, "-m", "app.cli.main", "studio", *map(str, words)]
        return subprocess.Popen(command, cwd=ROOT, text=True, env=env, stdout=-1, stderr=-1)

    return start


def until(moment: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Send `kill -9` at a moment."""
    limit = time.monotonic() + 60
    while not moment() and process.poll() is None:
        assert time.monotonic() < limit, "the moment never came"
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_kill_9_at_several_moments(
    studio: Studio, tmp_path: Path, people: dict[str, str], run: Any
) -> None:
    filled(tmp_path / "work", studio).close()
    shutil.copytree(tmp_path / "work", tmp_path / "whole")
    with Work.open(tmp_path / "whole") as whole:
        (told,) = pull(whole, studio)
        assert (told.tasks, told.open, told.discards) == (TASKS - 2, 2, (TASKS - 2) // 10)
        expected = state(whole)
    names = [path.name for path in exports(tmp_path / "whole")]
    assert len(names) == 3

    def written(folder: Path, count: int) -> bool:
        return len(exports(folder)) >= count

    moments: dict[str, Callable[[Path], bool]] = {
        "it has the lock": lambda folder: (folder / ".pull" / ".lock").exists(),
        "it writes the first export": lambda folder: bool(list(folder.rglob(".000001.*.tmp"))),
        "the first export is there": lambda folder: written(folder, 1),
        "the second export is there": lambda folder: written(folder, 2),
        "the last export is there": lambda folder: written(folder, 3),
    }
    killed = 0
    for number, moment in enumerate(moments.values()):
        folder = tmp_path / f"killed{number}"
        shutil.copytree(tmp_path / "work", folder)
        process = run("pull", folder)
        until(lambda folder=folder, moment=moment: moment(folder), process)
        killed += process.returncode == -signal.SIGKILL
        with Work.open(folder) as work:
            pull(work, studio)
            assert state(work) == expected
            pulled = [e for e in work.events("ram") if e.what == "pulled"]
            assert sum(event.data["tasks"] for event in pulled) == TASKS - 2  # none twice
        assert [path.name for path in exports(folder)] == names
        rebuild_work(folder, read_export)
        with Work.open(folder) as again:
            assert state(again) == expected
    assert killed >= 4  # the last moment may be too late


def test_two_pulls_at_once(
    studio: Studio, tmp_path: Path, people: dict[str, str], run: Any
) -> None:
    work = filled(tmp_path / "work", studio)
    both = [run("pull", tmp_path / "work") for _ in range(2)]
    told = [process.communicate()[1] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 0], [0, 1])
    assert codes == [0, 0] or any("another pull of" in words for words in told)
    pulled = [e for e in work.events("ram") if e.what == "pulled"]
    assert sum(event.data["tasks"] for event in pulled) == TASKS - 2


def stopping(moment: int, act: Callable[[], None]) -> Any:
    """Somebody who listens, and does something after some tasks."""

    class Stopping(Silent):
        def track(self, items: Any, what: str, total: int | None = None) -> Any:
            for number, item in enumerate(items):
                if number == moment:
                    act()
                yield item

    return listening(Stopping())


def test_the_server_stops_in_the_middle(
    studio_server: Running, tmp_path: Path, people: dict[str, str]
) -> None:
    folder = tmp_path / "server"
    with start_server(folder, root=tmp_path, port=0) as server:
        port = int(server.url.rpartition(":")[2])
        with server.studio() as studio:
            create_users(studio, [ANN])
            work = filled(tmp_path / "work", studio)

        def stop() -> None:
            os.kill(server.pid, signal.SIGKILL)

        with (
            Studio(server.url, server.token, pause=0.01) as studio,
            pytest.raises(StudioError, match=r"no Label Studio answers|broke off") as caught,
            stopping(PAGE + 10, stop),
        ):
            pull(work, studio)
        assert caught.value.exit_code == 4
    assert len(list(work.answers("ram", 1))) == PAGE  # the first handful; the second waited
    with start_server(folder, root=tmp_path, port=port) as server, server.studio() as studio:
        (told,) = pull(work, studio)
    assert told.tasks == TASKS - 2 - PAGE
    assert told.open == 2


def test_another_server_holds_a_work_of_the_same_name(
    studio: Studio, tmp_path: Path, people: dict[str, str]
) -> None:
    """A wrong address, and even a project of the same number: nothing is taken in."""
    ours = filled(tmp_path / "ours" / "farm", studio)
    number = ours.batch("ram").project_id or 0
    place = tmp_path / "other"
    with start_server(place, root=tmp_path, port=0) as running, running.studio() as other:
        create_users(other, [ANN])
        made = 0
        while made < number - 1:
            made = other.post("/api/projects/", {"title": "another"})["id"]
        theirs = filled(tmp_path / "theirs" / "farm", other)
        assert theirs.settings.name == ours.settings.name
        assert theirs.batch("ram").project_id == number
        for changed in (None, label_config(RAM)):  # as it was made, then written anew by hand
            if changed:
                other.patch(f"/api/projects/{number}/", {"label_config": changed})
            (told,) = pull(ours, other)
            assert "does not belong to this work" in (told.trouble or "")
            assert state(ours) == ([], [], None)
        with pytest.raises(StudioError, match="does not belong to this work"):
            push(ours, other, lambda images: (), model="m@1")
        (told,) = pull(theirs, other)  # their own project is known by its tasks
        assert (told.trouble, told.answers) == (None, TASKS - 2)
    (told,) = pull(ours, studio)
    assert (told.trouble, told.answers) == (None, TASKS - 2)


def test_the_token_ends_in_the_middle(
    studio_server: Running, studio: Studio, tmp_path: Path, people: dict[str, str]
) -> None:
    work = filled(tmp_path / "work", studio)
    with Person(studio_server.url, LEAD, people[LEAD]) as lead:
        token = lead.token()
        with (
            Studio(studio_server.url, token, pause=0.01) as connection,
            pytest.raises(StudioError, match="does not accept the token") as caught,
            stopping(PAGE + 10, lead.end_token),
        ):
            pull(work, connection)
    assert "legacy token" in str(caught.value)
    assert token not in f"{caught.value} {caught.value.hint}"
    assert len(list(work.answers("ram", 1))) == PAGE
    (told,) = pull(work, studio)
    assert (told.tasks, told.open) == (TASKS - 2 - PAGE, 2)


@pytest.fixture
def small(studio: Studio, tmp_path: Path, people: dict[str, str]) -> Iterator[Work]:
    """A work of five rams, handed out to ann as always."""
    photos = tmp_path / "photos" / "ram"
    photos.mkdir(parents=True)
    for number in range(5):
        noise = np.random.default_rng(number).integers(0, 255, (48, 64, 3), np.uint8)
        PillowImage.fromarray(noise).save(photos / f"{number}.png")
    plan = plan_work(FARM.model_copy(update={"objects": (RAM,)}), photos.parent)
    with begin_work(tmp_path / "small", plan, name=tmp_path.name, per_object=5) as work:
        create(work, studio, annotators=[ANN])
        yield work


def person(server: Running, people: dict[str, str], email: str = ANN) -> Person:
    return Person(server.url, email, people[email])


def task_ids(work: Work) -> list[int]:
    return [task.task_id or 0 for task in work.tasks("ram", work.batch("ram").round)]


def test_a_deleted_project_costs_nothing(
    studio_server: Running,
    studio: Studio,
    small: Work,
    people: dict[str, str],
    run: Any,
) -> None:
    with person(studio_server, people) as ann:
        for task in task_ids(small)[:3]:
            ann.submit(task, drawn(RAM, head=HEAD))
    assert pull(small, studio)[0].masks == 3
    project = small.batch("ram").project_id
    studio.delete(f"/api/projects/{project}/")
    process = run("pull", small.folder, "--json")
    out, err = process.communicate()
    assert process.returncode == 4
    (told,) = json.loads(out)["rounds"]
    assert (told["open"], told["submitted"]) == (2, False)
    words = json.loads(err.splitlines()[-1])
    assert f"project {project} (ram round 1) is gone from {studio.url}" in words["error"]
    assert "3 answers are kept in the exports" in words["error"]
    assert "for the 2 images still open" in words["hint"]

    create(small, studio)  # makes it anew, for the open ones only
    with person(studio_server, people) as ann:
        new = [t["id"] for t in ann.tasks(small.batch("ram").project_id or 0)]
        assert len(new) == 2
        for task in new:
            ann.submit(task, drawn(RAM, body=BODY))
    (done,) = pull(small, studio)
    assert (done.masks, done.submitted, done.open) == (2, True, 0)
    assert len(list(small.answers("ram", 1))) == 5


def test_a_deleted_task_comes_back_with_create(
    studio_server: Running, studio: Studio, small: Work, people: dict[str, str]
) -> None:
    ids = task_ids(small)
    with person(studio_server, people) as ann:
        for task in ids[:4]:
            ann.submit(task, drawn(RAM, head=HEAD))
    pull(small, studio)
    for task in (ids[0], ids[4]):
        studio.delete(f"/api/tasks/{task}/")
    (told,) = pull(small, studio)
    assert (told.flags, told.open, len(list(small.answers("ram", 1)))) == (2, 1, 4)
    assert create(small, studio)[0].added == 1
    (again,) = [t for t in small.tasks("ram", 1) if t.image_id == 5]
    with person(studio_server, people) as ann:
        ann.submit(again.task_id or 0, drawn(RAM, head=HEAD))
    assert pull(small, studio)[0].submitted


def test_a_label_renamed_by_hand(
    studio_server: Running, studio: Studio, small: Work, people: dict[str, str]
) -> None:
    """Label Studio accepts it and leaves old annotations as they are (it protects nothing)."""
    ids, project = task_ids(small), small.batch("ram").project_id
    with person(studio_server, people) as ann:
        ann.submit(ids[0], drawn(RAM, two_lists=False, head=HEAD))
        path = f"/api/projects/{project}/"
        config = studio.get(path)["label_config"]
        studio.patch(path, {"label_config": config.replace('alias="head"', 'alias="skull"')})
        result = drawn(RAM, two_lists=False, head=HEAD)
        (label,) = (item for item in result if item["type"] == "labels")
        label["value"]["labels"] = ["skull"]
        made = ann.submit(ids[1], result)
    (told,) = pull(small, studio)
    assert (told.masks, told.broken, told.open) == (1, 1, 4)
    (flag,) = small.flags()
    assert flag.kind == "unknown-label"
    assert f"project {project} task {ids[1]} annotation {made['id']} (ram/" in flag.message
    assert "ram has no part 'skull'" in flag.message


def test_a_region_of_a_wrong_size(
    studio_server: Running, studio: Studio, small: Work, people: dict[str, str]
) -> None:
    with person(studio_server, people) as ann:
        ann.submit(task_ids(small)[0], drawn(RAM, (640, 480), head=HEAD))
    (told,) = pull(small, studio)
    assert (told.broken, told.masks) == (1, 0)
    assert "640x480" in small.flags()[0].message


def test_a_foreign_edit_and_a_foreign_annotation(
    studio_server: Running, studio: Studio, small: Work, people: dict[str, str]
) -> None:
    """Community edition lets every user change everything."""
    first, second = task_ids(small)[:2]
    with person(studio_server, people) as ann, person(studio_server, people, BEN) as ben:
        made = ann.submit(first, drawn(RAM, head=HEAD))["id"]
        pull(small, studio)
        ben.update(made, drawn(RAM, body=BODY))
        ben.submit(second, drawn(RAM, head=HEAD))
        (told,) = pull(small, studio)
        assert (told.answers, told.flags) == (0, 2)
        (kept,) = small.answers("ram", 1)
        assert [mask["part"] for mask in kept.masks] == ["head"]
        assert {flag.kind for flag in small.flags()} == {"foreign-edit", "foreign-annotation"}
        assert all(BEN in flag.message for flag in small.flags())
        ann.update(made, drawn(RAM, body=BODY))  # she agrees
    pull(small, studio)
    (taken,) = small.answers("ram", 1)
    assert [mask["part"] for mask in taken.masks] == ["body"]


def test_every_kind_of_change_is_noticed(
    studio_server: Running, studio: Studio, small: Work, people: dict[str, str]
) -> None:
    """Submitted, changed, given up, deleted: each moves the task's time on the real server."""
    one, two = task_ids(small)[:2]
    with person(studio_server, people) as ann:
        made = ann.submit(one, drawn(RAM, head=HEAD))["id"]
        assert pull(small, studio)[0].masks == 1
        ann.update(made, drawn(RAM, head=HEAD, body=BODY))
        assert pull(small, studio)[0].masks == 1
        ann.update(made, [choice("discard", "low quality")])
        assert pull(small, studio)[0].discards == 1
        ann.submit(two, drawn(RAM, head=HEAD))
        assert pull(small, studio)[0].masks == 1
        assert pull(small, studio)[0].tasks == 0
    studio.delete(f"/api/annotations/{made}/")
    (told,) = pull(small, studio)
    assert (told.flags, small.flags()[0].kind) == (1, "deleted")


def test_suggestions_that_the_studio_turned_into_annotations(
    studio_server: Running, studio: Studio, small: Work, people: dict[str, str]
) -> None:
    """D-05: an action of its Data Manager copies them for many tasks; nobody looked at one."""
    (task, *_), project = task_ids(small), small.batch("ram").project_id
    body = [{"task": task, "result": regions(drawn(RAM, head=HEAD)), "model_version": "seg@aa"}]
    studio.post(f"/api/projects/{project}/import/predictions", body)
    with person(studio_server, people) as ann:
        ann.turn_suggestions_into_annotations(project or 0)
    pull(small, studio)
    (answer,) = small.answers("ram", 1)
    assert [(m["origin"], m["model"]) for m in answer.masks] == [("prediction", "seg@aa")]


def regions(result: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As `push` sends them."""
    return [{key: item[key] for key in item if key != "origin"} for item in result]


def test_suggestions_leave_their_name(
    studio_server: Running, studio: Studio, small: Work, people: dict[str, str]
) -> None:
    """D-05: what an annotation began with, by the real server's own word."""
    (task, *_), project = task_ids(small), small.batch("ram").project_id
    suggested = drawn(RAM, head=HEAD)
    for model in ("seg-1@aa", "seg-2@bb"):
        body = [{"task": task, "result": suggested, "model_version": model}]
        studio.post(f"/api/projects/{project}/import/predictions", body)
    predictions = studio.get("/api/predictions/", task=task)
    second = next(p["id"] for p in predictions if p["model_version"] == "seg-2@bb")
    result = [{**suggested[0], "origin": "prediction"}]
    with person(studio_server, people) as ann:
        ann.submit(task, result, parent_prediction=second)
    pull(small, studio)
    (answer,) = small.answers("ram", 1)
    assert [(m["origin"], m["model"]) for m in answer.masks] == [("prediction", "seg-2@bb")]
