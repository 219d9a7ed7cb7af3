"""Pictures cut out about single objects, with all part masks in them: a data set to classify.

As the PACO classification set of Hingun's report (requirements H-07 to H-11): small objects are
left out by their box, the box is enlarged about its centre, and the crop shows the masks of the
whole picture, other objects' parts too. The pixels of an object without part masks say nothing.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from annotate.data.crop_objects import (
    Box,
    CropSettings,
    Found,
    Thing,
    box_about,
    enlarged,
    find_objects,
    whole_objects,
)
from annotate.data.crop_split import SPLITS, Photo, divided, groups, leak_report
from annotate.data.formats.names import file_safe
from annotate.data.split import same_pictures
from partlab.coco import find_splits, read_coco, write_coco
from partlab.counts import counted, few
from partlab.errors import DatasetError, NotFoundError
from partlab.files import replacing, write_json
from partlab.folders import new_folder
from partlab.images import load_image
from partlab.masks import BoolMask, area, bbox, decode, encode
from partlab.progress import track
from partlab.schema import OURS, Annotation, Category, Dataset, Image, Raw
from partlab.truth import DrawnMasks, drawn_masks

log = logging.getLogger(__name__)

PUBLISHED = {"images": 74_135, "objects": 310_603, "kept": 123_315, "without_parts": 19_030}
"""Hingun's report, 3.2, of PACO without `NOT_PUBLISHED`."""
NOT_PUBLISHED = "paco_ego4d_v1_test"
"""The split whose masks came out after the report (H-07)."""


@dataclass(slots=True)
class _Crops:
    """Crops of one new split so far."""

    images: list[Image] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    incomplete: list[Raw] = field(default_factory=list)  # entries as in `Dataset.broken`


def crop_folder(
    data: str | Path,
    out: str | Path,
    *,
    splits: Sequence[str] = (),
    mode: str = "image",
    ratios: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    settings: CropSettings | None = None,
    force: bool = False,
) -> Raw:
    """Cut the objects of a part data set out: a data set of one object a picture.

    All splits (or `splits`) are read and divided anew (`annotate.data.crop_split`). Returns counts
    of what was found, left out and made, and what the division leaks; also in `crops.json`.

    Raises:
        NotFoundError: no data set there, or no such split.
        DatasetError: it has no object that is large enough.
        ConfigError: an unknown mode, or ratios that are none.
        OutputExistsError: `out` holds files, and `force` is off.
    """
    settings = settings or CropSettings()
    found = [find_objects(one, split, settings) for split, one in _read(Path(data), splits).items()]
    photos = [thing.photo for one in found for thing in one.things]
    if not photos:
        raise DatasetError(f"{data} has no object of {settings.min_share:.1%} of its picture")
    group = groups([(one.split, one.data) for one in found], _pictures(found))
    places = divided(photos, ratios, mode=mode, seed=seed, group_of=group.__getitem__)
    told: Raw = {"mode": mode, "seed": seed, "ratios": [*ratios], **settings.model_dump()}
    told |= _counts(found) | {"leaks": leak_report(photos, places, group.__getitem__)}
    with new_folder(out, force=force, inputs=[data]) as folder:
        cutter = _Cutter([one.data for one in found], folder, settings)
        rest = iter(places)
        for one in found:
            cutter.cut(one, [(thing, next(rest)) for thing in one.things])
        told |= cutter.finish()
        write_json(folder / "crops.json", told)
    return told


def _read(path: Path, splits: Sequence[str]) -> dict[str, Dataset]:
    files = find_splits(path)
    if unknown := [split for split in splits if split not in files]:
        raise NotFoundError(
            f"no split {unknown[0]!r} in {path}", hint=f"its splits: {', '.join(files)}"
        )
    return {name: read_coco(file) for name, file in files.items() if name in (splits or files)}


def _pictures(found: Sequence[Found]) -> dict[Photo, int]:
    pairs = [(one.data, image) for one in found for image in one.data.images]
    photos = [Photo(one.split, image.id) for one in found for image in one.data.images]
    return dict(zip(photos, same_pictures(pairs), strict=True))


