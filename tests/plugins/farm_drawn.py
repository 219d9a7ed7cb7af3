"""The farm with real pictures and real masks: what an inspector or an export works on."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from farm import answer, hand_out, pull
from PIL import Image as PillowImage

from annotate.work import Answer, Work, safe_name
from partlab.masks import encode

Box = tuple[int, int, int, int]  # left, top, width, height


def paint(work: Work) -> None:
    """A noisy picture for every image of the work, where annotators would see it."""
    for image in work.images():
        noise = np.random.default_rng(image.id).integers(0, 120, (image.height, image.width, 3))
        path = work.folder / "images" / safe_name(image.object) / f"{image.id:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(noise.astype(np.uint8)).save(path)


def mask(part: str, box: Box, object: int = 1, origin: str = "manual", **more: Any) -> Any:
    """One stored mask of a 64 x 48 picture."""
    pixels = np.zeros((48, 64), bool)
    left, top, width, height = box
    pixels[top : top + height, left : left + width] = True
    return {"part": part, "object": object, "rle": encode(pixels), "origin": origin, **more}


def masks_of(object: str, image_id: int) -> list[Any]:
    """What a careful annotator draws: the horn inside the head, the body beside it."""
    shift = image_id % 5
    if object != "ram":
        return [mask("handle", (10 + shift, 5, 12, 36))]
    head = mask("head", (6 + shift, 10, 14, 14))
    horn = mask("horn", (8 + shift, 11, 5, 5))
    return [head, horn, mask("body", (20 + shift, 12, 30, 24))]


def drawn(work: Work, image_id: int, object: str = "ram", **changes: Any) -> Answer:
    """One answer with its masks; `changes` are columns of the answer."""
    found = answer(work, image_id, object=object)
    found.masks = masks_of(object, image_id)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def submit_drawn(
    work: Work, object: str = "ram", discards: Iterable[int] = (), **changes: Any
) -> None:
    """Draw or discard every image of the current round, and submit it."""
    refused, answers = set(discards), []
    for task in work.tasks(object, work.batch(object).round):
        if task.image_id in refused:
            answers.append(answer(work, task.image_id, "discard", object))
        else:
            answers.append(drawn(work, task.image_id, object, **changes))
    pull(work, answers, object)
    work.record("submitted", who="partlab", object=object, data={"manifest_hash": "m"})


def begin(folder: Path, **settings: Any) -> Work:
    """A painted farm whose rams are drawn and submitted."""
    from farm import start

    work = start(folder, **settings)
    paint(work)
    hand_out(work)
    submit_drawn(work)
    return work
