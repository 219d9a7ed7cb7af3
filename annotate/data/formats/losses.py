"""What a data set would lose in a format, counted and said before anything is written."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy import ndimage

from annotate.data.formats.layout import Holds
from partlab.counts import counted
from partlab.masks import Rle, area, decode, union
from partlab.progress import track
from partlab.schema import OURS, Annotation, Dataset
from partlab.truth import drawn_masks


def losses(splits: Mapping[str, Dataset], holds: Holds) -> list[str]:
    """One sentence for each kind of thing that these splits have and the format does not keep."""
    lost = {name: words for name in Holds.aspects() if (words := getattr(holds, name))}
    have = Counter[str]()
    for dataset in splits.values():
        have["attributes"] += _says_more(dataset, holds.known) if "attributes" in lost else 0
        have["names"] += len(dataset.categories)
        if lost.keys() & {"pixels", "instances", "holes", "layers"}:
            have.update(_drawn(dataset, lost))
    have["splits"] = len(splits) if len(splits) > 1 else 0
    return [f"{_TOLD[name](have[name])} {lost[name]}" for name in lost if have[name]]


_TOLD = {
    "pixels": lambda n: f"{counted(n, 'mask')}:",
    "instances": lambda n: f"{counted(n, 'mask')} of a part that its image has several times:",
    "holes": lambda n: f"{counted(n, 'mask')} with holes:",
    "layers": lambda n: f"{counted(n, 'mask')} over or under another:",
    "names": lambda n: f"{counted(n, 'name')} of parts:",
    "attributes": lambda n: f"{counted(n, 'record')} with more than pixels and a name:",
    "splits": lambda n: f"{counted(n, 'split')}:",
}


def _says_more(dataset: Dataset, known: frozenset[str]) -> int:
    """How many masks say more than they hold and than is `known`, and what belongs to no mask."""
    said = sum(bool(a.iscrowd or _ours(a).keys() - known) for a in dataset.annotations)
    return said + len(dataset.discards) + len(dataset.inclusions)


def _ours(one: Annotation) -> dict[str, Any]:
    return one.raw.get(OURS) or {}


def _drawn(dataset: Dataset, lost: Mapping[str, str]) -> Counter[str]:
    have = Counter[str]()
    for image in track(dataset.images, "looking", total=len(dataset.images)):
        masks = drawn_masks(dataset, image).masks
        have["pixels"] += len(masks)
        parts = Counter(annotation.category_id for annotation, _ in masks)
        have["instances"] += sum(count for count in parts.values() if count > 1)
        rles = [rle for _, rle in masks]
        have["layers"] += sum(_meets(rles)) if "layers" in lost else 0
        have["holes"] += sum(map(has_hole, rles)) if "holes" in lost else 0
    return have


def _meets(rles: list[Rle]) -> Iterator[bool]:
    """For each mask whether it shares a pixel with another one."""
    if rles and area(union(rles)) == sum(map(area, rles)):
        return
    for at, rle in enumerate(rles):
        rest = rles[:at] + rles[at + 1 :]
        yield bool(rest) and area(union([*rest, rle])) < area(union(rest)) + area(rle)


def has_hole(rle: Rle) -> bool:
    """Whether pixels outside a mask cannot be reached from the edge of its picture."""
    mask = decode(rle)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return False
    cut = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    return bool(ndimage.label(~cut, np.ones((3, 3)))[1] > 1)
