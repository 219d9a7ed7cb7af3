"""Push and a real Label Studio when things go wrong in the middle: nothing lost, nothing twice."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from annotator import Person
from colour_segmenter import draw_folder

from annotate.studio.acts import push as module
from annotate.studio.acts.begin import begin_work, plan_work
from annotate.studio.acts.create import create
from annotate.studio.acts.push import Suggest, Suggestion, push
from annotate.studio.api.client import Studio
from annotate.studio.api.users import create_users
from annotate.studio.server.start import Running, start_server
from annotate.studio.spelling.reading import read_result
from annotate.studio.spelling.uniting import PartMask
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.work import Image, Work
from partlab.errors import StudioError
from partlab.masks import encode

CAT = ObjectParts(name="cat", parts=(Part(name="head"), Part(name="tail")))
MODEL = "seg-1@0123456789ab"
TASKS, SENT = 12, 6


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASKED", 3)
    monkeypatch.setattr(module, "PORTION_TASKS", 3)


def handed_out(folder: Path, studio: Studio) -> Work:
    """12 cats."""
    photos = draw_folder(folder / "photos", 3 * TASKS)
    plan = plan_work(Vocabulary(objects=(CAT,)), photos, objects=["cat"])
    work = begin_work(folder / "work", plan, name=folder.name, per_object=TASKS)
    create(work, studio, annotators=[str(studio.whoami()["email"])])
    return work


def head_of(image: Image) -> PartMask:
    """One that no other picture has."""
    width, height = image.shown
    pixels = np.zeros((height, width), bool)
    pixels[2:9, 2 : 4 + image.id] = True
    return PartMask("head", 1, encode(pixels))


def suggesting(act: Callable[[], None] = lambda: None) -> Suggest:
    """Suggestions; something happens before the second one of the third portion."""
    made = 0

    def suggest(images: Sequence[Image]) -> Iterator[Suggestion]:
        nonlocal made
        for image in images:
            made += 1
            if made == SENT + 2:
                act()
            yield Suggestion(image.id, (head_of(image),), 0.5)

    return suggest


def check_goes_on(work: Work, studio: Studio) -> None:
    """The rest is sent, and each task holds its own suggestion, once."""
    assert sum(task.pushed is not None for task in work.tasks("cat", 1)) == SENT
    (told,) = push(work, studio, suggesting(), model=MODEL)
    assert (told.unchanged, told.sent) == (SENT, TASKS - SENT)
    for task in work.tasks("cat", 1):
        (found,) = studio.get("/api/predictions/", task=task.task_id)
        image = work.image(task.image_id)
        shown = (image.shown[0], image.shown[1])
        (mask,) = read_result(found["result"], CAT, shown, shown, min_pixels=1).masks
        assert (mask.part, mask.rle) == ("head", head_of(image).rle)


def test_the_server_stops_in_the_middle(studio_server: Running, tmp_path: Path) -> None:
    folder = tmp_path / "server"
    with start_server(folder, root=tmp_path, port=0) as server:
        port = int(server.url.rpartition(":")[2])
        with server.studio() as studio:
            work = handed_out(tmp_path, studio)

        def stop() -> None:
            os.kill(server.pid, signal.SIGKILL)

        with (
            Studio(server.url, server.token, pause=0.01) as studio,
            pytest.raises(StudioError, match=r"no Label Studio answers|broke off") as caught,
        ):
            push(work, studio, suggesting(stop), model=MODEL)
        assert caught.value.exit_code == 4
    with start_server(folder, root=tmp_path, port=port) as server, server.studio() as studio:
        check_goes_on(work, studio)


def test_the_token_ends_in_the_middle(
    studio_server: Running, studio: Studio, tmp_path: Path
) -> None:
    work = handed_out(tmp_path, studio)
    (lead,) = create_users(studio, ["lead.push@x.org"])
    with Person(studio_server.url, lead.email, str(lead.password)) as person:
        token = person.token()
        with (
            Studio(studio_server.url, token, pause=0.01) as connection,
            pytest.raises(StudioError, match="does not accept the token") as caught,
        ):
            push(work, connection, suggesting(person.end_token), model=MODEL)
    assert token not in f"{caught.value} {caught.value.hint}"
    check_goes_on(work, studio)
