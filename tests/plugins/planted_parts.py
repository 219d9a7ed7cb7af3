"""A part data set of rectangles on plain ground, so that what is made of it is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from partlab.coco import write_coco
from partlab.masks import area, encode
from partlab.schema import Annotation, Category, Dataset, Image

RED, GREEN = (220, 20, 30), (30, 160, 60)


def planted(folder: Path, pictures: Sequence[tuple[str, str, Any]], size: int = 120) -> Path:
    """A split `heldout` of green pictures with red rectangles (left, top, width, height)."""
    owners = sorted({object for _, object, _ in pictures})
    categories = [Category.new(n, object, "body") for n, object in enumerate(owners, 1)]
    images, masks = [], []
    for number, (name, object, boxes) in enumerate(pictures, 1):
        pixels = np.full((size, size, 3), GREEN, np.uint8)
        images.append(Image.new(number, name, (size, size), object=object))
        for left, top, width, height in boxes:
            mask = np.zeros((size, size), bool)
            mask[top : top + height, left : left + width] = True
            pixels[mask] = RED
            rle, id = encode(mask), owners.index(object) + 1
            drawn = Annotation.new(len(masks) + 1, number, id, rle, area=area(rle))
            masks.append(drawn)
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(pixels).save(folder / "images" / name)
    data = Dataset(images, masks, categories, image_root=folder / "images")
    (folder / "annotations").mkdir(exist_ok=True)
    write_coco(data, folder / "annotations" / "heldout.json")
    return folder
