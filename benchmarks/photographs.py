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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from partlab.coco import read_dataset, write_coco
from partlab.images import load_image
from partlab.masks import bbox, decode, encode, from_segmentation
from partlab.schema import Annotation, Dataset, Image

SIDE, FILL, QUALITY = 80, 0.8, 90
GREY = 128
VARIANTS = ("mixed", "ground", "found", "frame")
SMALLEST = 0.25  # a background is at least this share of its picture's shorter side


Pair = tuple[Image, list[Annotation]]


class Photo(NamedTuple):
    """One photograph and its masks, by category."""

    image: Image
    object: str
    pixels: NDArray[np.uint8]
    masks: list[tuple[int, NDArray[np.bool_]]]

    @property
    def object_mask(self) -> NDArray[np.bool_]:
        return np.any([mask for _, mask in self.masks], 0)


def make(parts: Path, out: Path, *, limit: int | None = None, seed: int = 0) -> dict[str, Any]:
    """All variants of both splits; what was left out, and how many backgrounds there were."""
    told: dict[str, Any] = {}
    for split in ("train", "val"):
        data = read_dataset(parts, split)
        chosen = data.images[:: max(len(data.images) // limit, 1)] if limit else data.images
        grounds, free = _grounds(data, chosen)
        rng = np.random.default_rng([seed, split == "train"])
        made: dict[str, list[Pair]] = defaultdict(list)
        for photo in _photos(data, chosen):
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


def _photos(data: Dataset, chosen: Any) -> Iterator[Photo]:
    """Each with masks on it, as bool arrays."""
    for image in chosen:
        size = image.height, image.width
        masks = [(each.category_id, decode(from_segmentation(each.segmentation, *size)))
                 for each in data.annotations_of(image)]  # fmt: skip
        masks = [(category, mask) for category, mask in masks if mask.any()]
        if masks and (owner := data.object_of(image)):
            yield Photo(image, owner, load_image(data.image_path(image)), masks)


def _grounds(data: Dataset, chosen: Any) -> tuple[dict[str, list[Any]], int]:
    """By class: SIDE x SIDE pictures of the largest square of a photograph without a mask."""
    found = defaultdict(list)
    for photo in _photos(data, chosen):
        free = cv2.copyMakeBorder((~photo.object_mask).astype(np.uint8), 1, 1, 1, 1, 0)
        reach = cv2.distanceTransform(free, cv2.DIST_C, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(int(reach.argmax()), reach.shape)
        half = int(reach[y, x]) - 1
        if 2 * half + 1 >= SMALLEST * min(reach.shape):
            square = photo.pixels[y - half : y + half + 1, x - half : x + half + 1]
            found[photo.object].append(_resized(square, SIDE, SIDE))
    return found, sum(map(len, found.values()))


def _draw(grounds: dict[str, list[Any]], rng: np.random.Generator) -> NDArray[np.uint8]:
    names = sorted(grounds)
    of = grounds[names[rng.integers(len(names))]]
    ground: NDArray[np.uint8] = of[rng.integers(len(of))]
    return ground[:, ::-1] if rng.random() < 0.5 else ground


Masks = list[tuple[int, NDArray[np.bool_]]]


def _variants(photo: Photo, ground: NDArray[np.uint8]) -> dict[str, tuple[Any, Masks]]:
    pixels, whole = photo.pixels, photo.object_mask
    box = tuple(round(v) for v in bbox(encode(whole)))
    square = _square(box, whole.shape)
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


def _square(box: Any, shape: Any) -> tuple[int, int, int]:
    """x, y and side of a square about the box, inside the picture."""
    x, y, width, height = box
    side = min(round(max(width, height) / FILL), *shape)
    left = min(max(x + width // 2 - side // 2, 0), shape[1] - side)
    top = min(max(y + height // 2 - side // 2, 0), shape[0] - side)
    return left, top, side


def _cut(pixels: NDArray[np.uint8], square: tuple[int, int, int]) -> NDArray[np.uint8]:
    x, y, side = square
    return _resized(pixels[y : y + side, x : x + side], SIDE, SIDE)


def _cut_mask(mask: NDArray[np.bool_], square: tuple[int, int, int]) -> NDArray[np.bool_]:
    x, y, side = square
    return _resized_mask(mask[y : y + side, x : x + side], SIDE, SIDE)


def _on_ground(photo: Photo, box: Any, ground: NDArray[np.uint8]) -> tuple[Any, Masks]:
    """The object in the middle of a background; its edge is blended by how much it covers."""
    x, y, width, height = box
    scale = FILL * SIDE / max(width, height)
    w, h = max(round(width * scale), 1), max(round(height * scale), 1)
    left, top = (SIDE - w) // 2, (SIDE - h) // 2
    inside = np.s_[y : y + height, x : x + width]
    share = _resized((255 * photo.object_mask[inside]).astype(np.uint8), w, h)[..., None] / 255
    there = np.s_[top : top + h, left : left + w]
    mixed = ground.copy()
    mixed[there] = np.rint(
        share * _resized(photo.pixels[inside], w, h) + (1 - share) * mixed[there]
    )
    placed = []
    for category, mask in photo.masks:
        full = np.zeros((SIDE, SIDE), bool)
        full[there] = _resized_mask(mask[inside], w, h)
        placed.append((category, full))
    return mixed, placed


def _resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(Pillow.fromarray(pixels).resize((width, height), Pillow.Resampling.BICUBIC))


def _resized_mask(mask: NDArray[np.bool_], width: int, height: int) -> NDArray[np.bool_]:
    return _resized((255 * mask).astype(np.uint8), width, height) >= 128


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
