"""A small annotation work and the steps of its life, for tests of several rooms."""

from pathlib import Path
from typing import Any

from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.work import Answer, Image, Work

FARM = Vocabulary(
    name="farm",
    objects=(
        ObjectParts(
            name="ram",
            parts=(Part(name="head"), Part(name="horn"), Part(name="body")),
            inclusions={"horn": "head"},
        ),
        ObjectParts(name="schöner Hammer", parts=(Part(name="handle"),)),
    ),
)


def start(folder: Path, **settings: Any) -> Work:
    """Begin the work that the tests use."""
    rows = [("ram", n) for n in range(12)] + [("schöner Hammer", n) for n in range(3)]
    images = [
        Image(id=i, object=o, file_name=f"{o}/{n}.jpg", width=64, height=48, shown=[64, 48], rank=n)
        for i, (o, n) in enumerate(rows, 1)
    ]
    return Work.create(folder, "farm", FARM, images, **settings)


def hand_out(
    work: Work, object: str = "ram", assignee: str = "ann@x.org", round: int = 1, **more: str
) -> None:
    """Plan and open one round, as `studio create` does; `more` is planned, too."""
    ids = [image.id for image in work.images(object)]
    planned = {"images": ids, "assignee": assignee, "vocabulary_version": 1, **more}
    work.record("planned", who="lead", object=object, round=round, data=planned)
    opened = {"project_id": 70 + round, "config_hash": "c"}
    work.record("opened", who="lead", object=object, data=opened)
    tasks = {"project_id": 70 + round, "tasks": {str(i): 1000 + i for i in ids}}
    work.record("tasks", who="lead", object=object, data=tasks)


def answer(work: Work, image_id: int, kind: str = "masks", object: str = "ram") -> Answer:
    """One answer of the assignee."""
    batch = work.batch(object)
    mask = {"part": "head", "object": 1, "rle": {"size": [48, 64], "counts": "0"}}
    return Answer(
        object=object,
        round=batch.round,
        image_id=image_id,
        task_id=1000 + image_id,
        annotation_id=5000 + image_id,
        updated_at="2026-01-01T00:00:00Z",
        annotator=batch.assignee,
        kind=kind,
        minutes=2.0,
        reason="low quality" if kind == "discard" else None,
        masks=[{**mask, "origin": "manual"}] if kind == "masks" else [],
    )


def pull(work: Work, answers: list[Answer], object: str = "ram") -> None:
    """One ingest."""
    data = {"file": "000001.jsonl.gz", "sha256": "s", "cursor": "2026-01-01T00:00:00Z"}
    work.record("pulled", who="partlab", object=object, data=data, answers=answers)


def submit(work: Work, discards: tuple[int, ...] = (), object: str = "ram") -> None:
    """Answer every image, and submit the batch."""
    ids = [task.image_id for task in work.tasks(object, work.batch(object).round)]
    kinds = {i: "discard" if i in discards else "masks" for i in ids}
    pull(work, [answer(work, i, kind, object) for i, kind in kinds.items()], object)
    work.record("submitted", who="partlab", object=object, data={"manifest_hash": "m"})
