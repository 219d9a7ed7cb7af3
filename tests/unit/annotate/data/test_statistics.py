"""Statistics of part data sets (ST-01 to ST-05, D-05, D-06)."""

from pathlib import Path

import numpy as np
import pytest

from annotate.data.statistics import BINS, REFERENCE_BINS, REFERENCES, Spread, measure, read_splits
from partlab.errors import NotFoundError
from partlab.masks import encode
from partlab.schema import Annotation, Category, Dataset, Discard, Image

REAL = Path(__file__).resolve().parents[5] / "shared" / "data" / "parts"


def planted() -> Dataset:
    """Three cats and a mug: 2 wings of the same part in one image, one image without masks."""
    rle = encode(np.ones((4, 4), bool))
    categories = [
        Category.new(3, "cat", "head"),
        Category.new(5, "cat", "eye"),
        Category.new(9, "cat", "body"),
        Category.new(7, "mug", "body", whole_object=True),
    ]
    shown = {1: [3, 5, 5, 5, 9], 2: [3, 9], 3: [], 4: [7]}
    images = [
        Image.new(
            i,
            f"{i}.jpg",
            (4, 4),
            object="mug" if i == 4 else "cat",
            **({"license": "CC0-1.0", "source": "us"} if i < 3 else {}),
        )
        for i in shown
    ]
    pairs = [(image, category) for image, found in shown.items() for category in found]
    annotations = [
        Annotation.new(n, image, category, rle, **({"provenance": "human-reused"} if n < 3 else {}))
        for n, (image, category) in enumerate(pairs, 1)
    ]
    return Dataset(
        images, annotations, categories, {"cat": {"eye": "head"}}, [Discard({"file_name": "x.jpg"})]
    )


def test_counts_by_hand() -> None:
    found = measure([planted()], "planted")
    assert (found.objects, found.parts, found.images, found.masks) == (2, 4, 4, 8)
    assert (found.inclusions, found.objects_with_inclusions) == (1, 1)  # ST-02
    assert (found.whole_object_parts, found.discards, found.images_without_masks) == (1, 1, 1)
    assert found.provenance == {"human": 6, "human-reused": 2}  # D-05
    assert found.licenses == {"CC0-1.0": 2, "not stated": 2}  # D-06
    assert found.sources == {"not stated": 2, "us": 2}
    assert found.images_per_object == Spread(1, 2.0, 3)
    assert found.masks_per_part == Spread(1, 2.0, 3)
    assert [(o.object, o.parts, o.images, o.masks) for o in found.per_object] == [
        ("cat", 3, 3, 7),
        ("mug", 1, 1, 1),
    ]
    eye = next(part for part in found.per_part if part.part == "eye")
    assert (eye.images, eye.masks) == (1, 3)


def test_the_two_densities_differ_and_bins_count_distinct_categories() -> None:
    found = measure([planted()], "planted")
    assert found.masks_per_image == 8 / 4  # mask instances per image
    assert found.parts_per_image == (3 + 2 + 0 + 1) / 4  # distinct part categories per image
    assert found.bins == {"1-2": 2 / 3, "3-4": 1 / 3, "5-6": 0.0, "7+": 0.0}


def _renumbered(data: Dataset, less: int) -> Dataset:
    """Ids are local to a file: this one has the same as another."""
    images = [image.changed(id=image.id - less) for image in data.images]
    masks = [a.changed(image_id=a.image_id - less) for a in data.annotations]
    return Dataset(images, masks, data.categories, data.inclusions, data.discards)


def test_splits_count_together_and_categories_once() -> None:
    whole = planted()
    halves = [whole.subset([1, 2]), _renumbered(whole.subset([3, 4]), 2)]
    together, alone = measure(halves, "x"), measure([whole], "x")
    assert together == alone


def test_nothing_to_count() -> None:
    empty = measure([Dataset([], [], [])], "empty")
    assert (empty.images, empty.masks_per_image, empty.bins["1-2"]) == (0, 0.0, 0.0)
    assert empty.images_per_object == Spread(0, 0, 0)


def test_masks_of_unknown_images_are_not_counted() -> None:
    data = planted()
    stray = [Annotation.new(90, 77, 3, {}), Annotation.new(91, 1, 77, {})]
    with_stray = Dataset(data.images, [*data.annotations, *stray], data.categories)
    assert measure([with_stray], "x").masks == 8


def test_published_rows_are_those_of_table_1() -> None:
    """ST-04, and both part counts of PartImageNet++ (ST-01)."""
    rows = {row.name: row for row in REFERENCES}
    assert (rows["PACO"].objects, rows["PACO"].parts) == (75, 456)
    assert (rows["PartImageNet"].images, rows["PartImageNet"].masks) == (24_000, 112_000)
    published = rows["PartImageNet++"]
    assert (published.objects, published.images, published.masks) == (1000, 100_000, 406_364)
    assert published.parts == 3308
    assert "3,310" in published.note
    assert len(rows) == 6
    assert list(REFERENCE_BINS) == [name for name, _, _ in BINS]
    assert sum(REFERENCE_BINS.values()) == pytest.approx(1)  # ST-03
    # The published bins fit distinct categories, not 4.06 masks an image.
    most = sum(
        share * top for share, top in zip(REFERENCE_BINS.values(), (2, 4, 6, 9), strict=True)
    )
    assert most < published.masks / published.images


def test_unknown_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_splits(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/data/parts beside the checkout")
def test_real_photos() -> None:
    found = measure(read_splits(REAL), "parts")
    assert (found.objects, found.parts) == (13, 49)
    assert (found.images, found.masks) == (3443, 26426)
    assert found.masks_per_image > found.parts_per_image
    with pytest.raises(NotFoundError, match="no split 'tset'"):
        read_splits(REAL, "tset")