def _counts(found: Sequence[Found]) -> Raw:
    things = [thing for one in found for thing in one.things]
    return {
        "splits": [one.split for one in found],
        "images": sum(len(one.data.images) for one in found),
        "objects": sum(one.total for one in found),
        "small": sum(one.small for one in found),
        "kept": len(things),
        "without_parts": sum(not thing.has_parts for thing in things),
        "published": PUBLISHED if all(one.split.startswith("paco_") for one in found) else None,
    }


class _Cutter:
    """Cuts photo by photo; the records of all crops are in memory, pixels of one photo."""

    def __init__(self, data: Sequence[Dataset], folder: Path, settings: CropSettings) -> None:
        self._folder, self._settings = folder, settings
        self._kinds = _categories(data)
        self._inclusions = {owner: own for one in data for owner, own in one.inclusions.items()}
        self._made: dict[str, _Crops] = {split: _Crops() for split in SPLITS}
        self._passed: list[str] = []
        self._thin = self._number = 0

    def cut(self, found: Found, things: Sequence[tuple[Thing, str]]) -> None:
        """Cut the objects of one data set, each into its split."""
        by_photo: defaultdict[int, list[tuple[Thing, str]]] = defaultdict(list)
        for thing, split in things:
            by_photo[thing.image.id].append((thing, split))
        for own in track([*by_photo.values()], f"cutting {found.split}", len(by_photo)):
            self._photo(found.data, own)

    def _photo(self, data: Dataset, things: Sequence[tuple[Thing, str]]) -> None:
        image = things[0][0].image
        pixels = _pixels(data, image)
        if pixels is None:
            self._passed.append(image.file_name)
            return
        masks = [*_masks(data, image, self._kinds)]
        for thing, split in things:
            cut = enlarged(thing.box, self._settings.enlarge, (image.width, image.height))
            if cut[0] >= cut[2] or cut[1] >= cut[3]:
                self._thin += 1
                continue
            self._number += 1
            crops = self._made[split]
            name = f"{split}/{file_safe(thing.owner)}/{self._number:07d}{_suffix(image)}"
            _add(crops, thing, masks, cut, self._settings.long_side, name)
            if why := data.incomplete.get(image.id):
                record = {"image_id": crops.images[-1].id}
                entry = {"list": "annotations", "reason": why, "record": record}
                crops.incomplete.append(entry)
            _save(pixels, cut, crops.images[-1], self._folder / "images" / name)

    def finish(self) -> Raw:
        """Write the records; returns what was made, and what was passed over."""
        kinds = [*self._kinds.values()]
        for split, crops in self._made.items():
            if crops.images:
                top = {OURS: {"broken": crops.incomplete}} if crops.incomplete else {}
                data = Dataset(crops.images, crops.annotations, kinds, self._inclusions, top=top)
                write_coco(data, self._folder / "annotations" / f"{split}.json")
        if self._passed:
            were = counted(len(self._passed), "photo")
            names = few(self._passed)
            log.warning("%s left out, not readable or not of the stated size: %s", were, names)
        made = {split: len(crops.images) for split, crops in self._made.items()}
        return {"crops": made, "photos_not_read": self._passed, "under_a_pixel": self._thin}


def _categories(found: Sequence[Dataset]) -> dict[str, Category]:
    """Name -> part category, numbered anew: several files may number theirs otherwise."""
    names: dict[str, Category] = {}
    for data in found:
        wholes = whole_objects(data)
        for category in data.categories:
            if category.id not in wholes:
                names.setdefault(category.name, category)
    return {name: c.changed(id=n) for n, (name, c) in enumerate(names.items(), 1)}


def _pixels(data: Dataset, image: Image) -> NDArray[np.uint8] | None:
    try:
        pixels = load_image(data.image_path(image))
    except (NotFoundError, DatasetError):
        return None
    return pixels if pixels.shape[:2] == (image.height, image.width) else None


@dataclass(frozen=True, slots=True)
class _Mask:
    category: int
    pixels: BoolMask
    crowd: bool
    raw: Raw


