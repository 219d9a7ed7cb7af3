"""Mask AP (P-07, H-03): pycocotools is the oracle, to 1e-6, on the hard cases."""

import contextlib
import copy
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from partlab.errors import DatasetError, MaskError
from partlab.masks import area, bbox, encode
from partlab.schema import Annotation, Category, Dataset, Image
from segmenter.ap import ApResult, Of, Scores, mask_ap

Json = dict[str, Any]


def _dataset(raw: Json) -> Dataset:
    return Dataset(
        [Image(record) for record in raw["images"]],
        [Annotation(record) for record in raw["annotations"]],
        [Category(record) for record in raw["categories"]],
    )


def _oracle(
    raw: Json, results: list[Json], max_dets: int, of: Of = "segm"
) -> tuple[Any, Any, list[int]]:
    """pycocotools' precision [T, R, K, A] and recall [T, K, A]."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset = copy.deepcopy(raw)
        truth.createIndex()
        if results:
            found = truth.loadRes(copy.deepcopy(results))
        else:
            found.dataset = {**raw, "annotations": []}
            found.createIndex()
        measured = COCOeval(truth, found, of)
        measured.params.maxDets = [max_dets]
        measured.evaluate()
        measured.accumulate()
    ids = list(measured.params.catIds)
    return measured.eval["precision"][..., 0], measured.eval["recall"][..., 0], ids


def _mean(values: Any) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _shape(rng: np.random.Generator, height: int, width: int) -> Any:
    mask = np.zeros((height, width), bool)
    kind = rng.choice(["noise", "box", "ring", "empty"], p=[0.2, 0.4, 0.35, 0.05])
    if kind == "noise":
        return rng.random((height, width)) < rng.random()
    if kind == "empty":
        return mask
    top, left = rng.integers(0, height - 4), rng.integers(0, width - 4)
    low, right = rng.integers(top + 3, height + 1), rng.integers(left + 3, width + 1)
    mask[top:low, left:right] = True
    if kind == "ring":
        mask[top + 1 : low - 1, left + 1 : right - 1] = False
    return mask


def _annotation(rng: np.random.Generator, id: int, image: int, category: int, mask: Any) -> Json:
    rle = encode(mask)
    return {
        "id": id,
        "image_id": image,
        "category_id": category,
        "segmentation": rle,
        "area": float(area(rle)),
        "bbox": bbox(rle),
        "iscrowd": int(rng.random() < 0.2),
    }


def _case(seed: int) -> tuple[Json, list[Json]]:
    """A small data set with holes, crowds, ties, empty images and categories, odd ids."""
    rng = np.random.default_rng(seed)
    height, width = (130, 150) if rng.random() < 0.3 else (30, 40)
    images = [
        {"id": int(id), "file_name": f"{id}.png", "width": width, "height": height}
        for id in rng.permutation(50)[: rng.integers(1, 6)]
    ]
    ids = [int(id) for id in rng.permutation(20)[: rng.integers(1, 5)]]
    categories = [{"id": id, "name": f"thing:{id}"} for id in ids]
    truth: list[Json] = []
    results: list[Json] = []
    for image in images:
        for _ in range(rng.integers(0, 6)):
            mask, category = _shape(rng, height, width), int(rng.choice(ids))
            if rng.random() < 0.95:
                truth.append(_annotation(rng, len(truth) + 1, image["id"], category, mask))
            for _ in range(rng.integers(0, 4)):
                moved = np.roll(mask, int(rng.integers(-3, 4)), int(rng.integers(0, 2)))
                results.append(
                    {
                        "image_id": image["id"],
                        "category_id": category if rng.random() < 0.8 else int(rng.choice(ids)),
                        "segmentation": encode(moved),
                        "score": float(
                            rng.integers(1, 5) / 5 if rng.random() < 0.7 else rng.random()
                        ),
                    }
                )
    results = [results[i] for i in rng.permutation(len(results))]
    if rng.random() < 0.05:
        truth = []
    if rng.random() < 0.05:
        results = []
    return {"images": images, "annotations": truth, "categories": categories}, results


def _compare(
    ours: ApResult, raw: Json, results: list[Json], max_dets: int, of: Of = "segm"
) -> None:
    precision, recall, ids = _oracle(raw, results, max_dets, of)
    expected = {
        "ap": _mean(precision[..., 0]),
        "ap50": _mean(precision[0, ..., 0]),
        "ap75": _mean(precision[5, ..., 0]),
        "ap_small": _mean(precision[..., 1]),
        "ap_medium": _mean(precision[..., 2]),
        "ap_large": _mean(precision[..., 3]),
        "ar": _mean(recall[..., 0]),
    }
    for name, value in expected.items():
        assert getattr(ours, name) == pytest.approx(value, abs=1e-6), name
    for position, id in enumerate(ids):
        scores = ours.per_category[id]
        assert scores.ap == pytest.approx(_mean(precision[:, :, position, 0]), abs=1e-6)
        assert scores.ap50 == pytest.approx(_mean(precision[0, :, position, 0]), abs=1e-6)
        assert scores.ap75 == pytest.approx(_mean(precision[5, :, position, 0]), abs=1e-6)


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), max_dets=st.sampled_from([1, 2, 10, 100]))
def test_equal_to_pycocotools(seed: int, max_dets: int) -> None:
    raw, results = _case(seed)
    _compare(mask_ap(_dataset(raw), results, max_dets), raw, results, max_dets)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), max_dets=st.sampled_from([1, 100]))
def test_boxes_are_equal_to_pycocotools(seed: int, max_dets: int) -> None:
    raw, masks = _case(seed)
    rng = np.random.default_rng(seed)
    found = [
        {key: each[key] for key in ("image_id", "category_id", "score")}
        | {"bbox": (np.array(bbox(each["segmentation"])) + rng.random(4)).tolist()}
        for each in masks
    ]
    _compare(mask_ap(_dataset(raw), found, max_dets, of="bbox"), raw, found, max_dets, "bbox")


def test_a_result_that_is_no_box_is_refused() -> None:
    for box in ([1.0, 2.0, 3.0], [0.0, 0.0, float("nan"), 1.0]):
        found = {"image_id": 3, "category_id": 7, "bbox": box, "score": 0.5}
        with pytest.raises(MaskError, match=r"a result for image a\.png: .* is no box"):
            mask_ap(_two_objects(), [found], of="bbox")


def test_the_cases_hold_what_they_should() -> None:
    """The generator really makes ties, crowds, holes, empties and all area ranges."""
    seen: set[str] = set()
    for seed in range(200):
        raw, results = _case(seed)
        scores = [r["score"] for r in results]
        seen |= {"tie"} if len(set(scores)) < len(scores) else set()
        seen |= {"no result"} if not results else set()
        seen |= {"no truth"} if not raw["annotations"] else set()
        busy = {a["image_id"] for a in raw["annotations"]}
        seen |= {"empty image"} if len(busy) < len(raw["images"]) else set()
        used = {a["category_id"] for a in raw["annotations"]}
        seen |= {"empty category"} if len(used) < len(raw["categories"]) else set()
        for a in raw["annotations"]:
            seen |= {"crowd"} if a["iscrowd"] else set()
            seen.add("small" if a["area"] < 32**2 else "medium" if a["area"] < 96**2 else "large")
    wanted = "tie|no result|no truth|empty image|empty category|crowd|small|medium|large"
    assert seen == set(wanted.split("|"))


def _box(top: int, left: int, side: int = 8) -> Any:
    mask = np.zeros((40, 40), bool)
    mask[top : top + side, left : left + side] = True
    return encode(mask)


def _two_objects() -> Dataset:
    image = Image.new(3, "a.png", (40, 40))
    parts = [("cat", "head"), ("cat", "tail"), ("bird", "head"), ("bird", "wing")]
    categories = [Category.new(7 - i, *part) for i, part in enumerate(parts)]
    annotations = [
        Annotation.new(0, 3, 7, _box(0, 0)),  # cat:head
        Annotation.new(0, 3, 6, _box(20, 20)),  # cat:tail, same id on purpose
        Annotation.new(2, 3, 5, _box(20, 0)),  # bird:head
    ]
    return Dataset([image], annotations, categories)


def _result(category: int, segmentation: Any, score: float = 0.9) -> Json:
    return {"image_id": 3, "category_id": category, "segmentation": segmentation, "score": score}


def test_per_object_is_the_mean_over_its_parts_with_truth() -> None:
    """Worked by hand; annotation id 0 and repeated ids still count as matches."""
    found = [_result(7, _box(0, 0)), _result(5, _box(20, 0))]
    measured = mask_ap(_two_objects(), found)
    none, unknown = Scores(0.0, 0.0, 0.0), Scores(None, None, None)
    assert measured.per_category[7].ap == pytest.approx(1.0)
    assert measured.per_category[6] == none
    assert measured.per_category[4] == unknown
    cat, bird = measured.per_object["cat"], measured.per_object["bird"]
    assert [cat.ap, cat.ap50, cat.ap75] == pytest.approx([0.5, 0.5, 0.5])
    assert bird.ap == pytest.approx(1.0)
    assert measured.ap == pytest.approx(2 / 3)


def test_polygons_are_drawn_as_coco_does() -> None:
    polygon = [[4.0, 4.0, 20.0, 4.0, 20.0, 20.0, 4.0, 20.0]]
    raw = {
        "images": [{"id": 1, "file_name": "a", "width": 40, "height": 40}],
        "categories": [{"id": 1, "name": "cat:head"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": polygon, "iscrowd": 0}
            | {"area": 256.0, "bbox": [4.0, 4.0, 16.0, 16.0]}
        ],
    }
    found = [{"image_id": 1, "category_id": 1, "segmentation": _box(4, 4, 17), "score": 1.0}]
    _compare(mask_ap(_dataset(raw), found), raw, found, 100)


def test_area_ranges_follow_the_files_area() -> None:
    """COCO sorts truth into ranges by the record's own `area`, not by its mask."""
    data = _two_objects()
    big = data.annotations[0].changed(area=99.0**2)
    measured = mask_ap(Dataset(data.images, [big], data.categories), [_result(7, _box(0, 0))])
    assert measured.ap_small is None
    assert measured.ap_large == pytest.approx(1.0)


