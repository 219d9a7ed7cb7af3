"""Rules on single masks: can it be drawn, does it say the truth about itself?"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from annotate.checks.kinds import KINDS
from annotate.checks.settings import CheckSettings
from partlab.errors import MaskError
from partlab.masks import FAULTS, Rle, area, bbox, drawable, from_segmentation, polygon_fault
from partlab.schema import Annotation, Finding, Image

_KIND_OF_FAULT = {"far_away": "out_of_bounds"}


def draw(annotation: Annotation, image: Image) -> Rle | Finding:
    """The annotation's pixels, or what keeps it from having any."""
    if min(image.width, image.height) < 1:
        return KINDS["bad_size"].at("no mask can be drawn", image=image, annotation=annotation)
    try:
        rle = from_segmentation(annotation.segmentation, image.height, image.width)
    except MaskError as error:
        kind = _fault_kind(annotation.segmentation, image)
        return KINDS[kind].at(error.message, image=image, annotation=annotation, fixable=False)
    if area(rle) == 0:
        return KINDS["empty_mask"].at("covers no pixel", image=image, annotation=annotation)
    return rle


def _fault_kind(segmentation: Any, image: Image) -> str:
    if isinstance(segmentation, dict):
        same = segmentation.get("size") == [image.height, image.width]
        return "corrupt_rle" if same else "wrong_mask_size"
    polygons = segmentation if isinstance(segmentation, list) else []
    fault = next((found for found in map(polygon_fault, polygons) if found), "few_points")
    return _KIND_OF_FAULT.get(fault, fault)


def mask_findings(
    annotation: Annotation, image: Image, rle: Rle, settings: CheckSettings
) -> Iterator[Finding]:
    """Bounds, stated area and stated box of a mask that can be drawn."""
    polygons = annotation.segmentation if isinstance(annotation.segmentation, list) else None
    if polygons and (beyond := _beyond(polygons, image)) > settings.bounds_pixels:
        what = f"reaches {beyond:.1f} px out of the image"
        yield KINDS["out_of_bounds"].at(what, image=image, annotation=annotation)
    true_area, true_box = area(rle), bbox(rle)
    if annotation.area is not None:
        edge = settings.area_edge * (true_box[2] + true_box[3]) if polygons else 0.5
        allowed = max(edge, settings.area_fraction * true_area if polygons else 0)
        if not _near([annotation.area], [true_area], allowed):
            what = f"stated area {annotation.area}, the mask has {true_area} pixels"
            yield KINDS["wrong_area"].at(what, image=image, annotation=annotation)
    if annotation.bbox is not None:
        allowed = settings.box_pixels if polygons else 1.0
        if not _near(_corners(annotation.bbox), _corners(true_box), allowed):
            what = f"stated box {annotation.bbox}, the mask has {true_box}"
            yield KINDS["wrong_bbox"].at(what, image=image, annotation=annotation)


def _beyond(polygons: list[list[float]], image: Image) -> float:
    points = np.concatenate([np.asarray(piece, float) for piece in drawable(polygons)])
    across, down = points[::2], points[1::2]
    sides = -across.min(), across.max() - image.width, -down.min(), down.max() - image.height
    return float(max(sides))


def _corners(box: Any) -> list[Any]:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return [math.nan]
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _near(stated: list[Any], true: list[float], allowed: float) -> bool:
    if len(stated) != len(true) or not all(map(_is_number, stated)):
        return False
    return all(abs(a - b) <= allowed for a, b in zip(stated, true, strict=True))


assert set(FAULTS) - set(_KIND_OF_FAULT) <= set(KINDS)  # every fault has its kind
