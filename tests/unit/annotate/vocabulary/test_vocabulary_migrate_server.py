"""A vocabulary changes while people draw, in a real Label Studio: nothing lost, nothing twice."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotator import Person
from colour_segmenter import draw_folder

from annotate.inspect.service import Inspection
from annotate.studio.acts import migrate as module
from annotate.studio.acts.begin import begin_work, plan_work
from annotate.studio.acts.create import create
from annotate.studio.acts.ingest import read_export
from annotate.studio.acts.migrate import Migrated, migrate
from annotate.studio.acts.pull import pull
from annotate.studio.acts.push import Suggestion, push
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import facts_of
from annotate.studio.api.users import create_users
from annotate.studio.server.start import Running
from annotate.studio.spelling.regions import PartMask, read_result, regions_of
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.vocabulary.edit import (
    Editor,
    add_parts,
    merge_parts,
    remove_part,
    rename_part,
    split_part,
)
from annotate.work import Image, Work, rebuild_work
from annotate.work.unfinished import marker
from app.cli.vocabulary_migrate import _text
from partlab.errors import StateError
from partlab.masks import encode

NAMES = ("head", "ear", "left leg", "right leg", "tail")
CAT = ObjectParts(name="cat", parts=tuple(Part(id=name, name=name) for name in NAMES))
OLD = Vocabulary(objects=(CAT,))
BY = Editor("lead@example.org")
DRAWN = 4  # of 6 images


class CutOffError(BaseException):
    """`kill -9`, as far as this process is concerned."""


def masks(image: Image) -> tuple[PartMask, ...]:
    """Five parts side by side; the ear lies in the head."""
    width, height = image.shown
    found = []
    for place, name in enumerate(NAMES):
        mask = np.zeros((height, width), bool)
        mask[:, place * 6 : place * 6 + 6] = True
        if name == "ear":
            mask[:] = False
            mask[2:8, 1:5] = True
        found.append(PartMask(name, 1, encode(mask)))
    return tuple(found)


@pytest.fixture(scope="module")
def cat_person(studio_server: Running) -> Iterator[Person]:
    with studio_server.studio() as studio:
        (account,) = create_users(studio, ["cat.person@example.org"])
    assert account.password is not None
    with Person(studio_server.url, account.email, account.password) as person:
        yield person


@pytest.fixture
def work(tmp_path: Path, studio: Studio, cat_person: Person) -> Iterator[Work]:
    """6 cats, suggestions for all, 4 drawn and pulled."""
    photos = draw_folder(tmp_path / "photos", 18)
    plan = plan_work(OLD, photos, objects=["cat"])
    with begin_work(tmp_path / "work", plan, name="cats", per_object=6) as begun:
        create(begun, studio, annotators=[cat_person.email])
        push(
            begun,
            studio,
            lambda images: (Suggestion(image.id, masks(image), 0.5) for image in images),
            model="m",
        )
        images = {image.id: image for image in begun.images()}
        for task in begun.tasks("cat", 1)[:DRAWN]:
            image = images[task.image_id]
            shown = (image.shown[0], image.shown[1])
            assert task.task_id is not None
            cat_person.submit(task.task_id, regions_of(masks(image), CAT, shown))
        pull(begun, studio)
        yield begun


def labels(studio: Studio, work: Work, kind: str = "annotations") -> list[list[str]]:
    """Labels of each annotation's regions, by task."""
    project = work.batch("cat").project_id
    tasks = studio.pages("/api/tasks", key="tasks", project=project, fields="all")
    return [
        [region["value"]["labels"][0] for region in one["result"] if region["type"] == "labels"]
        for task in sorted(tasks, key=lambda task: task["id"])
        for one in task[kind]
    ]


def drawn(work: Work) -> dict[int, dict[str, Any]]:
    return {
        answer.image_id: {mask["part"]: mask["rle"] for mask in answer.masks}
        for answer in work.answers("cat", 1)
    }


def one(told: tuple[Vocabulary, list[Migrated]]) -> Migrated:
    (found,) = told[1]
    return found


