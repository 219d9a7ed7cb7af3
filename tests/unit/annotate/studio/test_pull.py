"""Fetching what changed: once, whole, whatever cuts it off, and the same again in a rebuild."""

import gzip
import json
import resource
import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fake_tasks import FakeTasks, drawn, refused
from farm import FARM, hand_out, start

from annotate.studio.acts import pull as pulling
from annotate.studio.acts.pull import Pulled, pull, read_export
from annotate.studio.api import changes
from annotate.studio.spelling.codec import encode_brush
from annotate.vocabulary import Part
from annotate.work import Image, Work, rebuild_work
from partlab.errors import (
    BusyError,
    NotFoundError,
    PartlabError,
    SchemaError,
    StateError,
    StudioError,
)
from partlab.files import exclusive, sha256_json
from partlab.progress import Silent, listening

RAM = FARM.object("ram")
PAGE = 4
DRAWN = 2 * PAGE + 2


class CutOffError(BaseException):
    """`kill -9`, as far as this process is concerned."""


def fetch(work: Work, server: FakeTasks, **how: Any) -> Pulled:
    with server.client() as studio:
        return pull(work, studio, **how)[-1]


def draw_all(work: Work, server: FakeTasks, *, but: int = 0) -> None:
    """Every picture of the ram is drawn, but for the last few."""
    tasks = work.tasks("ram", 1)
    for task in tasks[: len(tasks) - but]:
        assert task.task_id is not None
        shift = task.task_id % 5
        server.annotate(task.task_id, drawn(RAM, head=(4 + shift, 4, 20, 20), body=(30, 4, 20, 30)))


def state(work: Work) -> Any:
    """Everything known of the ram, but where it came from and when it was recorded."""
    answers = [{**vars(a), "raw": None} for a in work.answers("ram", 1)]
    for answer in answers:
        answer.pop("_sa_instance_state", None)
    flags = sorted((f.task_id, f.annotation_id, f.kind, f.message) for f in work.flags())
    tasks = [(t.image_id, t.task_id, t.seen) for t in work.tasks("ram", 1)]
    batch = work.batch("ram")
    return answers, flags, tasks, (batch.state, batch.cursor, batch.manifest_hash)


def rebuilt(work: Work) -> Any:
    """The state as it is made again from the journal and the raw exports alone."""
    copy = work.folder.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(work.folder, copy)
    for file in copy.glob("partlab.db*"):
        file.unlink()
    rebuild_work(copy, read_export)
    with Work.open(copy) as again:
        return state(again), [event.after for event in again.events()]


def exports(work: Work) -> list[Path]:
    return sorted((work.folder / "exports" / "ram" / "r1").glob("*.jsonl.gz"))


def test_what_was_drawn_becomes_answers_with_who_and_how_long(
    work: Work, server: FakeTasks
) -> None:
    server.annotate(1001, drawn(RAM, head=(5, 5, 20, 20), horn=(8, 6, 6, 6)))
    server.annotate(1002, [refused("object too small")])
    told = fetch(work, server)
    assert (told.tasks, told.masks, told.discards, told.open) == (2, 1, 1, 10)
    first, second = work.answers("ram", 1)
    assert (first.kind, first.annotator, first.minutes) == ("masks", "ann@x.org", 1.5)
    assert [(m["part"], m["object"], m["origin"], m["model"]) for m in first.masks] == [
        ("head", 1, "manual", None),
        ("horn", 1, "manual", None),
    ]
    assert [m["rle"]["size"] for m in first.masks] == [[48, 64]] * 2
    assert first.problems == []  # the horn lies in the head, as declared
    assert (second.kind, second.reason, second.masks) == ("discard", "object too small", [])
    assert work.flags() == []
    (raw,) = exports(work)
    assert first.raw == raw.relative_to(work.folder).as_posix()
    lines = gzip.decompress(raw.read_bytes()).splitlines()
    assert json.loads(lines[0])["people"] == {"2": "ann@x.org"}
    assert [json.loads(line)["id"] for line in lines[1:]] == [1001, 1002]
    assert json.loads(lines[1])["annotations"] == server.tasks[1001]["annotations"]


def test_nothing_new_records_nothing(work: Work, server: FakeTasks) -> None:
    draw_all(work, server, but=3)
    fetch(work, server)
    before, files = len(work.events()), exports(work)
    told = fetch(work, server)
    assert (told.tasks, told.answers, told.flags) == (0, 0, 0)
    assert len(work.events()) == before
    assert exports(work) == files
    assert rebuilt(work) == (state(work), [event.after for event in work.events()])


