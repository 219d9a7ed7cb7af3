"""Records of a data set made one by one, for formats that are not COCO."""

import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotate.data.formats import Source
from annotate.data.renaming import of_object
from partlab.counts import counted
from partlab.masks import Rle, area, bbox
from partlab.objects import parts_only, without_object
from partlab.parts import folded
from partlab.schema import OURS, Annotation, Category, Dataset, Discard, Image, Raw

log = logging.getLogger(__name__)

_MOST = 1 << 31  # pixels of a side
_MOST_SHARED = 20_000  # values; objects may be numbered through all pictures


class Gathered:
    """Images, masks and categories so far, and what was not read.

    A category is a label as the file has it, as in a COCO file of names alone: what it is a part
    of is decided for all formats alike (`partlab.objects`, `annotate.data.formats.table`).
    """

    def __init__(self, source: Source, what: str) -> None:
        self.source, self.what = source, what
        self.images: list[Image] = []
        self.annotations: list[Annotation] = []
        self.discards: list[Discard] = []
        self.passed = Counter[tuple[str, str]]()
        self.broken: list[Raw] = []
        self._categories: dict[tuple[str, str], Category] = {}
        self._same: dict[Any, Any] = {}

    def image(self, file_name: str, size: tuple[int, int], **ours: Any) -> Image:
        """A new image of `size` (width, height)."""
        self.images.append(Image.new(len(self.images) + 1, file_name, size, **ours))
        return self.images[-1]

    def mask(self, image: Image, label: str, rle: Rle, **ours: Any) -> None:
        """A new mask of what `label` names; `object` may say whose part it is.

        Without a label it is set aside: nobody knows what it shows.
        """
        if not label.strip():
            self.pass_over("shape", "without a label")
            self.set_aside(image, label, "has no label")
            return
        category = self._category(label.strip(), ours.pop("object", None) or "")
        drawn: Rle = {"size": self._once((*rle["size"],), rle["size"]), "counts": rle["counts"]}
        box = [self._once(side, side) for side in bbox(rle)]
        new = len(self.annotations) + 1
        one = Annotation.new(new, image.id, category.id, drawn, bbox=box, area=area(rle))
        said = self._once((*ours.items(),), ours)
        self.annotations.append(Annotation({**one.raw, OURS: said}) if ours else one)

    def _once(self, key: Any, value: Any) -> Any:
        """An equal value that was there before: of 100,000 pictures that shows in memory."""
        return self._same.setdefault(key, value) if len(self._same) < _MOST_SHARED else value

    def pass_over(self, noun: str, rest: str = "", count: int = 1) -> None:
        """Count what is not read: `noun` for one of them, and what is said of it."""
        self.passed[noun, rest] += count

    def set_aside(self, image: Image, label: str, reason: str) -> None:
        """Keep in mind that something is drawn in the image which no mask shows.

        The image counts as incomplete (`Dataset.incomplete`): its rest is not background.
        """
        position = len(self.annotations) + len(self.broken)
        record = {"image_id": image.id, "label": printable(label)}
        entry = {"list": "annotations", "position": position, "reason": printable(reason)}
        self.broken.append({**entry, "record": record})

    def _category(self, label: str, stated: str) -> Category:
        stated = "" if ":" in label else stated
        raw: Raw = {"id": len(self._categories) + 1, "name": label}
        raw |= {"supercategory": stated} if stated else {}
        if stated and folded(stated) == folded(label):
            raw[OURS] = {"whole_object": True}
        return self._categories.setdefault((stated, label), Category(raw))

    def dataset(self, file: Path, images_at: Path) -> Dataset:
        """All of it, as if read from `file`, pictures under `images_at`."""
        top: Raw = {"info": {"description": f"imported from {self.what}"}}
        top |= {OURS: {"broken": self.broken}} if self.broken else {}
        gathered = Dataset(
            self.images,
            self.annotations,
            list(self._categories.values()),
            discards=self.discards,
            path=file,
            image_root=images_at,
            top=top,
        )
        return self._with_object(parts_only(gathered))

    def _with_object(self, data: Dataset) -> Dataset:
        """Where all labels are parts of the source's object, its images show that one."""
        owner, alone = self.source.object, without_object(data.categories)
        if not owner or self.source.names or len(alone) < len(data.categories):
            return data
        images = [i if i.object is not None else of_object(i, owner) for i in data.images]
        return replace(data, images=images)

    def say(self) -> None:
        """Warn of what was not read."""
        counts = (
            (counted(count, noun), rest) for (noun, rest), count in self.passed.items() if count
        )
        listed = [" ".join(filter(None, words)) for words in counts]
        if listed:
            log.warning("%s: not read: %s", self.source.path, ", ".join(listed))


def printable(text: str) -> str:
    """The text, lone surrogates (which no file can hold) written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def possible(width: int, height: int) -> bool:
    """Whether a picture can have this size in pixels."""
    return min(width, height) > 0 and max(width, height) < _MOST
