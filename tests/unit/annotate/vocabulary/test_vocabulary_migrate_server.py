"""A vocabulary changes while people draw, in a real Label Studio: nothing drawn is touched."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from annotator import Person
from colour_segmenter import draw_folder

from annotate.inspect.build import Wanted, build
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
from annotate.studio.spelling.labelconfig import label_config
from annotate.studio.spelling.uniting import PartMask
from annotate.studio.spelling.writing import regions_of
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


def shown_of(image: Image) -> tuple[int, int]:
    return image.shown[0], image.shown[1]


def held(studio: Studio, work: Work, round: int = 1) -> list[Any]:
    """All annotations and predictions of a round's project, as the server has them."""
    project = work.batch("cat", round).project_id
    tasks = studio.pages("/api/tasks", key="tasks", project=project, fields="all")
    return [
        (task["id"], kind, one["id"], one["result"], one.get("updated_at"))
        for task in sorted(tasks, key=lambda task: task["id"])
        for kind in ("annotations", "predictions")
        for one in task[kind]
    ]


def labels(studio: Studio, work: Work, kind: str, round: int = 1) -> list[list[str]]:
    """Labels of each annotation's (or prediction's) regions, by task."""
    return [
        [x["value"][x["type"]][0] for x in result if x["type"] in ("labels", "brushlabels")]
        for _, what, _, result, _ in held(studio, work, round)
        if what == kind
    ]


def drawn(work: Work, round: int = 1) -> dict[int, dict[str, Any]]:
    return {
        answer.image_id: {mask["part"]: mask["rle"] for mask in answer.masks}
        for answer in work.answers("cat", round)
    }


def one(told: tuple[Vocabulary, list[Migrated]]) -> Migrated:
    (found,) = told[1]
    return found


def config(studio: Studio, work: Work) -> str:
    return str(studio.get(f"/api/projects/{work.batch('cat').project_id}/")["label_config"])


def check_quiet(work: Work, studio: Studio) -> None:
    """A pull after the change finds nothing new and flags nobody, and a rebuild agrees."""
    before = drawn(work), work.flags()
    for told in pull(work, studio, submit=False):
        assert (told.answers, told.flags, told.trouble) == (0, 0, None)
    assert (drawn(work), work.flags()) == before
    hashes = [event.after for event in work.events()]
    rebuild_work(work.folder, read_export)
    with Work.open(work.folder) as again:
        assert [event.after for event in again.events()] == hashes
        assert drawn(again) == before[0]
        assert again.vocabulary.hash == work.vocabulary.hash


def test_a_rename_rewrites_nothing_and_is_read_at_once(
    work: Work, studio: Studio, cat_person: Person
) -> None:
    """Two names change places: each is now the id of the other part."""
    before, there = drawn(work), held(studio, work)
    new = rename_part(OLD, "cat", "tail", "x")
    new = rename_part(new, "cat", "head", "tail")
    new = rename_part(new, "cat", "x", "head")
    assert one(migrate(work, studio, new, by=BY)).does == "new interface"
    assert held(studio, work) == there
    found = ElementTree.fromstring(config(studio, work)).iter("Label")
    read = {label.get("alias"): label.get("value", "").rstrip("\u2060") for label in found}
    assert (read["tail"], read["head"]) == ("head", "tail")
    project = studio.get(f"/api/projects/{work.batch('cat').project_id}/")
    assert facts_of(project)["object"] == "cat"
    assert work.batch("cat").vocabulary_version == 4
    assert drawn(work) == before
    check_quiet(work, studio)
    fifth = work.tasks("cat", 1)[DRAWN]
    image = work.image(fifth.image_id)
    cat_person.submit(
        fifth.task_id or 0, regions_of(masks(image), new.object("cat"), shown_of(image))
    )
    (told,) = pull(work, studio, submit=False)
    assert (told.answers, told.masks) == (1, 1)
    assert drawn(work)[image.id] == {mask.part: mask.rle for mask in masks(image)}


def test_a_round_goes_on_while_parts_are_merged(
    work: Work, studio: Studio, cat_person: Person
) -> None:
    there, interface = held(studio, work), config(studio, work)
    new = merge_parts(OLD, "cat", ["left leg", "right leg"], "leg")
    assert one(migrate(work, studio, new, by=BY)).does == "goes on"
    assert (held(studio, work), config(studio, work)) == (there, interface)
    assert {id for found in drawn(work).values() for id in found} == {"head", "ear", "leg", "tail"}
    check_quiet(work, studio)
    fifth = work.tasks("cat", 1)[DRAWN]
    image = work.image(fifth.image_id)
    cat_person.submit(fifth.task_id or 0, regions_of(masks(image), CAT, shown_of(image)))
    (told,) = pull(work, studio, submit=False)
    assert (told.masks, told.broken) == (1, 0)
    assert set(drawn(work)[image.id]) == {"head", "ear", "leg", "tail"}
    built = build(work, Wanted(include_open=True)).dataset
    assert len(built.annotations) == 4 * (DRAWN + 1)  # both legs of a cat are one mask
    pushed = push(work, studio, lambda images: [Suggestion(images[0].id, ())], model="n")
    assert pushed[0].blank == 1


