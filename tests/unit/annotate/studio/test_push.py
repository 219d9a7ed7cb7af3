"""Pre-annotations arrive once, are visible, and survive a crash at any moment (D-05)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import farm
import httpx
import numpy as np
import pytest
from fake_studio import FakeStudio

from annotate.studio.acts import push as module
from annotate.studio.acts.push import Pushed, Suggest, Suggestion, push
from annotate.studio.spelling.labelconfig import label_config
from annotate.studio.spelling.reading import read_result
from annotate.studio.spelling.uniting import PartMask
from annotate.vocabulary import ObjectParts, Part
from annotate.work import Image, Work
from partlab.errors import (
    BusyError,
    ConfigError,
    PartlabError,
    StateError,
    StudioError,
    UnknownNameError,
)
from partlab.files import exclusive
from partlab.masks import encode
from partlab.progress import Silent, listening

MODEL = "seg-1@0123456789ab"
RAM = farm.FARM.object("ram")
IDS = range(1001, 1013)


def part_masks(image: Image) -> tuple[PartMask, ...]:
    """Two parts that differ from picture to picture."""
    masks = []
    for part in ("head", "body"):
        mask = np.zeros((image.height, image.width), bool)
        mask[image.id : image.id + 20, len(part) : 40] = True
        masks.append(PartMask(part, 1, encode(mask)))
    return tuple(masks)


class Model:
    """Suggests something for every picture, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.batches: list[int] = []

    def __call__(self, images: Sequence[Image]) -> Iterator[Suggestion]:
        self.asked += [image.id for image in images]
        self.batches.append(len(images))
        for image in images:
            yield Suggestion(image.id, part_masks(image), 0.75)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with farm.start(tmp_path / "work") as made:
        farm.hand_out(made)
        yield made


@pytest.fixture
def server(work: Work) -> FakeStudio:
    return FakeStudio(work, RAM, IDS)


@pytest.fixture
def in_fives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASKED", 5)
    monkeypatch.setattr(module, "PORTION_TASKS", 5)


def pushed(work: Work, server: FakeStudio, suggest: Suggest | None = None, **more: Any) -> Pushed:
    (told,) = push(work, server.client(), suggest or Model(), **{"model": MODEL, **more})
    return told


def check_complete(work: Work, server: FakeStudio) -> None:
    """Every task holds its own masks once, annotators see them, and the work knows it."""
    assert server.held(MODEL) == list(IDS)
    assert server.project["model_version"] == MODEL
    for prediction in server.predictions.values():
        image = work.image(prediction["task"] - 1000)
        reading = read_result(prediction["result"], RAM, (64, 48), (64, 48), min_pixels=1)
        assert [m.rle for m in reading.masks] == [m.rle for m in part_masks(image)]
    recorded = [task.pushed for task in work.tasks("ram", 1)]
    assert all(each and each.startswith(f"{MODEL}:") for each in recorded)


def test_every_task_gets_its_suggestion_with_provenance(work: Work, server: FakeStudio) -> None:
    told = pushed(work, server)
    assert told == Pushed("ram", 1, 71, sent=12, masks=24)
    check_complete(work, server)
    assert {p["score"] for p in server.predictions.values()} == {0.75}
    event = work.events("ram")[-1]
    assert (event.what, event.who, event.data["model"]) == ("pushed", "lead@x.org", MODEL)


def test_what_has_not_changed_is_not_even_asked_for(work: Work, server: FakeStudio) -> None:
    pushed(work, server)
    events, model = len(work.events()), Model()
    assert pushed(work, server, model).unchanged == 12
    assert (model.asked, len(work.events())) == ([], events)
    assert not any("POST" in request for request in server.requests[-4:])


def test_another_model_is_sent_beside_and_shown(work: Work, server: FakeStudio) -> None:
    pushed(work, server)
    pushed(work, server, model="seg-2@ffff")
    assert len(server.predictions) == 24
    assert server.project["model_version"] == "seg-2@ffff"
    pushed(work, server)  # of the first, all is there again under another name in the state
    check_complete(work, server)
    assert len(server.predictions) == 24


