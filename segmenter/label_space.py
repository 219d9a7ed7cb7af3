"""A segmenter and a data set may number their parts differently: matched here, by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from partlab.composite import Layer
from partlab.errors import DatasetError
from partlab.schema import Dataset, Image
from segmenter.ap import Result, truth_mask
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


def truth_layers(data: Dataset, image: Image) -> list[Layer]:
    """The human masks of one image.

    Raises:
        MaskError: a mask cannot be decoded; the message names it.
        DatasetError: an annotation has a category that the data set does not list.
    """
    layers = []
    for annotation in data.annotations_of(image):
        if annotation.category_id not in data.label_of:
            raise DatasetError(
                f"annotation {annotation.id} of image {image.file_name} has the unknown "
                f"category {annotation.category_id}",
                hint="see all defects: partlab data check DATA",
            )
        layers.append(Layer(data.label_of[annotation.category_id], truth_mask(annotation, image)))
    return layers


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(names[:5]) or "nothing") + more
