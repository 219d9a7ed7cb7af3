"""A segmenter that finds what a script says, and small data sets to measure it on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from partlab.coco import write_coco
from partlab.config import Config
from partlab.masks import encode
from partlab.parts import Parts
from partlab.schema import Annotation, Category, Dataset, Image
from segmenter.objects import allowed_each
from segmenter.protocol import Detections, SegmenterBase

PARTS = ("cat:head", "cat:tail", "dog:head", "dog:tail")
SIZE = (48, 60)  # height, width
Box = tuple[int, int, int, int]  # left, top, width, height


def mask(box: Box) -> Any:
    inside = np.zeros(SIZE, bool)
    inside[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = True
    return encode(inside)


def dataset(folder: Path, images: Sequence[tuple[str | None, dict[str, Box]]]) -> Dataset:
    """`images`: stated object, and box per part name; written as folder/annotations/val.json."""
    categories = [Category.new(30 - i, *name.split(":")) for i, name in enumerate(PARTS)]
    ids = {category.name: category.id for category in categories}
    records, masks = [], []
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, (owner, boxes) in enumerate(images, 1):
        pixels = np.full((*SIZE, 3), number, np.uint8)
        PillowImage.fromarray(pixels).save(folder / "images" / f"{number}.png")
        said = {"object": owner} if owner else {}
        records.append(Image.new(number, f"{number}.png", (SIZE[1], SIZE[0]), **said))
        for part, box in boxes.items():
            masks.append(Annotation.new(len(masks) + 1, number, ids[part], mask(box)))
    data = Dataset(records, masks, categories, image_root=folder / "images")
    write_coco(data, folder / "annotations" / "val.json")
    return replace(data, path=folder / "annotations" / "val.json")


class Scripted(SegmenterBase):
    """Finds what the script says for the picture whose pixels all have the value `number`.

    `script[number]` lists (box, {part name: probability}).
    """

    config = Config()

    def __init__(self, script: dict[int, Any], names: Sequence[str] = PARTS) -> None:
        self.parts, self.script = Parts.of(names), script
        self.calls: list[Any] = []

    def predict(
        self, images: Sequence[Any], objects: Any = None, *, threshold: float | None = None
    ) -> list[Detections]:
        self.calls.append((len(images), objects, threshold))
        allowed = allowed_each(self.parts, objects, len(images))
        floor = 0.3 if threshold is None else threshold
        return [self._one(int(i[0, 0, 0]), a, floor) for i, a in zip(images, allowed, strict=True)]

    def _one(self, number: int, allowed: Sequence[int] | None, floor: float) -> Detections:
        found = []
        for box, wanted in self.script.get(number, []):
            vector = np.array([wanted.get(name, 0.0) for name in self.names], np.float32)
            if allowed is not None:
                vector[[i for i in range(len(vector)) if i not in allowed]] = 0
            if vector.max() > 0 and vector.max() >= floor:
                found.append((box, vector))
        found.sort(key=lambda each: -each[1].max())
        vectors = np.array([v for _, v in found], np.float32).reshape(-1, len(self.names))
        return Detections(
            np.zeros((len(found), 4), np.float32),
            vectors.argmax(1) if found else np.zeros(0, np.int64),
            vectors.max(1) if found else np.zeros(0, np.float32),
            vectors,
            [mask(box) for box, _ in found],
        )


HEAD, TAIL = (2, 2, 20, 20), (30, 10, 15, 30)


def drawings_of(colour: Any, folder: Path) -> Path:
    """Twelve drawings of the colour segmenter with masks taken from their colours, as `val`."""
    categories = [Category.new(i, *name.split(":")) for i, name in enumerate(colour.NAMES, 1)]
    records, masks = [], []
    for number in range(1, 13):
        owner = ("car", "cat", "bike")[number % 3]
        pixels = colour.draw(folder / "images" / f"{number}.png", owner, number)
        records.append(Image.new(number, f"{number}.png", pixels.shape[1::-1], object=owner))
        for category, shade in zip(categories, colour.COLOURS, strict=True):
            own = (pixels == shade).all(2)
            if category.object == owner and own.any():
                masks.append(Annotation.new(len(masks) + 1, number, category.id, encode(own)))
    data = Dataset(records, masks, categories, inclusions=colour.INCLUSIONS)
    write_coco(data, folder / "annotations" / "val.json")
    return folder
