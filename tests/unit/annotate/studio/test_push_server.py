"""Pre-annotations in a real Label Studio: taken, visible, and whole after `kill -9`."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_segmenter import draw_folder

from annotate.studio.acts import push as module
from annotate.studio.acts.begin import begin_work, plan_work
from annotate.studio.acts.create import create
from annotate.studio.acts.push import Pushed, Suggestion, push
from annotate.studio.api.client import Studio
from annotate.studio.server.start import Running
from annotate.studio.spelling.reading import read_result
from annotate.studio.spelling.uniting import PartMask
from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.work import Image, Work
from partlab.errors import StudioError
from partlab.masks import encode

CAT = ObjectParts(
    name="cat", parts=(Part(id="h", name='head & "ears"'), Part(id="t", name="Schwanz / 尾"))
)
MODEL = "läufe/seg 1@0123456789ab"


def part_masks(image: Image) -> tuple[PartMask, ...]:
    """A head with a hole and two tails, which differ from picture to picture."""
    width, height = image.shown
    ring, tail = np.zeros((2, height, width), bool)
    ring[2 : height // 2, 2 : width // 2] = True
    ring[5:9, 5 : 6 + image.id] = False
    tail[height // 2 :, : 3 + image.id] = True
    return (
        PartMask("h", 1, encode(ring)),
        PartMask("t", 1, encode(tail)),
        PartMask("t", 2, encode(tail[:, ::-1])),
    )


def suggest(images: Sequence[Image]) -> Iterator[Suggestion]:
    for image in images:
        slow = image.id >= int(os.environ.get("SUGGEST_NEVER_FROM", 1000))
        time.sleep(600 if slow else float(os.environ.get("SUGGEST_PAUSE", 0)))
        yield Suggestion(image.id, part_masks(image), 0.5)


@pytest.fixture
def work(tmp_path: Path, studio: Studio) -> Iterator[Work]:
    """12 cats, handed out."""
    photos = draw_folder(tmp_path / "photos", 36)
    plan = plan_work(Vocabulary(objects=(CAT,)), photos, objects=["cat"])
    with begin_work(tmp_path / "work", plan, name="cats", per_object=12) as begun:
        create(begun, studio, annotators=[str(studio.whoami()["email"])])
        yield begun


def pushed(work: Work, studio: Studio) -> Pushed:
    (told,) = push(work, studio, suggest, model=MODEL)
    return told


def check_complete(work: Work, studio: Studio) -> None:
    """One prediction for each task, its masks bit for bit, shown to annotators."""
    (batch,) = work.batches()
    project = studio.get(f"/api/projects/{batch.project_id}/")
    assert (project["model_version"], project["show_collab_predictions"]) == (MODEL, True)
    images = {image.id: image for image in work.images()}
    for task in work.tasks("cat", 1):
        (found,) = studio.get("/api/predictions/", task=task.task_id)
        assert (found["model_version"], found["score"]) == (MODEL, 0.5)
        shown = tuple(images[task.image_id].shown)
        reading = read_result(found["result"], CAT, shown, shown, min_pixels=1)
        assert reading.problems == ()
        wanted = part_masks(images[task.image_id])
        assert [(m.part, m.object, m.rle) for m in reading.masks] == [
            (m.part, m.object, m.rle) for m in wanted
        ]


def test_suggestions_arrive_and_are_seen(work: Work, studio: Studio) -> None:
    assert pushed(work, studio).sent == 12
    check_complete(work, studio)
    assert pushed(work, studio).unchanged == 12
    (batch,) = work.batches()
    (task, *_) = studio.pages("/api/tasks", key="tasks", project=batch.project_id, fields="all")
    assert task["total_predictions"] == 1
    # What the browser of an annotator gets to begin with.
    following = studio.get(f"/api/projects/{batch.project_id}/next")
    assert [p["model_version"] for p in following["predictions"]] == [MODEL]


def test_damage_on_the_server_is_told_or_mended(work: Work, studio: Studio) -> None:
    """A prediction deleted, a label renamed by hand, the project deleted."""
    pushed(work, studio)
    (batch,) = work.batches()
    (found,) = studio.get("/api/predictions/", task=work.tasks("cat", 1)[3].task_id)
    studio.delete(f"/api/predictions/{found['id']}/")
    assert pushed(work, studio).sent == 1
    check_complete(work, studio)
    path = f"/api/projects/{batch.project_id}/"
    config = studio.get(path)["label_config"].replace('alias="t"', 'alias="Schwanz"')
    studio.patch(path, {"label_config": config})
    with pytest.raises(StudioError, match="no label 't' in its list of parts"):
        push(work, studio, suggest, model="seg-2@ffff")
    studio.delete(path)
    with pytest.raises(StudioError, match=f"project {batch.project_id} is gone"):
        push(work, studio, suggest, model="seg-2@ffff")


def push_slowly(folder: Path, url: str, token: str, never_from: int) -> None:
    os.environ |= {"SUGGEST_PAUSE": "0.02", "SUGGEST_NEVER_FROM": str(never_from)}
    module.ASKED = module.PORTION_TASKS = 3
    with Work.open(folder) as work, Studio(url, token) as studio:
        push(work, studio, suggest, model=MODEL)


@pytest.mark.parametrize("enough", [1, 2, 3])
def test_kill_9_in_the_middle_loses_and_doubles_nothing(
    work: Work, studio: Studio, studio_server: Running, enough: int
) -> None:
    """Killed as soon as the server has so many batches, whether or not the work knows it.

    The batch after those never comes to its end, so that the process is there to be killed.
    """
    (batch,) = work.batches()

    def there() -> int:
        project: Any = studio.get(f"/api/projects/{batch.project_id}/")
        return int(project["total_predictions_number"])

    context = multiprocessing.get_context("spawn")
    last = work.tasks("cat", 1)[3 * enough + 2].image_id
    arguments = (work.folder, studio_server.url, studio_server.token, last)
    process = context.Process(target=push_slowly, args=arguments)
    process.start()
    until = time.monotonic() + 60
    while there() < 3 * enough and process.is_alive():
        assert time.monotonic() < until
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert there() == 3 * enough
    told = pushed(work, studio)
    assert told.unchanged == 3 * enough
    check_complete(work, studio)