def check_quiet(work: Work, studio: Studio) -> None:
    """A pull after the change finds nothing new and flags nobody, and a rebuild agrees."""
    before = drawn(work), work.flags()
    (told,) = pull(work, studio, submit=False)
    assert (told.answers, told.flags, told.trouble) == (0, 0, None)
    assert (drawn(work), work.flags()) == before
    hashes = [event.after for event in work.events()]
    rebuild_work(work.folder, read_export)
    with Work.open(work.folder) as again:
        assert [event.after for event in again.events()] == hashes
        assert drawn(again) == before[0]
        assert again.vocabulary.hash == work.vocabulary.hash


def test_a_rename_and_a_merge_keep_every_mask(
    work: Work, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", DRAWN - 1)  # the tasks come in three pages
    before = drawn(work)
    new = rename_part(OLD, "cat", "tail", "Schwanz")
    new = merge_parts(new, "cat", ["left leg", "right leg"], "leg")
    assert one(migrate(work, studio, new, dry_run=True)).as_json() == {
        "object": "cat",
        "round": 1,
        "state": "annotating",
        "project_id": work.batch("cat").project_id,
        "interface": True,
        "annotations": DRAWN,
        "predictions": 6,
        "renamed": 3 * (DRAWN + 6),
        "dropped": 0,
        "answers": DRAWN,
        "redraw": 0,
        "images": (),
        "keys": (("Schwanz", "5", "4"),),
        "names": True,
        "unread": 0,
        "done": False,
    }
    assert drawn(work) == before
    assert labels(studio, work) == [list(NAMES)] * DRAWN
    target, (told,) = migrate(work, studio, new, by=BY)
    assert (told.annotations, told.predictions, told.redraw) == (DRAWN, 6, 0)
    assert target.version == work.vocabulary.version == work.batch("cat").vocabulary_version == 3
    renamed = ["head", "ear", "leg", "leg", "Schwanz"]
    assert labels(studio, work) == [renamed] * DRAWN
    assert labels(studio, work, "predictions") == [renamed] * 6
    project = studio.get(f"/api/projects/{work.batch('cat').project_id}/")
    assert 'value="Schwanz"' in project["label_config"]
    assert "left leg" not in project["label_config"]
    assert "Schwanz" in project["expert_instruction"]
    assert facts_of(project)["object"] == "cat"
    for answer in work.answers("cat", 1):
        kept = {mask["rle"]["counts"] for mask in answer.masks}
        assert kept == {rle["counts"] for rle in before[answer.image_id].values()}
        assert [mask["part"] for mask in answer.masks].count("leg") == 2
    check_quiet(work, studio)
    assert migrate(work, studio, new)[1] == []


def test_a_split_is_drawn_again_and_the_old_mask_is_kept(
    work: Work, studio: Studio, cat_person: Person
) -> None:
    """V-07."""
    new = split_part(OLD, "cat", "tail", ["root", "tip"])
    before = drawn(work)
    told = one(migrate(work, studio, new, dry_run=True))
    assert (told.redraw, told.dropped, set(told.images)) == (DRAWN, DRAWN + 6, set(before))
    migrate(work, studio, new, by=BY)
    assert {answer.kind for answer in work.answers("cat", 1)} == {"broken"}
    (answer, *_) = work.answers("cat", 1)
    assert answer.problems[-1]["message"] == "tail is now root and tip: draw them"
    assert set(drawn(work)[answer.image_id]) == set(NAMES) - {"tail"}
    kept = work.raw_folder("cat", 1) / "before-v2.jsonl.gz"
    with gzip.open(kept, "rt", encoding="utf-8") as lines:
        header, *tasks = map(json.loads, lines)
    image = work.image(answer.image_id)
    size = (image.width, image.height)
    (task,) = [task for task in tasks if task["data"]["image_id"] == image.id]
    reading = read_result(task["annotations"][0]["result"], CAT, size, tuple(image.shown))
    assert {m.part: m.rle for m in reading.masks} == before[image.id]
    assert [name for _, name in header["parts"]] == list(NAMES)
    check_quiet(work, studio)
    redrawn = [*masks(image)[:4], PartMask("root", 1, masks(image)[4].rle)]
    shown = (image.shown[0], image.shown[1])
    cat_person.update(answer.annotation_id, regions_of(redrawn, new.object("cat"), shown))
    (told_again,) = pull(work, studio, submit=False)
    assert (told_again.answers, told_again.masks, told_again.flags) == (1, 1, 0)
    assert "root" in drawn(work)[image.id]


def test_what_has_to_be_drawn_again(work: Work, studio: Studio) -> None:
    """V-08: the ear lies in the head, so its removal uncovers nothing; the tail's does."""

    def redraw(new: Vocabulary, **how: Any) -> int:
        return one(migrate(work, studio, new, dry_run=True, **how)).redraw

    assert redraw(remove_part(OLD, "cat", "ear")) == 0
    assert redraw(remove_part(OLD, "cat", "tail")) == DRAWN
    assert redraw(remove_part(OLD, "cat", "tail"), keep_answers=True) == 0
    assert redraw(add_parts(OLD, "cat", ["whisker"])) == DRAWN
    assert redraw(add_parts(OLD, "cat", ["whisker"]), keep_answers=True) == 0
    assert redraw(split_part(OLD, "cat", "ear", ["a", "b"]), keep_answers=True) == DRAWN
    migrate(work, studio, remove_part(OLD, "cat", "ear"), by=BY)
    assert {answer.kind for answer in work.answers("cat", 1)} == {"masks"}
    assert labels(studio, work) == [[name for name in NAMES if name != "ear"]] * DRAWN
    check_quiet(work, studio)


def test_cut_off_at_every_request_it_goes_on(
    work: Work, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two names change places, so a label changed twice would be wrong."""
    new = rename_part(OLD, "cat", "tail", "x")
    new = rename_part(new, "cat", "head", "tail")
    new = rename_part(new, "cat", "x", "head")
    new = merge_parts(new, "cat", ["left leg", "right leg"], "leg")
    before = drawn(work)
    send, record = Studio.request, Work.record
    left = 0

    def patched(self: Studio, method: str, path: str, **more: Any) -> Any:
        nonlocal left
        answer = send(self, method, path, **more)
        if method.upper() == "PATCH":
            left -= 1
            if left < 0:
                raise CutOffError  # the server has done it, and we do not know
        return answer

    def recorded(self: Work, what: str, **more: Any) -> Any:
        nonlocal left
        if what in ("migrated", "vocabulary"):
            left -= 1
            if left < 0:
                raise CutOffError
        return record(self, what, **more)

    monkeypatch.setattr(Studio, "request", patched)
    monkeypatch.setattr(Work, "record", recorded)
    cuts, done, step = 0, False, 0
    while not done:
        left = step = step % 3 + 1
        try:
            with Work.open(work.folder) as fresh:
                migrate(fresh, studio, new, by=BY)
            done = True
        except CutOffError:
            cuts += 1
            if cuts == 2:
                left = 99
                with Work.open(work.folder) as fresh:
                    with pytest.raises(StateError, match="was cut off"):
                        pull(fresh, studio)
                    with pytest.raises(StateError, match=r"to version 5 .* was cut off") as told:
                        migrate(fresh, studio, rename_part(OLD, "cat", "ear", "y"))
                    assert told.value.hint == "finish it first, with the same file"
        assert cuts < 30
    assert cuts >= 4
    monkeypatch.undo()
    assert not marker(work).exists()
    with Work.open(work.folder) as fresh:
        assert fresh.vocabulary.hash == new.hash
        swapped = ["tail", "ear", "leg", "leg", "head"]
        assert labels(studio, fresh) == [swapped] * DRAWN
        assert labels(studio, fresh, "predictions") == [swapped] * 6
        for answer in fresh.answers("cat", 1):
            named = {mask["part"]: mask["rle"] for mask in answer.masks}
            assert named["head"] == before[answer.image_id]["head"]
        check_quiet(fresh, studio)


def test_a_round_that_is_accepted_is_not_opened_again(
    work: Work, studio: Studio, cat_person: Person
) -> None:
    key: dict[str, Any] = {"who": "x", "object": "cat"}
    for task in work.tasks("cat", 1)[DRAWN:]:
        assert task.task_id is not None
        cat_person.submit(task.task_id, _discard())
    pull(work, studio)
    for task in work.tasks("cat", 1)[DRAWN:]:
        for inspector in ("i@x.org", "j@x.org"):
            data = {"image_id": task.image_id, "uphold": True}
            work.record("discard-review", who=inspector, object="cat", data=data)
    work.record("sampled", data={"seed": 1, "plan": "paper", "images": []}, **key)
    work.record("decided", data={"accepted": True, "seen": 0, "bad": 0, "plan": "paper"}, **key)
    with pytest.raises(StateError, match=r"cat round 1 is accepted, and 4 of its images"):
        migrate(work, studio, split_part(OLD, "cat", "tail", ["root", "tip"]))
    assert work.vocabulary.version == 1
    assert not marker(work).exists()
    new = merge_parts(OLD, "cat", ["left leg", "right leg"], "leg")
    new = rename_part(new, "cat", "tail", "Schwanz")
    told = one(migrate(work, studio, new, by=BY))
    assert (told.annotations, told.answers, work.batch("cat").state) == (0, DRAWN, "accepted")
    assert labels(studio, work) == [*[list(NAMES)] * DRAWN, [], []]
    parts = {mask["part"] for answer in work.answers("cat", 1) for mask in answer.masks}
    assert parts == {"head", "ear", "leg", "tail"}
    check_quiet(work, studio)


def _discard() -> list[dict[str, Any]]:
    value = {"choices": ["low quality"]}
    choice = {"id": "d", "from_name": "discard", "to_name": "image", "type": "choices"}
    return [{**choice, "value": value}]


def alone(folder: Path, studio: Studio) -> Work:
    """6 cats whose annotator is the administrator, the one who migrates; 4 drawn and pulled."""
    photos = draw_folder(folder / "photos", 18)
    plan = plan_work(OLD, photos, objects=["cat"])
    begun = begin_work(folder / "alone", plan, name="alone", per_object=6)
    create(begun, studio, annotators=[str(studio.whoami()["email"])])
    images = {image.id: image for image in begun.images()}
    for task in begun.tasks("cat", 1)[:DRAWN]:
        image = images[task.image_id]
        result = regions_of(masks(image), CAT, (image.shown[0], image.shown[1]))
        studio.post(f"/api/tasks/{task.task_id}/annotations/", {"result": result})
    pull(begun, studio)
    return begun


def test_who_migrates_may_be_the_annotator(tmp_path: Path, studio: Studio) -> None:
    """The new labels are no correction: what is to be drawn again waits for one."""
    new = split_part(OLD, "cat", "tail", ["root", "tip"])
    with alone(tmp_path, studio) as work:
        last = list(work.answers("cat", 1))[-1]
        migrate(work, studio, new, by=BY)
        check_quiet(work, studio)
        assert {answer.kind for answer in work.answers("cat", 1)} == {"broken"}
        migrate(work, studio, rename_part(new, "cat", "head", "face"), by=BY)
        check_quiet(work, studio)
        assert {answer.kind for answer in work.answers("cat", 1)} == {"broken"}
        path = f"/api/annotations/{last.annotation_id}/"
        studio.patch(path, {"result": studio.get(path)["result"]})  # looked at, nothing to add
        (told,) = pull(work, studio, submit=False)
        assert (told.answers, told.masks) == (1, 1)


@pytest.mark.parametrize("uphold", [True, False])
def test_a_reviewed_refusal_stays_reviewed(tmp_path: Path, studio: Studio, uphold: bool) -> None:
    """New labels in it are neither another refusal nor a drawing (Q-04)."""
    with alone(tmp_path, studio) as work:
        task = work.tasks("cat", 1)[DRAWN]
        image = work.image(task.image_id)
        left = regions_of(masks(image), CAT, (image.shown[0], image.shown[1]))
        left = [{**region, "origin": "prediction"} for region in left]  # a model's, not wiped off
        result = left + _discard()
        studio.post(f"/api/tasks/{task.task_id}/annotations/", {"result": result})
        pull(work, studio)
        for who in ("ina@example.org", "ivo@example.org"):
            Inspection(work).review_discard("cat", image.id, uphold, who)
        migrate(work, studio, rename_part(OLD, "cat", "head", "face"), by=BY)
        (case,) = Inspection(work).discards("cat")
        check_quiet(work, studio)
        assert Inspection(work).discards("cat") == [case]
        assert (case.state, len(case.reviews)) == ("final" if uphold else "restored", 2)


def test_a_dry_run_says_what_it_does_not_know_yet(
    work: Work, studio: Studio, cat_person: Person
) -> None:
    """The real run pulls first, so that its counts may be higher."""
    new = split_part(OLD, "cat", "tail", ["root", "tip"])
    before, fifth = next(work.answers("cat", 1)), work.tasks("cat", 1)[DRAWN]
    image = work.image(fifth.image_id)
    result = regions_of(masks(image), CAT, (image.shown[0], image.shown[1]))
    cat_person.submit(fifth.task_id or 0, result)
    cat_person.update(before.annotation_id, result[:1])
    target, (told,) = migrate(work, studio, new, dry_run=True)
    assert (told.redraw, told.unread) == (DRAWN, 2)
    assert "2 submitted annotations are not pulled yet" in _text(target, [told], dry_run=True)
    told = one(migrate(work, studio, new, by=BY))
    assert (told.redraw, told.unread) == (DRAWN, 0)
    assert image.id in told.images
    assert before.image_id not in told.images
    told = one(migrate(work, studio, split_part(new, "cat", "ear", ["a", "b"]), dry_run=True))
    assert told.unread == 0  # new labels are no news


def test_drawn_while_it_migrates_is_pulled_afterwards(
    tmp_path: Path, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was changed after the pull that comes first is not taken for the new labels."""
    new = split_part(OLD, "cat", "tail", ["root", "tip"])
    with alone(tmp_path, studio) as work:
        first, *_ = work.answers("cat", 1)
        fetch = module._fetch

        def late(*about: Any) -> None:
            fetch(*about)
            path = f"/api/annotations/{first.annotation_id}/"
            drawn = [r for r in studio.get(path)["result"] if not _is(r, "left leg")]
            studio.patch(path, {"result": drawn})

        monkeypatch.setattr(module, "_fetch", late)
        migrate(work, studio, new, by=BY)
        (told,) = pull(work, studio, submit=False)
        assert (told.answers, told.masks) == (1, 1)
        assert set(drawn(work)[first.image_id]) == {"head", "ear", "right leg"}


def test_pulled_just_before_the_locks_are_taken_it_is_drawn_again_too(
    work: Work, studio: Studio, cat_person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifth = work.tasks("cat", 1)[DRAWN]
    image = work.image(fifth.image_id)
    alone = module._alone

    def late(same: Work) -> Any:
        result = regions_of(masks(image), CAT, (image.shown[0], image.shown[1]))
        cat_person.submit(fifth.task_id or 0, result)
        pull(work, studio, submit=False)
        return alone(same)

    monkeypatch.setattr(module, "_alone", late)
    told = one(migrate(work, studio, split_part(OLD, "cat", "tail", ["root", "tip"]), by=BY))
    assert (told.redraw, image.id in told.images) == (DRAWN + 1, True)
    assert {answer.kind for answer in work.answers("cat", 1)} == {"broken"}


def _is(region: dict[str, Any], label: str) -> bool:
    return label in region["value"].get("labels", ())