@pytest.mark.parametrize("how", ["split", "remove", "add"])
def test_the_next_round_begins_with_what_was_drawn(
    work: Work, studio: Studio, cat_person: Person, how: str
) -> None:
    """V-07, V-08."""
    new, gone, come = {
        "split": (split_part(OLD, "cat", "tail", ["root", "tip"]), {"tail"}, ["root", "tip"]),
        "remove": (remove_part(OLD, "cat", "ear"), {"ear"}, []),
        "add": (add_parts(OLD, "cat", ["whisker"]), set[str](), ["whisker"]),
    }[how]
    there, before = held(studio, work), drawn(work)
    told = one(migrate(work, studio, new, by=BY))
    assert (told.does, told.answers) == ("next round", DRAWN)
    assert [batch.state for batch in work.rounds("cat")] == ["abandoned", "annotating"]
    assert held(studio, work) == there
    assert drawn(work) == before
    kept = [name for name in NAMES if name not in gone]
    assert labels(studio, work, "predictions", 2) == [kept] * DRAWN
    old = studio.get(f"/api/projects/{work.batch('cat', 1).project_id}/")
    assert old["title"].startswith("over: cat")
    html = studio.get(f"/api/projects/{work.batch('cat').project_id}/")["expert_instruction"]
    assert told.why in html
    for name in come:
        assert f'alias="{name}"' in config(studio, work)
    check_quiet(work, studio)
    task = next(task for task in work.tasks("cat", 2) if task.image_id in before)
    (prediction,) = studio.get("/api/predictions/", task=task.task_id)
    image = work.image(task.image_id)
    more = [PartMask(name, 1, masks(image)[-1].rle) for name in come]
    added = [
        {**x, "id": f"n{x['id']}"} for x in regions_of(more, new.object("cat"), shown_of(image))
    ]
    result = [{**region, "origin": "prediction"} for region in prediction["result"]] + added
    cat_person.submit(task.task_id or 0, result, parent_prediction=prediction["id"])
    told_again = pull(work, studio, submit=False)[-1]
    assert (told_again.masks, told_again.flags) == (1, 0)
    now = drawn(work, 2)[image.id]
    assert set(now) == {*kept, *come}
    assert {name: now[name] for name in kept} == {name: before[image.id][name] for name in kept}
    export = build(work, Wanted(include_open=True)).dataset
    assert {a.provenance for a in export.annotations} == {f"human:{cat_person.email}"}


def test_what_was_not_drawn_again_is_carried_over_twice(work: Work, studio: Studio) -> None:
    """The second change comes before anybody drew in the round that the first one began."""
    migrate(work, studio, split_part(OLD, "cat", "tail", ["root", "tip"]), by=BY)
    new = merge_parts(work.vocabulary, "cat", ["left leg", "right leg"], "leg")
    migrate(work, studio, add_parts(new, "cat", ["whisker"]), by=BY)
    assert [batch.state for batch in work.rounds("cat")] == [*["abandoned"] * 2, "annotating"]
    assert labels(studio, work, "predictions", 3) == [["head", "ear", "leg", "leg"]] * DRAWN


def test_what_is_drawn_in_a_round_that_ended_is_told(
    work: Work, studio: Studio, cat_person: Person
) -> None:
    fifth = work.tasks("cat", 1)[DRAWN]
    image = work.image(fifth.image_id)
    migrate(work, studio, add_parts(OLD, "cat", ["whisker"]), by=BY)
    cat_person.submit(fifth.task_id or 0, regions_of(masks(image), CAT, shown_of(image)))
    first, second = pull(work, studio, submit=False)
    assert (first.round, first.flags, first.answers, second.flags) == (1, 1, 0, 0)
    (flag,) = work.flags()
    assert "draw it in the project of the next round" in flag.message


def test_what_was_not_pulled_is_pulled_before_a_round_ends(
    work: Work, studio: Studio, cat_person: Person
) -> None:
    fifth = work.tasks("cat", 1)[DRAWN]
    image = work.image(fifth.image_id)
    cat_person.submit(fifth.task_id or 0, regions_of(masks(image), CAT, shown_of(image)))
    told = one(migrate(work, studio, add_parts(OLD, "cat", ["whisker"]), by=BY))
    assert told.answers == DRAWN + 1
    assert len(labels(studio, work, "predictions", 2)) == DRAWN + 1