def _masks(data: Dataset, image: Image, kinds: Mapping[str, Category]) -> Iterator[_Mask]:
    """Every part mask of a photo, and what says nothing: crowd regions, objects without parts."""
    drawn = drawn_masks(data, image)
    wholes = whole_objects(data)
    for flag, pairs in ((False, drawn.masks), (True, drawn.crowd)):
        for one, rle in pairs:
            if one.category_id not in wholes:
                name = data.category_by_id[one.category_id].name
                yield _Mask(kinds[name].id, decode(rle), flag, one.raw)
    for owner, region in _silent(data, image, drawn, wholes):
        for category in kinds.values():
            if category.object == owner:
                yield _Mask(category.id, region, True, {})


def _silent(
    data: Dataset, image: Image, drawn: DrawnMasks, wholes: frozenset[int]
) -> Iterator[tuple[str, BoolMask]]:
    """Objects without part masks, with their pixels; where those are not drawn, with their box."""
    pixels = {id(one): rle for one, rle in drawn.masks}
    own = data.annotations_of(image)
    parted = {(_owner(data, a), a.object_id) for a in own if a.category_id not in wholes}
    for one in own:
        if one.category_id in wholes and (_owner(data, one), one.object_id) not in parted:
            rle = pixels.get(id(one))
            region = decode(rle) if rle else _filled(box_about([one], image), image)
            yield _owner(data, one), region
    lost = [one.annotation for one in drawn.left_out if one.annotation.category_id not in wholes]
    for one in lost:
        box = box_about([one], image)
        if box and one.category_id in data.category_by_id:
            yield _owner(data, one), _filled(box, image)


def _owner(data: Dataset, one: Annotation) -> str:
    category = data.category_by_id.get(one.category_id)
    return category.object if category else ""


def _filled(box: Box | None, image: Image) -> BoolMask:
    region: BoolMask = np.zeros((image.height, image.width), bool)
    if box is not None:
        left, top, right, bottom = enlarged(box, 1, (image.width, image.height))
        region[top:bottom, left:right] = True
    return region


def _add(
    crops: _Crops,
    thing: Thing,
    masks: Sequence[_Mask],
    cut: tuple[int, int, int, int],
    long_side: int | None,
    name: str,
) -> None:
    """The record of one crop, and of the masks in it."""
    left, top, right, bottom = cut
    size = _scaled((right - left, bottom - top), long_side)
    rows, columns = (_nearest(n, m) for n, m in ((bottom - top, size[1]), (right - left, size[0])))
    about: Raw = {"photo": thing.image.file_name, "photo_split": thing.photo.split, "box": [*cut]}
    about |= {"object_id": thing.number, "has_parts": thing.has_parts}
    number = len(crops.images) + 1
    crops.images.append(Image.new(number, name, size, object=thing.owner, crop=about))
    for mask in masks:
        part = mask.pixels[top:bottom, left:right][np.ix_(rows, columns)]
        if not part.any():
            continue
        rle = encode(part)
        id = len(crops.annotations) + 1
        one = Annotation.new(id, number, mask.category, rle, bbox=bbox(rle), area=area(rle))
        extra = {key: value for key, value in mask.raw.items() if key not in one.raw}
        crops.annotations.append(Annotation({**one.raw, **extra, "iscrowd": int(mask.crowd)}))


def _scaled(size: tuple[int, int], long_side: int | None) -> tuple[int, int]:
    if long_side is None:
        return size
    factor = long_side / max(size)
    return max(round(size[0] * factor), 1), max(round(size[1] * factor), 1)


def _nearest(length: int, target: int) -> NDArray[np.intp]:
    """For each new pixel the old one under its centre."""
    return ((np.arange(target) + 0.5) * length / target).astype(np.intp)


def _suffix(image: Image) -> str:
    return ".jpg" if Path(image.file_name).suffix.lower() in (".jpg", ".jpeg") else ".png"


def _save(
    pixels: NDArray[np.uint8], cut: tuple[int, int, int, int], crop: Image, path: Path
) -> None:
    left, top, right, bottom = cut
    picture = PillowImage.fromarray(pixels[top:bottom, left:right])
    if picture.size != (crop.width, crop.height):
        resample = PillowImage.Resampling.LANCZOS
        picture = picture.resize((crop.width, crop.height), resample, reducing_gap=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, flush=False) as scratch:
        if path.suffix == ".jpg":
            picture.save(scratch, "JPEG", quality=95, subsampling=0)
        else:
            picture.save(scratch, "PNG")
