"""Records of a data set made one by one, for formats that are not COCO."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from annotate.formats import Source
from partlab.errors import SchemaError
from partlab.masks import Rle, area, bbox
from partlab.parts import split_name
from partlab.schema import Annotation, Category, Dataset, Discard, Image

log = logging.getLogger(__name__)


class Gathered:
    """Images, masks and part categories so far, and what was not read."""

    def __init__(self, source: Source, what: str) -> None:
        self.source, self.what = source, what
        self.images: list[Image] = []
        self.annotations: list[Annotation] = []
        self.discards: list[Discard] = []
        self.passed = Counter[str]()
        self._categories: dict[tuple[str, str], Category] = {}

    def image(self, file_name: str, size: tuple[int, int], **ours: Any) -> Image:
        """A new image of `size` (width, height), of the source's object if it has one."""
        ours = {"object": self.source.object, **ours} if self.source.object else ours
        self.images.append(Image.new(len(self.images) + 1, file_name, size, **ours))
        return self.images[-1]

    def mask(self, image: Image, label: str, rle: Rle, **ours: Any) -> None:
        """A new mask of the part that `label` names; `object` may say whose part it is."""
        category = self._category(label, ours.pop("object", None))
        known = {"bbox": bbox(rle), "area": area(rle), **ours}
        new = len(self.annotations) + 1
        self.annotations.append(Annotation.new(new, image.id, category.id, rle, **known))

    def _category(self, label: str, stated: str | None) -> Category:
        owner, part = split_name(label) if ":" in label else ("", label)
        owner = owner or self.source.object or stated or ""
        if not owner or not part:
            raise SchemaError(
                f"{self.source.path}: the label {label!r} does not say whose part it is",
                hint="say it for all with --object NAME, or write labels as object:part",
            )
        new = Category.new(len(self._categories) + 1, owner, part)
        return self._categories.setdefault((owner, part), new)

    def dataset(self, file: Path, images_at: Path) -> Dataset:
        """All of it, as if read from `file`, pictures under `images_at`."""
        return Dataset(
            self.images,
            self.annotations,
            list(self._categories.values()),
            discards=self.discards,
            path=file,
            image_root=images_at,
            top={"info": {"description": f"imported from {self.what}"}},
        )

    def say(self) -> None:
        """Warn of what was not read."""
        listed = [f"{count} {what}" for what, count in self.passed.items() if count]
        if listed:
            log.warning("%s: not read: %s", self.source.path, ", ".join(listed))
