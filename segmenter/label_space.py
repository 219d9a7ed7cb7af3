"""A segmenter and a data set may number their parts differently: matched here, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from partlab.composite import Layer
from partlab.errors import DatasetError
from partlab.masks import BoolMask, Rle, decode
from partlab.schema import Dataset, Image
from partlab.truth import drawn_masks, layers
from segmenter.ap import Result, refuse_unknown_category
from segmenter.protocol import Detections


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """The data set's labels, followed by those of parts that only the segmenter knows.

    `missing` are parts with truth masks that the segmenter does not know.
    """

    category_ids: Mapping[int, int]  # segmenter label -> category id of the data set
    labels: Mapping[int, int]  # segmenter label -> label in this space
    size: int
    missing: tuple[str, ...]

    @classmethod
    def of(cls, names: Sequence[str], data: Dataset) -> Self:
        """Match the segmenter's `names` with the categories of `data`.

        Raises:
            DatasetError: they have no part in common.
        """
        place = {name: label for label, name in enumerate(data.names)}
        labels = {label: place[name] for label, name in enumerate(names) if name in place}
        if not labels:
            raise DatasetError(
                f"{data.path or 'the data set'} has none of the parts this segmenter knows",
                hint=f"it knows {_few(names)}; the data set has {_few(data.names)}",
            )
        ids = {label: data.categories[there].id for label, there in labels.items()}
        size = len(data.categories)
        for label in range(len(names)):
            if label not in labels:
                labels[label] = size
                size += 1
        used = {annotation.category_id for annotation in data.annotations}
        known = set(names)
        missing = (c.name for c in data.categories if c.id in used and c.name not in known)
        return cls(ids, labels, size, tuple(missing))

    def results(self, found: Detections, image: Image) -> list[Result]:
        """COCO result records of one image.

        A part that the data set does not have is no category there: COCO cannot count it.
        """
        return [
            {
                "image_id": image.id,
                "category_id": self.category_ids[int(label)],
                "segmentation": rle,
                "score": float(score),
            }
            for label, rle, score in zip(found.labels, found.masks, found.scores, strict=True)
            if int(label) in self.category_ids
        ]

    def layers(self, found: Detections, threshold: float) -> list[Layer]:
        """Detections of at least `threshold` as layers in this space."""
        return [
            Layer(self.labels[int(label)], rle, float(score))
            for label, rle, score in zip(found.labels, found.masks, found.scores, strict=True)
            if score >= threshold
        ]


@dataclass(frozen=True, slots=True)
class TrueLayers:
    """The human masks of one image, and its crowd regions: pixels that say nothing."""

    layers: list[Layer]
    ignored: Rle | None

    @property
    def ignored_pixels(self) -> BoolMask | None:
        """Shape (height, width); None where every pixel counts."""
        return None if self.ignored is None else decode(self.ignored)


def truth_layers(data: Dataset, image: Image) -> TrueLayers:
    """The human masks of one image; those without usable pixels are left out.

    Raises:
        DatasetError: an annotation has a category that the data set does not list.
    """
    for annotation in data.annotations_of(image):
        refuse_unknown_category(annotation, image, data)
    drawn = drawn_masks(data, image)
    return TrueLayers(layers(data, drawn.masks), drawn.crowd_region)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(names[:5]) or "nothing") + more