def test_what_annotators_see_is_put_right_though_nothing_is_sent(
    work: Work, server: FakeStudio
) -> None:
    """Somebody chose another model, or none, in the project's settings."""
    pushed(work, server)
    server.project |= {"model_version": "", "show_collab_predictions": False}
    assert pushed(work, server).sent == 0
    check_complete(work, server)
    assert server.project["show_collab_predictions"]


def rename_head(work: Work, server: FakeStudio) -> None:
    parts = [p.model_copy(update={"name": "Kopf"} if p.id == "head" else {}) for p in RAM.parts]
    renamed = ObjectParts(name="ram", parts=tuple(parts), inclusions=RAM.inclusions)
    work.vocabulary = work.vocabulary.replaced([renamed])
    server.project["label_config"] = label_config(renamed)


def labels_of(server: FakeStudio) -> set[str]:
    items = (item for p in server.predictions.values() for item in p["result"])
    said = (item["value"].get("labels") or item["value"].get("brushlabels") for item in items)
    return {labels[0] for labels in said if labels}


def test_another_name_sends_nothing_again(work: Work, server: FakeStudio) -> None:
    """Suggestions bear part ids, and the interface says what they are called."""
    reopened(work, labels="ids")
    pushed(work, server)
    rename_head(work, server)
    assert pushed(work, server).sent == 0
    assert labels_of(server) == {"head", "body"}


def test_in_a_project_of_an_earlier_version_labels_are_names(
    work: Work, server: FakeStudio
) -> None:
    rename_head(work, server)
    config = label_config(work.vocabulary.object("ram"), two_lists=True)
    server.project["label_config"] = re.sub(' alias="[^"]*"', "", config)
    assert pushed(work, server).sent == 12
    assert labels_of(server) == {"Kopf", "body"}
    kinds = {item["type"] for p in server.predictions.values() for item in p["result"]}
    assert kinds == {"brushlabels"}


def reopened(work: Work, **more: str) -> None:
    """The project of this version."""
    data = {"project_id": work.batch("ram").project_id, "config_hash": "c", **more}
    work.record("opened", who="lead@x.org", object="ram", data=data)


def test_what_somebody_deleted_on_the_server_is_sent_again(work: Work, server: FakeStudio) -> None:
    pushed(work, server)
    for id in (3, 7):
        del server.predictions[id]
    told = pushed(work, server)
    assert (told.sent, told.unchanged) == (2, 10)
    check_complete(work, server)


