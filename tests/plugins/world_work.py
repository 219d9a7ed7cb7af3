"""A work whose pictures are of the part world, drawn by people who know the truth, mostly."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from farm import answer, hand_out, pull

from annotate.vocabulary import ObjectParts, Part, Vocabulary
from annotate.work import Answer, Image, Work, safe_name
from annotate.world import WorldConfig, make_world
from partlab.coco import read_dataset
from partlab.files import copy_file
from partlab.masks import decode, encode, from_segmentation
from partlab.schema import Dataset
from partlab.schema import Image as Picture

PEOPLE = {"ram": "ann@x.org", "lamp": "ben@x.org", "duck": "ann@x.org"}


def begin_world(
    folder: Path, *, each: int = 12, size: int = 320, people: dict[str, str] = PEOPLE, **more: Any
) -> Work:
    """Every category handed out to its annotator; nothing is drawn yet."""
    total = each * len(people) * 10 // 9 + len(people)
    config = WorldConfig(images=total, pool=0, heldout=0, size=size, objects=tuple(people))
    make_world(folder / "world", config)
    truth = read_dataset(folder / "world", "train")
    images = [image for name in people for image in _some(truth, name, each)]
    rows = [_image(number, image, truth, number % each) for number, image in enumerate(images, 1)]
    work = Work.create(folder / "work", "farm", _vocabulary(truth, list(people)), rows, **more)
    for row in rows:
        path = work.folder / "images" / safe_name(row.object) / f"{row.id:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        copy_file(truth.image_path(truth.find_image(row.file_name)), path)
    for name, who in people.items():
        hand_out(work, name, who)
    return work


def draw_world(
    work: Work,
    object: str,
    *,
    spoilt: Iterable[int] = (),
    refused: Iterable[int] = (),
    left: int = 0,
    submit: bool = True,
) -> None:
    """Draw a category: `spoilt` and `refused` are places in it, `left` stay undrawn."""
    truth = read_dataset(work.folder.parent / "world", "train")
    bad, given_up = set(spoilt), set(refused)
    images = work.images(object)
    answers = []
    for place, image in enumerate(images[: len(images) - left]):
        if place in given_up:
            answers.append(answer(work, image.id, "discard", object))
        else:
            answers.append(_drawn(work, image, truth, 14 if place in bad else 0))
    pull(work, answers, object)
    if submit and not left:
        work.record("submitted", who="partlab", object=object, data={"manifest_hash": "m"})


def _some(truth: Dataset, name: str, count: int) -> list[Picture]:
    found = [image for image in truth.images if truth.object_of(image) == name][:count]
    assert len(found) == count, (name, len(found))
    return found


def _image(number: int, image: Picture, truth: Dataset, rank: int) -> Image:
    size = [image.width, image.height]
    about: dict[str, Any] = {"object": str(truth.object_of(image)), "file_name": image.file_name}
    return Image(id=number, width=size[0], height=size[1], shown=size, rank=rank, **about)


def _vocabulary(truth: Dataset, names: list[str]) -> Vocabulary:
    objects = []
    for name in names:
        parts = tuple(Part(name=c.part) for c in truth.categories if c.object == name)
        inside = truth.inclusions.get(name, {})
        objects.append(ObjectParts(name=name, parts=parts, inclusions=inside))
    return Vocabulary(name="farm", objects=tuple(objects))


def _drawn(work: Work, image: Image, truth: Dataset, shift: int) -> Answer:
    picture = truth.find_image(image.file_name)
    parts = work.vocabulary.object(image.object)
    found = answer(work, image.id, object=image.object)
    found.masks = [
        {
            "part": parts.named(truth.category_by_id[a.category_id].part).id,
            "object": a.object_id or 1,
            "rle": _moved(from_segmentation(a.segmentation, picture.height, picture.width), shift),
            "origin": "manual",
        }
        for a in truth.annotations_of(picture)
    ]
    return found


def _moved(rle: Any, shift: int) -> Any:
    return encode(np.roll(decode(rle), (shift, shift), (0, 1))) if shift else rle
