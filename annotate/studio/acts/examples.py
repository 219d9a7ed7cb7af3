"""Example pictures in the instructions: finished ones of a category, and one of a single part."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PillowImage

from annotate.data.checks.overlaps import overlaps_of
from annotate.draw import Colour, Style, overlay, palette
from annotate.studio.acts.answers import nested
from annotate.vocabulary.model import ObjectParts, Vocabulary
from annotate.work.pictures import part_picture, save_part_picture
from partlab.composite import Layer
from partlab.counts import counted
from partlab.errors import MaskError, NotFoundError, PartlabError
from partlab.images import is_image_name, load_image
from partlab.masks import from_segmentation
from partlab.schema import Dataset, Image

log = logging.getLogger(__name__)

_LOOK = Style(side=360, legend=True)
_PART_SIDE = 240

Source = Dataset | Path
PartPictures = Mapping[tuple[str, str], Path]
"""Object category and part id -> the picture that the vocabulary names."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Pictures, and the ids of the parts they show; None where nobody knows."""

    pictures: tuple[PillowImage.Image, ...] = ()
    shown: frozenset[str] | None = None


def example_pictures(source: Source, parts: ObjectParts, count: int = 3) -> Examples:
    """Up to `count` pictures that show how parts are drawn; none when the source has none.

    `source` is a part data set, whose masks are drawn in the colours of the list of parts, or a
    folder with a sub-folder of finished pictures for each object category. Pictures in which
    parts overlap undeclared would contradict the rules beside them: they are left out, and told.
    """
    if isinstance(source, Path):
        files = [path for path in sorted((source / parts.name).glob("*")) if is_image_name(path)]
        return Examples(tuple(map(_picture, files[:count])))
    known = _Known(source, parts)
    found: list[PillowImage.Image] = []
    shown: set[str] = set()
    wrong: dict[str, int] = {}
    for image in known.richest():
        if len(found) == count:
            break
        layers = known.layers(image)
        if overlaps := known.overlapping(layers):
            wrong[overlaps] = wrong.get(overlaps, 0) + 1
            continue
        try:
            found.append(known.drawn(image, layers))
        except PartlabError:  # its picture is missing or damaged; the next one will do
            continue
        shown |= {parts.ids[layer.label] for layer in layers}
    for words, images in wrong.items():
        log.warning(
            "left out: %s of %s: %s there, and no inclusion is declared",
            counted(images, "example"),
            parts.name,
            words,
        )
    return Examples(tuple(found), frozenset(shown))


def _picture(path: Path) -> PillowImage.Image:
    picture = PillowImage.fromarray(load_image(path))
    picture.thumbnail((_LOOK.side, 2 * _LOOK.side))
    return picture


class _Known:
    """A part data set as far as it is about one object category; labels are its own."""

    def __init__(self, source: Dataset, parts: ObjectParts) -> None:
        self.source, self.parts = source, parts
        matched = parts.categories.matched(source.parts)
        self.label = {theirs: own for own, theirs in matched.items()}
        self.tints: list[Colour] = palette(parts.categories.names)

    def richest(self) -> list[Image]:
        """The images that show something, most different parts first."""
        rich = {image.id: len(self._labels(image)) for image in self.source.images}
        some = [image for image in self.source.images if rich[image.id]]
        return sorted(some, key=lambda image: (-rich[image.id], image.id))

    def _labels(self, image: Image) -> set[int]:
        own = (
            self.label.get(self.source.label_of.get(a.category_id, -1))
            for a in self.source.annotations_of(image)
        )
        return {label for label in own if label is not None}

    def layers(self, image: Image) -> list[Layer]:
        """Its masks, labelled by the place of their part, without those that cannot be read."""
        found = []
        for annotation in self.source.annotations_of(image):
            own = self.label.get(self.source.label_of.get(annotation.category_id, -1))
            if own is None:
                continue
            try:
                rle = from_segmentation(annotation.segmentation, image.height, image.width)
            except MaskError:
                continue
            found.append(Layer(own, rle, annotation.score))
        return found

    def overlapping(self, layers: list[Layer]) -> str:
        """Which parts lie over each other undeclared, in words; nothing where none do."""
        for small, large in overlaps_of([layer.rle for layer in layers]):
            a, b = (self.parts.parts[layers[at].label] for at in (small, large))
            if a.id != b.id and not nested(a.id, b.id, self.parts):
                return f"{a.name} lies over {b.name}"
        return ""

    def drawn(self, image: Image, layers: list[Layer]) -> PillowImage.Image:
        """The picture with its masks, and the names of the parts in the order of their list."""
        own = self.parts.categories
        pixels = load_image(self.source.image_path(image))
        parents, tints = own.parents, self.tints
        return overlay(pixels, layers, own.names, parents=parents, style=_LOOK, colours=tints)


# -- pictures of single parts -----------------------------------------------------------------


def part_pictures(vocabulary: Vocabulary, beside: Path, work: Path | None = None) -> PartPictures:
    """The example pictures of single parts that a vocabulary in the folder `beside` names.

    Those that are not there, but that the `work` has kept already, are left out.

    Raises:
        NotFoundError: one of them is not there.
    """
    found: dict[tuple[str, str], Path] = {}
    for one in vocabulary.objects:
        for part in one.parts:
            if part.example:
                path = beside / part.example
                if path.is_file():
                    found[one.name, part.id] = path
                elif work is None or part_picture(work, one.name, part.id) is None:
                    raise NotFoundError(
                        f"the example picture of {part.name!r} of {one.name} is not there: {path}",
                        hint=f"paths under `example:` begin at {beside}",
                    )
    return found


def keep_part_pictures(work: Path, pictures: PartPictures) -> None:
    """Keep them, made small, where Label Studio may show them.

    Raises:
        DatasetError: one cannot be read.
    """
    for (owner, part), path in pictures.items():
        picture = PillowImage.fromarray(load_image(path))
        picture.thumbnail((_PART_SIDE, _PART_SIDE))
        save_part_picture(work, owner, part, picture)
