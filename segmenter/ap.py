"""Mask and box AP as COCO defines them, equal to pycocotools and sparse.

pycocotools visits every category of every image, so its time and memory grow with their
product; hotcoco (Rust) visits only the pairs that hold something. Source: P-07, H-03.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import hotcoco
import numpy as np
from numpy.typing import NDArray

from partlab.errors import DatasetError, MaskError
from partlab.masks import Rle, area, bbox, from_segmentation
from partlab.schema import Annotation, Dataset, Image
from partlab.truth import hint_for

Result = dict[str, Any]
"""COCO's result record: image_id, category_id, score, and segmentation, or bbox for boxes."""

Of = Literal["segm", "bbox"]
"""What is matched, as COCO calls it: masks, or their boxes."""

_IOU_50, _IOU_75 = 0, 5  # positions in COCO's 10 thresholds .50, .55 … .95


@dataclass(frozen=True, slots=True)
class Scores:
    """Average precision in 0…1; None where there is no truth to compare with."""

    ap: float | None  # mean over IoU .50:.05:.95
    ap50: float | None
    ap75: float | None


@dataclass(frozen=True, slots=True)
class ApResult(Scores):
    """COCO's AP over all part categories that have truth, and its parts.

    `per_category` is by part category id; `per_object` is the mean over an object's parts.
    """

    ap_small: float | None  # truth under 32 x 32 pixels
    ap_medium: float | None
    ap_large: float | None  # truth over 96 x 96 pixels
    ar: float | None  # recall at `max_dets`, mean over IoU thresholds
    per_category: Mapping[int, Scores]
    per_object: Mapping[str, Scores]


class ApMeter:
    """Counts images one by one; memory holds only match records, never masks.

    Args:
        truth: the data set; only images given to `update` count.
        max_dets: detections per image and category that count, best first (COCO: 100).
        of: masks, or the tight boxes of the truth's masks.
    """

    def __init__(self, truth: Dataset, max_dets: int = 100, of: Of = "segm") -> None:
        self._truth, self._of = truth, of
        self._names = {category.id: category.name for category in truth.categories}
        params = hotcoco.Params(of)
        params.max_dets = [max_dets]
        categories = [{"id": id, "name": name} for id, name in sorted(self._names.items())]
        self._stream = hotcoco.StreamingEval(categories, of, params=params)
        self._count = 0
        self._seen: set[int] = set()

    def update(self, image: Image, results: Sequence[Result]) -> None:
        """Match one image's detections with its truth; each image once.

        Raises:
            MaskError: a mask cannot be decoded, or is not of the image's size; a box is none.
            DatasetError: a category is not in the data set, or the image came before.
        """
        if image.id in self._seen:
            raise DatasetError(
                f"two images have the id {image.id} (one is {image.file_name})",
                hint="see all defects: partlab data check DATA",
            )
        self._seen.add(image.id)
        truth = [self._known(a, image) for a in self._truth.annotations_of(image)]
        record = {"id": image.id, "width": image.width, "height": image.height}
        found = [self._found(result, image) for result in results]
        self._stream.update([record], truth, found)

    def result(self) -> ApResult:
        """AP over the images seen so far."""
        measured = self._stream.finalize()
        measured.accumulate()
        tables: dict[str, NDArray[np.float64]] = measured.eval or {}
        # precision: IoU threshold, recall point, category, area; -1 where nothing is known
        precision, recall = tables["precision"][..., 0], tables["recall"][:, :, 0, 0]
        ids = sorted(self._names)
        per_category = {id: _scores(precision[:, :, k, 0]) for k, id in enumerate(ids)}
        overall = _scores(precision[..., 0])
        return ApResult(
            ap=overall.ap,
            ap50=overall.ap50,
            ap75=overall.ap75,
            ap_small=_mean(precision[..., 1]),
            ap_medium=_mean(precision[..., 2]),
            ap_large=_mean(precision[..., 3]),
            ar=_mean(recall),
            per_category=per_category,
            per_object=self._per_object(per_category),
        )

    def _known(self, annotation: Annotation, image: Image) -> Result:
        _refuse_unknown_category(annotation, image, self._truth)
        where = f"annotation {annotation.id} of image {image.file_name}"
        rle = _decoded(annotation.segmentation, image, where)
        self._count += 1
        return {
            # own ids: a file may repeat ids, and pycocotools takes a match with id 0 for none
            "id": self._count,
            "image_id": image.id,
            "category_id": annotation.category_id,
            "segmentation": rle,
            "area": _stated_area(annotation, rle),
            "bbox": bbox(rle),
            "iscrowd": int(bool(annotation.iscrowd)),
        }

    def _found(self, result: Result, image: Image) -> Result:
        where = f"a result for image {image.file_name}"
        if result["category_id"] not in self._names:
            raise DatasetError(f"{where} has the unknown category {result['category_id']}")
        shape: Result = (
            {"bbox": _box(result["bbox"], where)}
            if self._of == "bbox"
            # no `bbox` beside it: with one, COCO's tools take its area for the mask's
            else {"segmentation": _decoded(result["segmentation"], image, where)}
        )
        return {
            "image_id": image.id,
            "category_id": result["category_id"],
            **shape,
            "score": float(result["score"]),
        }

    def _per_object(self, per_category: Mapping[int, Scores]) -> dict[str, Scores]:
        parts: defaultdict[str, list[Scores]] = defaultdict(list)
        for category in self._truth.categories:
            parts[category.object].append(per_category[category.id])
        return {
            name: Scores(
                mean_known([s.ap for s in scores]),
                mean_known([s.ap50 for s in scores]),
                mean_known([s.ap75 for s in scores]),
            )
            for name, scores in parts.items()
        }


