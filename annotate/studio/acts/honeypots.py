"""Pictures whose masks are known, mixed into a new work to be drawn unawares.

To annotators they are pictures like all others: same numbering, same file format, same data.
Their masks stand in the work's state alone; `annotate.inspect.checked` compares the answers.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotate.studio.acts.mixing import choose_honeypots, mix
from annotate.vocabulary import ObjectParts, Vocabulary
from annotate.work import Image
from annotate.work.pictures import shown_size
from partlab import schema
from partlab.coco import find_splits, read_dataset
from partlab.errors import MaskError, NotFoundError, PartlabError
from partlab.files import sha256_file
from partlab.images import load_image
from partlab.masks import from_segmentation
from partlab.progress import track
from partlab.schema import Category, Dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """Pictures to choose honeypots from, `per_object` of each object category.

    `parts` are the part ids of the vocabulary for the data set's category ids, `objects` its
    object categories by the name they have in the data set.
    """

    dataset: Dataset
    vocabulary: Vocabulary
    per_object: int
    objects: Mapping[str, str]
    parts: Mapping[int, str]

    @property
    def counts(self) -> dict[str, int]:
        """How many pictures of each object there would be, if all of them can be used."""
        chosen = choose_honeypots(self.dataset, self.per_object)
        found = dict.fromkeys(self.objects.values(), 0)
        for image in chosen.images:
            found[self.objects[chosen.object_of(image) or ""]] += 1
        return found

    def image(self, image: schema.Image, taken: Collection[str], long_side: int) -> Image | None:
        """The work's row for a picture; None, with a word in the log, if it cannot be used."""
        path = self.dataset.image_path(image)
        try:
            height, width = load_image(path).shape[:2]
            sha256 = sha256_file(path)
            if (width, height) != (image.width, image.height):
                raise MaskError(f"{path} is {width} x {height}, its masks are not")
            truth = self._truth(image)
        except PartlabError as error:
            log.warning("passed over: %s", error.message)
            return None
        return None if sha256 in taken else Image(
            id=0,
            object=self.objects[self.dataset.object_of(image) or ""],
            file_name=image.file_name,
            width=width,
            height=height,
            shown=list(shown_size((width, height), long_side)),
            rank=0,
            sha256=sha256,
            truth=truth,
        )  # fmt: skip

    def _truth(self, image: schema.Image) -> dict[str, Any]:
        masks = [
            {
                "part": self.parts[a.category_id],
                "object": a.object_id or 1,
                "rle": from_segmentation(a.segmentation, image.height, image.width),
            }
            for a in self.dataset.annotations_of(image)
        ]
        owner = self.dataset.object_of(image)
        known = [self.parts[c.id] for c in self.dataset.categories if c.object == owner]
        return {"version": self.vocabulary.version, "parts": known, "masks": masks}


def plan_known(
    vocabulary: Vocabulary,
    objects: Collection[str],
    path: str | Path,
    *,
    per_object: int,
    split: str | None = None,
) -> Known:
    """Match a data set with the objects of a work; opens no picture.

    Parts are the same by their name, else by the id that an export of partlab states. What the
    data set does not know of an object is not judged.

    Raises:
        NotFoundError: there is no such data set, or it has no masks of these objects' parts.
    """
    dataset = read_known(path, split)
    called = vocabulary.by_any_name
    wanted = {o: called[o] for o in dataset.objects if called.get(o) in objects}
    parts: dict[int, str] = {}
    for category in dataset.categories:
        if category.object in wanted:
            id = _part_id(vocabulary.object(wanted[category.object]), category)
            parts |= {category.id: id} if id is not None else {}
    masks = [a for a in dataset.annotations if a.category_id in parts]
    shown = {a.image_id for a in masks}
    images = [i for i in dataset.images if i.id in shown and dataset.object_of(i) in wanted]
    if not images:
        raise NotFoundError(
            f"{path} has no masks of the parts of {', '.join(sorted(objects))}",
            hint="honeypots need pictures of the same objects with the same part names",
        )
    categories = [c for c in dataset.categories if c.id in parts]
    kept = Dataset(images, masks, categories, path=dataset.path, image_root=dataset.image_root)
    there = {kept.object_of(i) for i in images}
    found = Known(
        kept, vocabulary, per_object, {o: n for o, n in wanted.items() if o in there}, parts
    )
    if missing := sorted(set(objects) - set(found.objects.values())):
        log.warning("no pictures with known masks of %s: nothing is mixed in", ", ".join(missing))
    return found


def read_known(path: str | Path, split: str | None = None) -> Dataset:
    """The data set of known masks.

    Raises:
        NotFoundError: there is none, or it has several splits and none is named.
    """
    splits = find_splits(path)
    if split is None and len(splits) > 1:
        file = next(iter(splits.values()))
        raise NotFoundError(f"several splits in {path}", hint=f"name the file of one, as {file}")
    return read_dataset(path, split)


def _part_id(parts: ObjectParts, category: Category) -> str | None:
    if category.part in parts.names:
        return parts.named(category.part).id
    stated = category.raw.get(schema.OURS, {}).get("part_id")
    return stated if stated in parts.ids else None


def choose_known(
    known: Known,
    taken: Collection[str],
    *,
    seed: int,
    long_side: int,
) -> list[Image]:
    """Choose honeypots by the seed, as rows of a work without id and rank.

    Pictures that cannot be read, or whose bytes are among those `taken` (by SHA-256), are
    replaced by others.

    Raises:
        NotFoundError: no picture can be used.
    """
    rows: dict[int, Image | None] = {}
    left = known.dataset
    while True:
        chosen = choose_honeypots(left, known.per_object, seed=seed).images
        new = [image for image in chosen if image.id not in rows]
        if not new:
            break
        rows |= {
            image.id: known.image(image, taken, long_side)
            for image in track(new, "choosing honeypots", len(new))
        }
        left = left.subset(i.id for i in left.images if rows.get(i.id, i) is not None)
    found = [row for image in chosen if (row := rows[image.id]) is not None]
    if not found:
        raise NotFoundError(
            f"no picture of {known.dataset.path} can be a honeypot",
            hint="they must be readable, and others than those to be annotated",
        )
    return found


def mixed(images: Sequence[Image], honeypots: Sequence[Image], seed: int) -> Iterator[Image]:
    """The images of each object in their order, its honeypots at seeded places among them."""
    for owner in dict.fromkeys(image.object for image in images):
        own, secret = ([i for i in rows if i.object == owner] for rows in (images, honeypots))
        yield from mix(own, secret, seed=seed, name=owner)