@pytest.mark.usefixtures("in_fives")
def test_a_crash_at_any_request_loses_and_doubles_nothing(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """Before and after every single request of a push, as `kill -9` would."""
    with farm.start(tmp_path / "plain") as work:
        farm.hand_out(work)
        server = FakeStudio(work, RAM, IDS)
        pushed(work, server)
        requests = len(server.requests)
    assert requests > 7
    for moment in range(requests):
        for when in ("before", "after"):
            with subtests.test(moment=moment, when=when):
                crash_and_resume(tmp_path / f"{when}-{moment}", moment, when)


class Killed(BaseException):
    pass


def crash_and_resume(folder: Path, moment: int, when: str) -> None:
    def die(number: int) -> None:
        if number == moment:
            raise Killed

    with farm.start(folder) as work:
        farm.hand_out(work)
        server = FakeStudio(work, RAM, IDS)
        setattr(server, when, die)
        with pytest.raises(Killed):
            pushed(work, server)
        setattr(server, when, lambda number: None)
        there = len(server.predictions)
        told = pushed(work, server)
        assert (told.unchanged, told.sent, told.masks) == (there, 12 - there, 2 * (12 - there))
        check_complete(work, server)
        assert len(server.predictions) == 12


@pytest.mark.usefixtures("in_fives")
def test_a_lost_answer_is_looked_up_and_not_sent_twice(work: Work, server: FakeStudio) -> None:
    """The server took the batch, then the connection broke."""

    def lose(number: int) -> None:
        if server.requests[-1].endswith("/import/predictions") and len(server.sizes) == 2:
            raise httpx.ReadError("broke off")

    server.after = lose
    assert pushed(work, server).sent == 12
    check_complete(work, server)
    assert server.sizes == [5, 5, 2]


@pytest.mark.usefixtures("in_fives")
def test_a_batch_taken_in_part_is_completed(work: Work, server: FakeStudio) -> None:
    """It stored 3 of 5 before it failed."""
    seen: list[int] = []

    def fail(number: int) -> None:
        if server.requests[-1].endswith("/import/predictions") and not seen:
            seen.append(number)
            for id in sorted(server.predictions)[-2:]:
                del server.predictions[id]
            raise httpx.ReadError("broke off")

    server.after = fail
    pushed(work, server)
    check_complete(work, server)
    assert server.sizes == [5, 2, 5, 2]


def test_silently_dropped_suggestions_are_named(work: Work, server: FakeStudio) -> None:
    """The real server answers 201 and `created: 11`."""
    server.drops = lambda record: record["task"] == 1004
    with pytest.raises(StudioError, match=r"dropped 1 of 12 .*ram/3\.jpg \(task 1004\)") as caught:
        pushed(work, server)
    assert "project 71" in (caught.value.hint or "")
    server.drops = lambda record: False
    assert pushed(work, server).sent == 1
    check_complete(work, server)


def test_a_suggestion_that_comes_back_changed_is_told(work: Work, server: FakeStudio) -> None:
    server.alters = lambda result: result[:1]
    with pytest.raises(StudioError, match="came back changed"):
        pushed(work, server)


def test_a_label_that_somebody_renamed_by_hand_stops_it_before_sending(
    work: Work, server: FakeStudio
) -> None:
    server.project["label_config"] = server.project["label_config"].replace('"body"', '"Rumpf"')
    with pytest.raises(StudioError, match="no label 'body' in its list of parts"):
        pushed(work, server)
    assert server.predictions == {}


def test_a_work_without_model_help_refuses(tmp_path: Path, server: FakeStudio) -> None:
    """D-05: all labels made by hand; the switch holds for the whole work, dry or not."""
    images = [Image(id=1, object="ram", file_name="1.jpg", width=9, height=9, shown=[9, 9], rank=0)]
    with Work.create(tmp_path / "w", "pure", farm.FARM, images, model_help=False) as work:
        for dry_run in (True, False):
            with pytest.raises(StateError, match="'pure' forbids model help") as caught:
                push(work, server.client(), Model(), model=MODEL, dry_run=dry_run)
            assert "D-05" in (caught.value.hint or "")
    assert server.requests == []


def test_a_model_called_like_an_earlier_round_is_refused(work: Work, server: FakeStudio) -> None:
    """What a round began with goes by such names, and is no model's (D-05)."""
    with pytest.raises(ConfigError, match="no model can be called 'r50:coco'"):
        push(work, server.client(), Model(), model="r50:coco")
    assert server.requests == []


def test_a_dry_run_changes_nothing(work: Work, server: FakeStudio) -> None:
    events, model = len(work.events()), Model()
    told = pushed(work, server, model, dry_run=True)
    assert (told.sent, model.asked, len(work.events())) == (12, [], events)
    assert all(request.startswith("GET") for request in server.requests)


def test_answered_and_waiting_tasks_are_left_alone(work: Work, server: FakeStudio) -> None:
    kinds = {1: "masks", 2: "discard", 3: "broken"}
    farm.pull(work, [farm.answer(work, id, kind) for id, kind in kinds.items()])
    row = {"id": 16, "object": "ram", "file_name": "ram/12.jpg", "rank": 12}
    size = {"width": 64, "height": 48, "shown": [64, 48]}
    work.record("images", who="lead", data={"images": [row | size]})
    work.record("extended", who="lead", object="ram", data={"images": [16]})
    told = pushed(work, server)
    assert (told.answered, told.waiting, told.sent) == (2, 1, 10)
    assert server.held() == list(range(1003, 1013))


def test_pictures_in_which_nothing_was_found_are_remembered(work: Work, server: FakeStudio) -> None:
    def blind(images: Sequence[Image]) -> Iterable[Suggestion]:
        return [
            Suggestion(i.id, part_masks(i) if i.id > 2 else (), 0.5) for i in images if i.id > 1
        ]

    told = pushed(work, server, blind)
    assert (told.sent, told.blank, told.without) == (10, 1, 1)
    model = Model()
    again = pushed(work, server, model)
    assert (model.asked, again.unchanged, again.sent) == ([1], 11, 1)


def test_a_suggestion_that_became_blank_is_taken_back(work: Work, server: FakeStudio) -> None:
    pushed(work, server, model="seg-0@old")
    pushed(work, server)
    tail = RAM.model_copy(update={"parts": (*RAM.parts, Part(name="tail"))})
    work.vocabulary = work.vocabulary.replaced([tail])

    def blank(images: Sequence[Image]) -> Iterable[Suggestion]:
        return [Suggestion(image.id, ()) for image in images]

    assert pushed(work, server, blank).blank == 12
    assert server.held(MODEL) == []
    assert server.held("seg-0@old") == list(IDS)


@pytest.mark.usefixtures("in_fives")
def test_pictures_stream_through_in_batches(work: Work, server: FakeStudio) -> None:
    model, seen = Model(), []

    class Counting(Silent):
        def track(self, items: Any, what: str, total: int | None = None) -> Iterator[Any]:
            for item in items:
                seen.append((what, total))
                yield item

    with listening(Counting()):
        pushed(work, server, model)
    assert (model.batches, server.sizes) == ([5, 5, 2], [5, 5, 2])
    assert seen == [("pushing", 12)] * 12


def test_large_masks_go_in_smaller_batches(
    work: Work, server: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PORTION_NUMBERS", 300)
    pushed(work, server)
    assert len(server.sizes) > 2
    check_complete(work, server)


def test_what_a_slow_model_made_does_not_wait(
    work: Work, server: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash then costs seconds of a segmenter's work, not a thousand pictures."""
    now = iter(range(0, 1000, 8))
    monkeypatch.setattr(module, "monotonic", lambda: next(now))
    pushed(work, server)
    assert len(server.sizes) > 2
    check_complete(work, server)


def test_nothing_being_drawn_is_said(tmp_path: Path, server: FakeStudio) -> None:
    with farm.start(tmp_path / "new") as work:
        with pytest.raises(StateError, match="nothing is being drawn") as caught:
            push(work, server.client(), Model(), model=MODEL)
        assert "studio create" in (caught.value.hint or "")
        farm.hand_out(work)
        farm.submit(work)
        with pytest.raises(StateError, match="ram round 1 is submitted"):
            push(work, server.client(), Model(), model=MODEL, objects=["ram"])
        with pytest.raises(UnknownNameError, match="rma"):
            push(work, server.client(), Model(), model=MODEL, objects=["rma"])


def test_two_pushes_at_once_are_refused(work: Work, server: FakeStudio) -> None:
    with (
        exclusive(work.folder / ".push"),
        pytest.raises(BusyError, match=r"another push of .* is running"),
    ):
        pushed(work, server)
    assert server.predictions == {}


def test_a_server_that_is_gone_leaves_what_arrived_recorded(
    work: Work, server: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASKED", 5)
    monkeypatch.setattr(module, "PORTION_TASKS", 5)

    def gone(number: int) -> None:
        if len(server.sizes) == 1 and server.requests[-1].endswith("/import/predictions"):
            server.before = refuse
            raise httpx.ConnectError("refused")

    def refuse(number: int) -> None:
        raise httpx.ConnectError("refused")

    server.before = gone
    with pytest.raises(PartlabError, match="no Label Studio answers"):
        pushed(work, server)
    assert sum(bool(task.pushed) for task in work.tasks("ram", 1)) == 5
    server.before = lambda number: None
    told = pushed(work, server)
    assert (told.sent, told.unchanged) == (7, 5)
    check_complete(work, server)