def test_only_what_changed_is_asked_for_and_taken(work: Work, server: FakeTasks) -> None:
    draw_all(work, server)
    fetch(work, server)
    for _ in range(600):  # ten minutes later, beyond the overlap
        server.now()
    one = work.tasks("ram", 1)[4].task_id
    made = server.tasks[one]["annotations"][0]["id"]
    server.change(made, result=drawn(RAM, body=(1, 1, 40, 40)))
    server.requests.clear()
    told = fetch(work, server)
    assert (told.tasks, told.answers) == (1, 1)
    asked = [url for url in server.requests if "updated_at" in url and "expand" in url]
    assert len(asked) == 1
    assert "2026-03-01T09%3A55" in asked[0]  # the cursor less the overlap
    (raw,) = exports(work)[1:]
    assert len(gzip.decompress(raw.read_bytes()).splitlines()) == 2
    answer = next(a for a in work.answers("ram", 1) if a.task_id == one)
    assert [m["part"] for m in answer.masks] == ["body"]


def test_tasks_without_an_annotation_leave_no_trace(work: Work, server: FakeTasks) -> None:
    told = fetch(work, server)
    assert (told.tasks, told.open) == (0, 12)
    assert exports(work) == []
    assert work.batch("ram").cursor is not None  # the next pull need not look at them again
    events = len(work.events())
    fetch(work, server)
    assert len(work.events()) == events


