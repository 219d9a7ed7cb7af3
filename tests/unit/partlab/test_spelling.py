"""Segmentations as other tools spell them: read where only one reading is possible."""

import base64
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from partlab.errors import MaskError
from partlab.masks import area, decode, encode, from_segmentation
from partlab.schema import Annotation, Category, Dataset, Image
from partlab.spelling import spelled, whole
from partlab.truth import incomplete

HEIGHT, WIDTH = 24, 30
FLAT = [3, 4, 23, 4, 23, 14, 3, 14]
TRUE = coco_mask.decode(coco_mask.frPyObjects([FLAT], HEIGHT, WIDTH))[..., 0].astype(bool)
RUNS = encode(TRUE)["counts"]
EDGES = np.flatnonzero(np.diff(TRUE.ravel(order="F").astype(int))) + 1
RUN_LIST = np.diff([0, *EDGES, TRUE.size]).tolist()
POINTS = list(zip(FLAT[::2], FLAT[1::2], strict=True))


@pytest.mark.parametrize(
    "segmentation",
    [
        FLAT,
        [[x, y] for x, y in POINTS],
        [[[x, y] for x, y in POINTS]],
        [{"x": x, "y": y} for x, y in POINTS],
        [[str(value) for value in FLAT]],
        [str(value) for value in FLAT],
        [FLAT, [3, 4]],
        [[3, 4, 23, 4], FLAT, []],
        {"size": [24.0, 30.0], "counts": RUNS},
        {"size": ["24", "30"], "counts": RUNS},
        {"size": [24, 30], "counts": [float(run) for run in RUN_LIST]},
        {"size": [24, 30], "counts": [str(run) for run in RUN_LIST]},
    ],
)
def test_other_spellings_are_the_same_mask(segmentation: Any) -> None:
    assert (decode(from_segmentation(segmentation, HEIGHT, WIDTH)) == TRUE).all()


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [24, 30], "counts": f"b'{RUNS}'"}, "b'...' written as text"),
        (
            {"size": [24, 30], "counts": base64.b64encode(RUNS.encode()).decode()},
            "base64 of COCO's string",
        ),
        ({"size": [30, 24], "counts": RUNS}, r"\[30, 24\], that is width, height"),
        (FLAT[:4], "fewer than 3 points"),
        ([[3, 4, 23, 4]], "fewer than 3 points"),
        ([FLAT, [1, 2, 3, 4, 5]], "odd number"),
        ([FLAT, [float("nan")] * 6], "not a number"),
        (None, "missing"),
        ("polygon", "neither a list nor an object"),
        ([], "empty"),
    ],
)
def test_what_cannot_be_read_says_why(segmentation: Any, reason: str) -> None:
    with pytest.raises(MaskError, match=reason):
        from_segmentation(segmentation, HEIGHT, WIDTH)


def test_an_image_without_a_size_is_no_crash() -> None:
    with pytest.raises(MaskError, match="0 x 0"):
        from_segmentation([FLAT], 0, 0)


@pytest.mark.parametrize("good", [[FLAT], [FLAT, [1.5, 2, 3, 4, 5, 6]], {"size": [1, 2]}, [], None])
def test_what_is_well_spelled_stays_the_same_object(good: Any) -> None:
    assert spelled(good) is good


@pytest.mark.parametrize(
    ("value", "number"),
    [(60.0, 60), ("60", 60), (" 7 ", 7), ("60.0", 60), (908400416500.0, 908400416500)],
)
def test_whole_numbers(value: Any, number: int) -> None:
    assert whole(value) == number
    assert type(whole(value)) is int


@pytest.mark.parametrize("value", [1.5, float("nan"), float("inf"), "a1", "", None, True, "٣"])
def test_what_is_no_whole_number_stays(value: Any) -> None:
    assert whole(value) is value


def test_images_whose_masks_were_dropped_are_known() -> None:
    """They must not train: what is missing there would be learnt as background."""
    images = [Image.new(i, f"{i}.jpg", (WIDTH, HEIGHT)) for i in range(1, 7)]
    nothing = encode(np.zeros((HEIGHT, WIDTH), bool))
    annotations = [
        Annotation.new(1, 1, 1, [FLAT]),
        Annotation.new(2, 2, 1, [FLAT]),
        Annotation.new(3, 2, 1, [[1, 2]]),
        Annotation.new(4, 3, 9, [FLAT]),
        Annotation.new(5, 4, 1, nothing),
        Annotation.new(6, 5, 1, [FLAT]),
        Annotation.new(7, 5, 1, nothing),
        Annotation.new(8, 6, 1, [FLAT, [1, 2]]),
    ]
    lost = {"list": "annotations", "position": 8, "reason": "has no id", "record": {"image_id": 1}}
    top = {"partlab": {"broken": [lost, {"list": "images", "record": "x"}]}}
    data = Dataset(images, annotations, [Category.new(1, "cat", "head")], top=top)
    assert data.incomplete == {1: "annotations[8] has no id"}
    found = incomplete(data)
    assert list(found) == [1, 2, 3, 4, 5]
    assert "annotation 3" in found[2]
    assert "fewer than 3 points" in found[2]
    assert sorted(incomplete(data.subset([1, 2]))) == [1, 2]
    assert incomplete(data.subset([6])) == {}
    assert len(data.subset([5, 6]).broken) == 1  # the lost image may be anybody's
    assert area(from_segmentation(annotations[-1].segmentation, HEIGHT, WIDTH)) == TRUE.sum()