def mask_ap(
    truth: Dataset, results: Iterable[Result], max_dets: int = 100, of: Of = "segm"
) -> ApResult:
    """Mask AP (box AP with `of`) of COCO results over all images of a data set, found in or not.

    Equal to pycocotools to 1e-6 on the same detections: a crowd region is no target, and what
    is found in it counts neither as right nor as wrong. A truth mask that cannot be decoded is
    an error, not skipped: the figure would silently belong to another data set. Take such masks
    away first, and say so: `partlab.truth.usable`.

    Raises:
        MaskError: a mask of either side cannot be decoded; the message names it.
        DatasetError: a result names an image or category that the data set does not have.
    """
    by_image: defaultdict[int, list[Result]] = defaultdict(list)
    for result in results:
        by_image[result["image_id"]].append(result)
    for foreign in by_image.keys() - truth.image_by_id.keys():
        raise DatasetError(f"a result names image {foreign}, which the data set does not have")
    meter = ApMeter(truth, max_dets, of)
    for image in truth.images:
        meter.update(image, by_image.get(image.id, []))
    return meter.result()


def _refuse_unknown_category(annotation: Annotation, image: Image, data: Dataset) -> None:
    """A category that the file does not list is no mask to leave out: its ids are in disorder.

    Raises:
        DatasetError: the annotation has one; the message names it.
    """
    if annotation.category_id not in data.label_of:
        raise DatasetError(
            f"annotation {annotation.id} of image {image.file_name} has the unknown category "
            f"{annotation.category_id}",
            hint="see all defects: partlab data check DATA",
        )


def mean_known(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are known; None if none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _stated_area(annotation: Annotation, rle: Rle) -> float:
    """COCO takes the file's word for the area range; without one the mask's own."""
    stated = annotation.area
    known = isinstance(stated, int | float) and math.isfinite(stated)
    return float(stated if known and stated is not None else area(rle))


def _decoded(segmentation: Any, image: Image, where: str) -> Rle:
    try:
        return from_segmentation(segmentation, image.height, image.width)
    except MaskError as error:
        raise MaskError(f"{where}: {error.message}", hint=hint_for(segmentation)) from error


def _box(box: Sequence[float], where: str) -> list[float]:
    """x, y, width, height in pixels."""
    sides = [float(side) for side in box]
    if len(sides) != 4 or not all(map(math.isfinite, sides)):
        raise MaskError(f"{where}: {sides} is no box of x, y, width, height")
    return sides


def _scores(precision: NDArray[np.float64]) -> Scores:
    return Scores(_mean(precision), _mean(precision[_IOU_50]), _mean(precision[_IOU_75]))


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None
