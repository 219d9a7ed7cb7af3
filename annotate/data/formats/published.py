"""What the authors of published part data sets say is in them, to stand beside what was read.

Only figures that the source itself states; a split that it does not count has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from partlab.schema import Raw


@dataclass(frozen=True, slots=True)
class Published:
    """Counts of one data set; `images` and `masks` by the split as it is read here."""

    source: str
    images: Mapping[str, int] = field(default_factory=dict)
    masks: Mapping[str, int] = field(default_factory=dict)
    objects: int | None = None
    categories: int | None = None  # of parts


_PACO_DOCS = "PACO_DATASET.md of facebookresearch/paco; masks are object boxes and part segments"
_TABLE = "Table 1 of PartImageNet++"
PUBLISHED: dict[str, Published] = {
    "PACO": Published(
        _PACO_DOCS,
        images={
            "paco_lvis_v1_train": 45_790,
            "paco_lvis_v1_val": 2_410,
            "paco_lvis_v1_test": 9_443,
            "paco_ego4d_v1_train": 15_667,
            "paco_ego4d_v1_val": 825,
            "paco_ego4d_v1_test": 9_892,
        },
        masks={
            "paco_lvis_v1_train": 217_117 + 395_071,
            "paco_lvis_v1_val": 10_794 + 20_945,
            "paco_lvis_v1_test": 45_861 + 86_041,
            "paco_ego4d_v1_train": 34_835 + 81_528,
            "paco_ego4d_v1_val": 1_816 + 4_240,
            "paco_ego4d_v1_test": 21_708 + 53_580,
        },
        objects=75,
        categories=75 + 456,  # objects are categories of their own in its files
    ),
    "Cityscapes Panoptic Parts": Published(_TABLE, objects=5, categories=23),
    "PASCAL Panoptic Parts": Published(
        "ppp_datasetspec.yaml of pmeletis/panoptic_parts; images from its visualisation script",
        images={"val": 5_105},
        objects=16,
        categories=194,
    ),
    "PASCAL-Part (MATLAB files)": Published(_TABLE, objects=20),
    "ADE20K (full, with parts)": Published(
        "README of CSAILVision/ADE20K (release of 2021); masks are parts and parts of parts",
        images={"train": 25_574, "val": 2_000},
        masks={"total": 193_238},
    ),
    "PartImageNet (Seg form)": Published("README of TACJu/PartImageNet", objects=11, categories=40),
    "the PartImageNet++ release": Published(
        _TABLE, images={"total": 100_000}, masks={"total": 406_364}, objects=1_000, categories=3_308
    ),
}


def beside(title: str, splits: Mapping[str, Mapping[str, Any]]) -> Raw | None:
    """Published counts of the source taken for `title`, beside `splits` as `counts_of` has them.

    `rows` are (what, found, published); None where nothing is published.
    """
    known = PUBLISHED.get(title)
    if known is None:
        return None
    rows = [
        (f"{split}: {what}", splits[split][key], published)
        for what, key, by_split in _kinds(known)
        for split, published in by_split.items()
        if split in splits
    ]
    rows += [
        (f"all: {what}", sum(one[key] for one in splits.values()), by_split["total"])
        for what, key, by_split in _kinds(known)
        if "total" in by_split
    ]
    most = {key: max((one[key] for one in splits.values()), default=0) for key in _WHOLE}
    rows += [
        (what, most[key], published)
        for key, what in _WHOLE.items()
        if (published := getattr(known, key)) is not None
    ]
    return {"source": known.source, "rows": rows}


_WHOLE = {"objects": "objects", "categories": "part categories"}


def _kinds(known: Published) -> list[tuple[str, str, Mapping[str, int]]]:
    return [("images", "images", known.images), ("masks", "annotations", known.masks)]