def test_a_complete_round_is_submitted_with_its_manifest(work: Work, server: FakeTasks) -> None:
    """M-08: masks, inclusions and discards come back as one batch with a hash."""
    draw_all(work, server, but=1)
    server.annotate(1012, [refused()])
    told = fetch(work, server)
    assert (told.submitted, told.state, told.open) == (True, "submitted", 0)
    manifest = json.loads((exports(work)[0].parent / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["inclusions"] == {"horn": "head"}
    assert manifest["discards"] == {"12": "low quality"}
    assert len(manifest["images"]) == 11
    assert set(manifest["images"]["1"]) == {"head#1", "body#1"}
    assert work.batch("ram").manifest_hash == sha256_json(manifest)
    (event,) = [e for e in work.events("ram") if e.what == "submitted"]
    assert (event.data["images"], event.data["masks"], event.data["discards"]) == (11, 22, 1)


def test_a_change_after_submitting_makes_another_batch(work: Work, server: FakeTasks) -> None:
    draw_all(work, server)
    fetch(work, server)
    first = work.batch("ram").manifest_hash
    made = server.tasks[1003]["annotations"][0]["id"]
    server.change(made, result=drawn(RAM, head=(0, 0, 30, 30)))
    assert fetch(work, server).submitted
    assert work.batch("ram").manifest_hash != first


def test_a_task_touched_without_a_change_does_not_open_the_round(
    work: Work, server: FakeTasks
) -> None:
    draw_all(work, server)
    fetch(work, server)
    server.tasks[1003]["updated_at"] = server.now()
    told = fetch(work, server)
    assert (told.tasks, told.answers, told.state) == (1, 0, "submitted")


def test_submitting_can_wait(work: Work, server: FakeTasks) -> None:
    draw_all(work, server)
    assert fetch(work, server, submit=False).state == "annotating"
    assert fetch(work, server).submitted  # although nothing is new


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (changes, pulling):
        monkeypatch.setattr(module, "PAGE", PAGE)


def big(tmp_path: Path, name: str, images: int = 2 * PAGE + 4) -> tuple[Work, FakeTasks]:
    """A round of several pages, all drawn."""
    rows = [
        Image(id=i, object="ram", file_name=f"{i}.jpg", width=64, height=48, shown=[64, 48], rank=i)
        for i in range(1, images + 1)
    ]
    work = Work.create(tmp_path / name, "farm", FARM, rows, id="0" * 32)
    hand_out(work)
    server = FakeTasks()
    server.add_round(work, "ram")
    draw_all(work, server, but=2)
    return work, server


@pytest.mark.usefixtures("small_pages")
def test_many_tasks_come_a_page_at_a_time(tmp_path: Path) -> None:
    work, server = big(tmp_path, "work")
    told = fetch(work, server)
    assert (told.tasks, told.masks, told.open) == (DRAWN, DRAWN, 2)
    cursors = [e.data.get("cursor") for e in work.events("ram") if e.what == "pulled"]
    assert [cursor is not None for cursor in cursors] == [False, False, True]
    assert len(exports(work)) == 3
    assert rebuilt(work)[0] == state(work)


@pytest.mark.usefixtures("small_pages")
def test_whole_pages_carry_the_cursor_too(tmp_path: Path) -> None:
    work, server = big(tmp_path, "work", 2 * PAGE + 2)
    fetch(work, server)
    cursors = [e.data.get("cursor") for e in work.events("ram") if e.what == "pulled"]
    assert [cursor is not None for cursor in cursors] == [False, True]


@pytest.mark.usefixtures("small_pages")
def test_cut_off_at_any_request_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    whole, server = big(tmp_path, "whole")
    fetch(whole, server)
    expected, count = state(whole), len(server.requests)
    for moment in range(count):
        work, server = big(tmp_path, f"work{moment}")

        def cut(number: int, moment: int = moment) -> None:
            if number == moment:
                raise CutOffError

        server.before = cut
        with pytest.raises(CutOffError):
            fetch(work, server)
        fetch(work, server)
        assert state(work) == expected
        assert len(exports(work)) == 3
        work.close()


@pytest.mark.parametrize("moment", ["before the event", "after the event", "in the raw export"])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.usefixtures("small_pages")
def test_cut_off_between_export_and_event(
    moment: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor moves only with the event; an export without one is taken up."""
    whole, server = big(tmp_path, "whole")
    fetch(whole, server)
    work, again = big(tmp_path, "work")
    with monkeypatch.context() as patched:
        cut_at(patched, moment, number)
        with pytest.raises(CutOffError):
            fetch(work, again)
    told = fetch(work, again)
    assert state(work) == state(whole)
    assert len(exports(work)) == 3
    assert not list(work.folder.rglob("*.tmp"))
    recorded = number - (moment != "after the event")
    assert told.tasks == max(DRAWN - PAGE * recorded, 0)  # none is read twice
    assert rebuilt(work)[0] == state(whole)


def cut_at(patched: pytest.MonkeyPatch, moment: str, number: int) -> None:
    calls = iter(range(1, 100))
    if moment == "in the raw export":
        original: Any = gzip.GzipFile.write
        lines = iter(range(10_000))

        def write(self: Any, data: bytes) -> Any:
            if next(lines) == (number - 1) * (PAGE + 1) + 2:
                raise CutOffError
            return original(self, data)

        patched.setattr(gzip.GzipFile, "write", write)
        return
    record = Work.record

    def recording(self: Work, what: str, **about: Any) -> Any:
        cut = what == "pulled" and next(calls) == number
        if cut and moment == "before the event":
            raise CutOffError
        done = record(self, what, **about)
        if cut:
            raise CutOffError
        return done

    patched.setattr(Work, "record", recording)


def test_an_export_is_enough_when_the_project_is_gone_meanwhile(
    work: Work, server: FakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_all(work, server, but=2)
    with monkeypatch.context() as patched:
        cut_at(patched, "before the event", 1)
        with pytest.raises(CutOffError):
            fetch(work, server)
    server.projects.clear()
    told = fetch(work, server)
    assert (told.masks, told.open) == (10, 2)
    assert told.trouble is not None
    assert "project 71 (ram round 1) is gone" in told.trouble
    assert "10 answers are kept" in told.trouble
    assert "`partlab studio create` makes it anew for the 2 images still open" in str(told.hint)
    assert "is http://127.0.0.1:1 the server that the work was created on" in str(told.hint)


def test_a_deleted_project_stops_nobody_else(work: Work, server: FakeTasks) -> None:
    hand_out(work, "schöner Hammer", "ben@x.org")
    server.projects.clear()
    with work.read():
        pass
    work.record(
        "opened", who="x", object="schöner Hammer", data={"project_id": 90, "config_hash": "c"}
    )
    ids = {str(t.image_id): 2000 + t.image_id for t in work.tasks("schöner Hammer", 1)}
    work.record("tasks", who="x", object="schöner Hammer", data={"project_id": 90, "tasks": ids})
    server.tasks.clear()
    server.add_round(work, "schöner Hammer")
    server.annotate(2013, drawn(FARM.object("schöner Hammer"), handle=(3, 3, 20, 20)), by=3)
    with server.client() as studio:
        ram, hammer = pull(work, studio)
    assert ram.trouble is not None
    assert not ram.submitted
    assert (hammer.trouble, hammer.masks) == (None, 1)


def test_the_project_of_an_accepted_round_is_not_missed(work: Work, server: FakeTasks) -> None:
    draw_all(work, server)
    fetch(work, server)
    close(work, accepted=True)
    server.projects.clear()
    assert fetch(work, server).trouble is None


def close(work: Work, *, accepted: bool | None) -> None:
    """The round is drawn for inspection, and decided unless `accepted` is None."""
    sample = {"seed": 1, "plan": "paper", "images": [1, 2, 3]}
    work.record("sampled", who="ina@x.org", object="ram", data=sample)
    if accepted is not None:
        work.record("decided", who="ina@x.org", object="ram", data={"accepted": accepted})


def test_a_project_of_somebody_else_is_not_read(work: Work, server: FakeTasks) -> None:
    """The address of another server: same number, other project."""
    draw_all(work, server)
    server.projects = {71: "something else"}
    for task in server.tasks.values():
        task["data"] = {"partlab": "another work", "image_id": task["id"] - 1000}
    told = fetch(work, server)
    assert told.trouble is not None
    assert "does not belong to this work" in told.trouble
    assert "PARTLAB_STUDIO_URL" in str(told.hint)
    assert (told.answers, told.flags, exports(work)) == (0, 0, [])


def test_a_description_changed_by_hand_does_no_harm(work: Work, server: FakeTasks) -> None:
    draw_all(work, server)
    server.projects[71] = "please draw nicely"
    assert fetch(work, server).submitted


def test_deleted_tasks_are_told_and_their_answers_kept(work: Work, server: FakeTasks) -> None:
    draw_all(work, server, but=1)
    fetch(work, server)
    del server.tasks[1002], server.tasks[1012]
    told = fetch(work, server)
    assert told.flags == 2
    assert [(f.task_id, f.kind) for f in work.flags()] == [
        (1002, "task-gone"),
        (1012, "task-gone"),
    ]
    done, open_ = (flag.message for flag in work.flags())
    assert "(ram/1.jpg)" in done
    assert "its answer is kept" in done
    assert "`partlab studio create` puts the picture back" in open_
    assert {t.image_id for t in work.tasks("ram", 1) if t.project_id is None} == {2, 12}
    assert fetch(work, server).flags == 0
    assert rebuilt(work)[0] == state(work)


def test_a_deleted_task_is_missed_though_another_was_added(work: Work, server: FakeTasks) -> None:
    draw_all(work, server, but=1)
    fetch(work, server)
    del server.tasks[1012]
    server.add_task(71, 5001, {"image": "x"})
    assert fetch(work, server).flags == 1
    assert [(flag.task_id, flag.kind) for flag in work.flags()] == [(1012, "task-gone")]


def test_a_task_handed_out_during_a_pull_is_not_missed(work: Work, server: FakeTasks) -> None:
    del server.tasks[1012]
    fetch(work, server)

    def hand_out_again(number: int) -> None:
        if number == 4:
            again = {"project_id": 71, "tasks": {"12": 2012}}
            work.record("tasks", who="lead", object="ram", data=again)

    server.requests.clear()
    server.before = hand_out_again
    assert fetch(work, server).flags == 0


def test_another_process_that_records_at_the_same_time_is_noticed(
    work: Work, server: FakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event between reading the state and recording must not make the rebuild differ."""
    draw_all(work, server, but=1)
    record, calls = Work.record, iter(range(100))

    def busy(self: Work, what: str, **about: Any) -> Any:
        if what == "pulled" and next(calls) == 0:
            record(self, "reassigned", who="x", object="ram", data={"to": "ben@x.org"})
        return record(self, what, **about)

    monkeypatch.setattr(Work, "record", busy)
    told = fetch(work, server)
    assert (told.answers, told.flags) == (0, 11)  # they are ben's now, and ann's are foreign
    assert rebuilt(work)[0] == state(work)


def test_two_pulls_at_once(work: Work, server: FakeTasks) -> None:
    with exclusive(work.folder / ".pull"), pytest.raises(BusyError, match="another pull of"):
        fetch(work, server)


def test_an_error_of_the_database_is_not_called_another_pull(
    work: Work, server: FakeTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_all(work, server)

    def busy(*_: Any, **__: Any) -> None:
        raise BusyError("the database is held")

    monkeypatch.setattr(Work, "record", busy)
    with pytest.raises(BusyError, match="the database is held"):
        fetch(work, server)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(200, text="<html>Please log in</html>"), "not JSON"),
        (httpx.Response(200, json=["x"]), "not tasks of project 71"),
        (httpx.Response(200, json={"tasks": [{"id": "x"}]}), "not tasks of project 71"),
        (httpx.Response(401, json={"detail": "Invalid token."}), "does not accept the token"),
        (httpx.Response(302, headers={"location": "/user/login/"}), "was sent on to /user/login/"),
    ],
)
@pytest.mark.usefixtures("small_pages")
def test_an_answer_that_makes_no_sense(answer: httpx.Response, words: str, tmp_path: Path) -> None:
    """In the middle: what was read before stays, and the next pull goes on."""
    work, server = big(tmp_path, "work")
    server.before = lambda number: answer if number == 4 else None
    with pytest.raises(StudioError, match=words):
        fetch(work, server)
    server.before = lambda number: None
    assert fetch(work, server).open == 2
    assert len(list(work.answers("ram", 1))) == DRAWN


def test_nothing_to_pull(tmp_path: Path) -> None:
    with start(tmp_path / "work") as work:
        with pytest.raises(StateError, match="nothing was handed out"):
            fetch(work, FakeTasks())
        planned = {"images": [1], "assignee": "a@x.org", "vocabulary_version": 1}
        work.record("planned", who="x", object="ram", round=1, data=planned)
        with pytest.raises(StateError, match="ram is planned"):
            fetch(work, FakeTasks(), objects=["ram"])


def test_a_later_vocabulary_does_not_change_what_was_pulled(work: Work, server: FakeTasks) -> None:
    """The labels of that time are in the export."""
    draw_all(work, server)
    fetch(work, server)
    before = state(work)
    parts = tuple(Part(id=p.id, name=p.name.upper()) for p in RAM.parts)
    changed = FARM.replaced([RAM.model_copy(update={"parts": parts})])
    work.replace_vocabulary(changed, "lead")
    assert rebuilt(work)[0] == before


@pytest.mark.parametrize("damage", ["edited", "cut", "missing", "no gzip"])
def test_a_damaged_export_is_said(damage: str, work: Work, server: FakeTasks) -> None:
    draw_all(work, server)
    fetch(work, server)
    (path,) = exports(work)
    content = path.read_bytes()
    if damage == "edited":
        path.write_bytes(gzip.compress(gzip.decompress(content).replace(b'"head"', b'"horn"')))
    elif damage == "cut":
        path.write_bytes(content[:-20])
    elif damage == "no gzip":
        path.write_bytes(b"hello")
    else:
        path.unlink()
    event = next(e for e in work.events("ram") if e.what == "pulled")
    with pytest.raises((SchemaError, NotFoundError), match=r"000001\.jsonl\.gz") as caught:
        read_export(work, event)
    assert len(str(caught.value)) < 400


def test_the_same_tasks_give_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "two"):
        work, server = big(tmp_path, name, 20)
        fetch(work, server)
        contents.append([path.read_bytes() for path in exports(work)])
    assert contents[0] == contents[1]
    assert contents[0][0][4:8] == bytes(4)  # no time of writing


def test_a_full_disk_leaves_nothing_half_written(work: Work, server: FakeTasks) -> None:
    noise = encode_brush(np.random.default_rng(0).random((480, 640)) < 0.5)
    for task in range(1001, 1013):
        result = drawn(RAM, head=(5, 5, 20, 20))
        result[0]["value"]["rle"] = noise
        server.annotate(task, result)
    before = len(work.events())
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))
    try:
        with pytest.raises(PartlabError, match=r"cannot write .*000001\.jsonl\.gz: File too large"):
            fetch(work, server)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert len(work.events()) == before
    assert not [path for path in work.folder.rglob("*.gz*") if path.is_file()]
    assert fetch(work, server).tasks == 12


def test_progress_counts_every_task(work: Work, server: FakeTasks) -> None:
    seen: list[Any] = []

    class Counting(Silent):
        def track(self, items: Any, what: str, total: int | None = None) -> Any:
            for item in items:
                seen.append(what)
                yield item
            assert total == len(seen) == 12

    with listening(Counting()):
        fetch(work, server)