@pytest.mark.parametrize("how", ["split", "rename"])
def test_cut_off_at_every_step_it_goes_on(
    work: Work, studio: Studio, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    new = {
        "split": split_part(OLD, "cat", "tail", ["root", "tip"]),
        "rename": rename_part(OLD, "cat", "tail", "Schwanz"),
    }[how]
    send, record = Studio.request, Work.record
    left = 0

    def patched(self: Studio, method: str, path: str, **more: Any) -> Any:
        nonlocal left
        answer = send(self, method, path, **more)
        left -= method.upper() in ("PATCH", "POST")
        if left < 0:
            raise CutOffError  # the server has done it, and we do not know
        return answer

    def recorded(self: Work, what: str, **more: Any) -> Any:
        nonlocal left
        done = record(self, what, **more)
        left -= 1
        if left < 0:
            raise CutOffError
        return done

    monkeypatch.setattr(Studio, "request", patched)
    monkeypatch.setattr(Work, "record", recorded)
    cuts, step, done = 0, 0, False
    while not done:
        left = step
        try:
            with Work.open(work.folder) as fresh:
                migrate(fresh, studio, new, by=BY)
                create(fresh, studio)
            done = True
        except CutOffError:
            cuts, step = cuts + 1, step + 1
        assert cuts < 30
    assert cuts >= 3
    monkeypatch.undo()
    with Work.open(work.folder) as fresh:
        assert fresh.vocabulary.hash == new.hash
        rounds = [batch.state for batch in fresh.rounds("cat")]
        assert rounds == {"split": ["abandoned", "annotating"], "rename": ["annotating"]}[how]
        assert fresh.batch("cat").vocabulary_version == 2
        if how == "split":
            kept = [name for name in NAMES if name != "tail"]
            assert labels(studio, fresh, "predictions", 2) == [kept] * DRAWN
        assert 'value="Schwanz"' in config(studio, fresh) or how == "split"
        check_quiet(fresh, studio)


# -- a work of the version before: its labels are names -----------------------------------------


def test_other_words_of_the_lead_change_the_page_and_nothing_drawn(
    work: Work, studio: Studio
) -> None:
    there = held(studio, work)
    said = [p.model_copy(update={"definition": f"all of the {p.name}"}) for p in CAT.parts]
    cat = CAT.model_copy(update={"parts": tuple(said), "note": "Kittens, too."})
    assert one(migrate(work, studio, OLD.replaced([cat]), by=BY)).does == "new interface"
    assert held(studio, work) == there
    assert 'hint="all of the tail"' in config(studio, work)
    html = studio.get(f"/api/projects/{work.batch('cat').project_id}/")["expert_instruction"]
    for words in ("Kittens, too.", "all of the head"):
        assert words in html
    check_quiet(work, studio)


@pytest.fixture
def earlier(work: Work, studio: Studio, cat_person: Person) -> Work:
    """The project as the version before made it, with a part that was called otherwise before."""
    renamed = [Part(id=p.id, name="Schwanz" if p.id == "tail" else p.name) for p in CAT.parts]
    cat = ObjectParts(name="cat", parts=tuple(renamed))
    work.replace_vocabulary(work.vocabulary.replaced([cat]), "x")
    work.vocabulary = work.vocabulary  # version 1 still: that version renamed on the server too
    path = f"/api/projects/{work.batch('cat').project_id}/"
    xml = label_config(cat, work.settings.discard_reasons, two_lists=True)
    xml = re.sub(r' alias="[^"]*"', "", xml)
    for _, what, id, _, _ in held(studio, work):
        studio.delete(f"/api/{what}/{id}/")
    studio.patch(path, {"label_config": xml})
    data = {"project_id": work.batch("cat").project_id, "config_hash": "old"}
    work.record("opened", who="x", object="cat", data=data)
    for task in work.tasks("cat", 1)[:DRAWN]:
        image = work.image(task.image_id)
        result = regions_of(masks(image), cat, shown_of(image), named=True, two_lists=True)
        cat_person.submit(task.task_id or 0, result)
    pull(work, studio)
    return work


def test_a_work_of_the_version_before_is_pulled_and_pushed(earlier: Work, studio: Studio) -> None:
    assert labels(studio, earlier, "annotations") == [[*NAMES[:-1], "Schwanz"]] * DRAWN
    assert [set(found) for found in drawn(earlier).values()] == [{*NAMES}] * DRAWN
    told = push(
        earlier, studio, lambda images: (Suggestion(i.id, masks(i)) for i in images), model="n"
    )
    assert told[0].sent == 2
    assert labels(studio, earlier, "predictions") == [[*NAMES[:-1], "Schwanz"]] * 2
    check_quiet(earlier, studio)


def test_its_round_gets_the_new_interface_where_every_label_is_still_known(
    earlier: Work, studio: Studio
) -> None:
    there = held(studio, earlier)
    new = rename_part(earlier.vocabulary, "cat", "head", "face")  # whose id is what was read
    assert one(migrate(earlier, studio, new, by=BY)).does == "new interface"
    assert held(studio, earlier) == there
    assert "<BrushLabels" in config(studio, earlier)  # something was drawn with it
    check_quiet(earlier, studio)


def test_its_round_ends_where_a_label_would_be_lost(earlier: Work, studio: Studio) -> None:
    new = rename_part(earlier.vocabulary, "cat", "Schwanz", "Rute")
    assert one(migrate(earlier, studio, new, by=BY)).does == "next round"
    assert labels(studio, earlier, "predictions", 2) == [[*NAMES]] * DRAWN
    assert 'value="Rute" alias="tail"' in config(studio, earlier)
    check_quiet(earlier, studio)
