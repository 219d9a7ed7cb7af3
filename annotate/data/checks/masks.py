"""Rules on single masks: can it be drawn, does it say the truth about itself?"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from annotate.data.checks.kinds import ERROR, KINDS
from annotate.data.checks.settings import CheckSettings
from annotate.data.checks.sizes import Sizes, beyond, mostly_outside
from partlab.errors import MaskError
from partlab.masks import FAULTS, Rle, area, bbox, from_segmentation, polygon_fault
from partlab.schema import Annotation, Finding, Image
from partlab.truth import holds_no_pixels

_KIND_OF_FAULT = {"far_away": "out_of_bounds"}


def draw(annotation: Annotation, image: Image) -> Rle | Finding:
    """The annotation's pixels, or what keeps it from having any."""
    if min(image.width, image.height) < 1:
        return KINDS["bad_size"].at("no mask can be drawn", image=image, annotation=annotation)
    try:
        rle = from_segmentation(annotation.segmentation, image.height, image.width)
    except MaskError as error:
        if not annotation.segmentation:
            what = "a box without a mask" if annotation.bbox else "there is no mask"
            return KINDS["few_points"].at(what, image=image, annotation=annotation, fixable=False)
        kind = _fault_kind(annotation.segmentation, image)
        return KINDS[kind].at(error.message, image=image, annotation=annotation, fixable=False)
    if area(rle) == 0 and not holds_no_pixels(annotation.segmentation):
        what, hint = "lies outside of the image", "see whether it belongs to this picture"
        finding = KINDS["out_of_bounds"].at(
            what, image=image, annotation=annotation, fixable=False, hint=hint
        )
        return replace(finding, severity=ERROR)  # nothing of it can be used as it is
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
    annotation: Annotation,
    image: Image,
    rle: Rle,
    settings: CheckSettings,
    sizes: Sizes | None = None,
) -> Iterator[Finding]:
    """Bounds, stated area and stated box of a mask that can be drawn.

    Only `sizes` can tell whether what lies outside may be cut off; without it nothing may. Area
    and box of a mask that may not be cut are not looked at: its pixels are not known.
    """
    polygons = annotation.segmentation if isinstance(annotation.segmentation, list) else None
    far = beyond(polygons, image.width, image.height)
    if far > settings.bounds_pixels:
        doubt = _doubt(annotation, image, sizes)
        yield _out_of_bounds(annotation, image, far, doubt)
        if doubt:
            return
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


def _out_of_bounds(
    annotation: Annotation, image: Image, far: float, doubt: tuple[str, str] | None
) -> Finding:
    what, hint = f"reaches {far:.1f} px out of the image", None
    if doubt:
        what, hint = f"{what}; not cut: {doubt[0]}", doubt[1]
    return KINDS["out_of_bounds"].at(
        what, image=image, annotation=annotation, fixable=not doubt, hint=hint
    )


def _doubt(annotation: Annotation, image: Image, sizes: Sizes | None) -> tuple[str, str] | None:
    """Why what lies outside must not be cut off, and what to do; None where it may."""
    if sizes is not None and sizes.doubtful(image):
        return "the image's size is in doubt", "set the size, or the image's id, right first"
    if mostly_outside(annotation.segmentation, image.width, image.height):
        return "most of it lies outside", "see whether it belongs to this picture, or draw it again"
    if sizes is None:
        return "the picture was not looked at", "run without --no-images"
    if sizes.contradicted(image):
        return (
            "another mask of the image lies mostly outside or has another size",
            "see whether the masks were drawn at the picture's size",
        )
    if sizes.agree(image):
        return None
    return "the picture cannot be read", "put the picture there, then run with --fix"


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
