"""Photographs with part masks, made alike: what tells their sources apart is taken away.

    python benchmarks/photographs.py PARTS OUT [--limit N]

The classes of a gathered data set come from different sources, so frame, size, compression and
background may name the class without a look at the object. From a part data set PARTS with the
splits train and val this makes folders that `partlab train` reads, each picture SIDE x SIDE:

    OUT/mixed       the object alone, its long side FILL of the picture, on the background of a
                    picture drawn by class and then by chance: a background says nothing
    OUT/ground      the same backgrounds without the object, of mixed's classes
    OUT/found       a square about the object as the photograph has it
    OUT/frame       found, with the box about the object painted grey: what its surroundings say

All are written at one JPEG quality. Every tenth picture of train becomes the split val, to choose
by; the val of PARTS becomes heldout, to report on. A model trained on `ground` must stay near the
share of the commonest class; one trained on `frame` shows what there was to take away.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from partlab.coco import read_dataset, write_coco
from partlab.masks import encode
from partlab.schema import Annotation, Dataset, Image
from train.ood.cutouts import (
    Box,
    Photo,
    blended,
    box_of,
    cut,
    largest_square,
    middle,
    photos,
    resized,
    resized_mask,
    square_about,
)

SIDE, FILL, QUALITY = 80, 0.8, 90
GREY = 128
VARIANTS = ("mixed", "ground", "found", "frame")
SMALLEST = 0.25  # a background is at least this share of its picture's shorter side


Pair = tuple[Image, list[Annotation]]


def make(parts: Path, out: Path, *, limit: int | None = None, seed: int = 0) -> dict[str, Any]:
    """All variants of both splits; what was left out, and how many backgrounds there were."""
    told: dict[str, Any] = {}
    for split in ("train", "val"):
        data = read_dataset(parts, split)
        chosen = data.images[:: max(len(data.images) // limit, 1)] if limit else data.images
        grounds, free = _grounds(data, chosen)
        rng = np.random.default_rng([seed, split == "train"])
        made: dict[str, list[Pair]] = defaultdict(list)
        for photo in photos(data, chosen):
            ground = _draw(grounds, rng)  # of the same split, so that none is seen twice
            for variant, (pixels, masks) in _variants(photo, ground).items():
                made[variant].append(_write(out / variant, photo, pixels, masks))
        for variant, pairs in made.items():
            splits = _splits(split, pairs)
            for name, some in splits.items():
                _annotate(data, some, out / variant / "annotations" / f"{name}.json")
        told[split] = {"pictures": len(made["mixed"]), "of": len(chosen), "backgrounds": free}
    (out / "made.json").write_text(json.dumps(told, indent=2), encoding="utf-8")
    return told


def _grounds(data: Dataset, chosen: Any) -> tuple[dict[str, list[Any]], int]:
    """By class: SIDE x SIDE pictures of the largest square of a photograph without a mask."""
    found = defaultdict(list)
    for photo in photos(data, chosen):
        square = largest_square(~photo.object_mask)
        if square[2] >= SMALLEST * min(photo.object_mask.shape):
            found[photo.object].append(resized(cut(photo.pixels, square), SIDE, SIDE))
    return found, sum(map(len, found.values()))


def _draw(grounds: dict[str, list[Any]], rng: np.random.Generator) -> NDArray[np.uint8]:
    names = sorted(grounds)
    of = grounds[names[rng.integers(len(names))]]
    ground: NDArray[np.uint8] = of[rng.integers(len(of))]
    return ground[:, ::-1] if rng.random() < 0.5 else ground


Masks = list[tuple[int, NDArray[np.bool_]]]


def _variants(photo: Photo, ground: NDArray[np.uint8]) -> dict[str, tuple[Any, Masks]]:
    pixels, whole = photo.pixels, photo.object_mask
    box = box_of(whole)
    square = square_about(box, whole.shape, FILL)
    found, masks = _cut(pixels, square), [(c, _cut_mask(m, square)) for c, m in photo.masks]
    frame = pixels.copy()
    frame[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = GREY
    mixed, placed = _on_ground(photo, box, ground)
    return {
        "mixed": (mixed, placed),
        "ground": (ground, placed),
        "found": (found, masks),
        "frame": (_cut(frame, square), masks),
    }


def _cut(pixels: NDArray[np.uint8], square: Box) -> NDArray[np.uint8]:
    return resized(cut(pixels, square), SIDE, SIDE)


def _cut_mask(mask: NDArray[np.bool_], square: Box) -> NDArray[np.bool_]:
    return resized_mask(cut(mask, square), SIDE, SIDE)


def _on_ground(photo: Photo, box: Box, ground: NDArray[np.uint8]) -> tuple[Any, Masks]:
    """The object in the middle of a background, and its masks there."""
    left, top, w, h = place = middle(box, SIDE, FILL)
    placed = []
    for category, mask in photo.masks:
        full = np.zeros((SIDE, SIDE), bool)
        full[top : top + h, left : left + w] = resized_mask(cut(mask, box), w, h)
        placed.append((category, full))
    return blended(ground, photo.pixels, photo.object_mask, box, place), placed


def _write(folder: Path, photo: Photo, pixels: NDArray[np.uint8], masks: Masks) -> Pair:
    name = Path(photo.image.file_name).with_suffix(".jpg")
    (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.ascontiguousarray(pixels)).save(folder / "images" / name, quality=QUALITY)
    image = Image.new(photo.image.id, name.as_posix(), (SIDE, SIDE), object=photo.object)
    drawn = [Annotation.new(0, image.id, category, encode(mask), area=int(mask.sum()))
             for category, mask in masks if mask.any()]  # fmt: skip
    return image, drawn


def _splits(split: str, pairs: list[Pair]) -> dict[str, list[Pair]]:
    if split == "val":
        return {"heldout": pairs}
    rest = [pair for at, pair in enumerate(pairs) if at % 10]
    return {"train": rest, "val": pairs[::10]}


def _annotate(data: Dataset, pairs: list[Pair], file: Path) -> None:
    drawn = [one for _, masks in pairs for one in masks]
    numbered = [each.changed(id=number) for number, each in enumerate(drawn, 1)]
    file.parent.mkdir(parents=True, exist_ok=True)
    root = file.parent.parent / "images"
    images = [image for image, _ in pairs]
    write_coco(Dataset(images, numbered, data.categories, image_root=root), file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", type=Path, help="part data set with the splits train and val")
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int, help="about so many pictures of a split, to look at")
    given = parser.parse_args()
    print(json.dumps(make(given.parts, given.out, limit=given.limit)))


if __name__ == "__main__":
    main()
