"""Regions that are understood, united to one mask for each part of each object."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from annotate.studio.spelling.shapes import Size, Value, draw
from annotate.vocabulary.model import ObjectParts
from annotate.work.complaints import Problem, problem
from partlab.counts import counted
from partlab.errors import MaskError
from partlab.masks import BoolMask, Rle, encode

Origin = Literal["manual", "prediction", "prediction-changed"]


@dataclass(frozen=True, slots=True)
class PartMask:
    """One part of one object instance: the union of everything drawn for it.

    `part` is the part's id, `object` counts the instances from 1 (M-06), `rle` is in the size
    of the data set's image. `origin` tells how much a model helped (D-05): "prediction" was
    taken as it came, "prediction-changed" was changed or added to by hand. `regions` is how
    many regions it was made of, `model` what answered a click or a box with it, if one did.
    """

    part: str
    object: int
    rle: Rle
    origin: Origin = "manual"
    regions: int = 1
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """One region that is understood, but not drawn yet: a mask of a large photo is large."""

    id: str
    part: str
    object: int
    shape: Value
    origin: Origin
    model: str | None


class RefusedError(Exception):
    """A region that gives no mask: the kind of problem, and words for its annotator."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message

    def about(self, id: str) -> Problem:
        """The problem of the region with this id."""
        return problem(self.kind, f"region {id}: {self.message}")


@dataclass(frozen=True, slots=True)
class Sheet:
    """The picture that regions are drawn on, and what there is to say of them."""

    size: Size
    shown: Size
    min_pixels: int
    problems: list[Problem]
    specks: list[str]

    @property
    def speck_limit(self) -> int:
        """In pixels of the data set's image."""
        ratio = self.size[0] * self.size[1], max(self.shown[0] * self.shown[1], 1)
        return max(self.min_pixels * ratio[0] // ratio[1], 1)

    def draw(self, region: Region) -> BoolMask | None:
        """The region's mask; None, and a problem, when it has none."""
        try:
            mask = draw(region.shape, self.size, self.shown)
            if not mask.any():
                words = f"{region.part}: no pixel is inside; delete it, or draw it"
                raise RefusedError("empty-mask", words)
        except MaskError as error:
            broken = RefusedError("broken-mask", f"{region.part}: {error.message}")
            self.problems.append(broken.about(region.id))
        except RefusedError as refused:
            self.problems.append(refused.about(region.id))
        else:
            return mask
        return None


def united(regions: Sequence[Region], parts: ObjectParts, sheet: Sheet) -> Iterator[PartMask]:
    """One mask at a time for each part of each object."""
    groups: dict[tuple[int, int], list[Region]] = {}
    for region in regions:
        groups.setdefault((parts.ids.index(region.part), region.object), []).append(region)
    for (_, object), group in sorted(groups.items()):
        whole: BoolMask | None = None
        drawn: list[Region] = []
        for region in group:
            if (mask := sheet.draw(region)) is not None:
                whole = mask if whole is None else whole | mask
                drawn.append(region)
        if whole is None:
            continue
        part = group[0].part
        mask, specks = without_specks(whole, sheet.speck_limit)
        if specks:
            pixels = int(whole.sum() - mask.sum())
            sheet.specks.append(f"{part}: {_specks(specks, pixels)} dropped")
        if mask.any():
            origin, count = _common(drawn), len(drawn)
            model = next((one.model for one in drawn if one.model), None)
            yield PartMask(part, object, encode(mask), origin, count, model)


def _specks(count: int, pixels: int) -> str:
    size = counted(pixels, "pixel") + (" in all" if count > 1 else "")
    return f"{counted(count, 'speck')} of {size}"


def _common(regions: Sequence[Region]) -> Origin:
    found = {region.origin for region in regions}
    return found.pop() if len(found) == 1 else "prediction-changed"


def without_specks(mask: BoolMask, limit: int) -> tuple[BoolMask, int]:
    """The mask without its blobs (pixels touching by side or corner) of under `limit` pixels.

    Returns the mask and how many blobs were dropped.
    """
    if limit <= 1:
        return mask, 0
    import cv2

    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return mask, 0
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    _, blobs, statistics, _ = cv2.connectedComponentsWithStats(mask[box].astype(np.uint8))
    small = statistics[:, cv2.CC_STAT_AREA] < limit
    small[0] = False  # the background
    if not small.any():
        return mask, 0
    kept = mask.copy()
    kept[box] &= ~small[blobs]
    return kept, int(small.sum())