def test_a_results_own_box_and_area_are_ignored() -> None:
    """pycocotools takes a result's box area for its mask's; ours is always the mask's."""
    raw, results = _case(8)
    boxed = [result | {"bbox": [0.0, 0.0, 1.0, 1.0], "area": 1e6} for result in results]
    _compare(mask_ap(_dataset(raw), boxed), raw, results, 100)


def test_a_broken_truth_mask_is_named() -> None:
    data = _two_objects()
    broken = Annotation.new(44, 3, 7, [[1.0, 2.0, 3.0]])
    with pytest.raises(MaskError, match=r"annotation 44 of image a\.png: a polygon has"):
        mask_ap(Dataset(data.images, [broken], data.categories), [])


def test_wrong_size_and_short_runs_are_refused() -> None:
    short = {"size": [40, 40], "counts": "04"}
    for mask in (encode(np.ones((5, 5))), short):
        with pytest.raises(MaskError, match=r"a result for image a\.png"):
            mask_ap(_two_objects(), [_result(7, mask)])


def test_foreign_ids_are_refused() -> None:
    data = _two_objects()
    with pytest.raises(DatasetError, match="unknown category 99"):
        mask_ap(data, [_result(99, _box(0, 0))])
    with pytest.raises(DatasetError, match="names image 8"):
        mask_ap(data, [_result(7, _box(0, 0)) | {"image_id": 8}])
    stray = Annotation.new(5, 3, 99, _box(0, 0))
    with pytest.raises(DatasetError, match=r"annotation 5 of image a\.png.*unknown category 99"):
        mask_ap(Dataset(data.images, [stray], data.categories), [])


def test_no_categories_at_all() -> None:
    measured = mask_ap(Dataset([Image.new(1, "a", (4, 4))], [], []), [])
    assert measured.ap is None
    assert measured.per_category == {}


def test_repeated_image_ids_are_refused() -> None:
    """COCO's tools would silently keep one of the two."""
    data = _two_objects()
    with pytest.raises(DatasetError, match="two images have the id 3"):
        mask_ap(Dataset([*data.images, *data.images], data.annotations, data.categories), [])
