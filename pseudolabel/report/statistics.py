"""Numbers of a store, per object category and part, beside those of people's masks.

Presence and area are counted per image with the instances of a part united, on both sides.
Everything is gathered in one pass; memory holds a few bytes for each mask, never a mask.
"""

import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field

from partlab.config import Config
from partlab.labelmap_sources import DatasetSource
from partlab.masks import Rle, area, union
from partlab.parts import split_name
from partlab.progress import track
from partlab.schema import Dataset
from pseudolabel.store import Row, Store

NOBODY = "(no object category)"


class Bounds(Config):
    """From where on a difference is pointed out, and how much the page shows."""

    missing: float = Field(0.15, ge=0)
    # a part's share of images may fall short of people's by this much,
    # or by twice the standard error of the difference if that is more
    area_ratio: float = Field(1.5, ge=1)
    # a part's median area may be this many times people's, or 1 / this
    blank: float = Field(0.2, ge=0)  # share of images without any part
    min_images: int = Field(10, ge=1)  # below this, on either side, nothing is said
    bins: int = Field(20, ge=1)  # of score histograms, from 0 to 1
    examples: int = Field(4, ge=0)  # pictures each of best, median and worst
    categories: int = Field(40, ge=0)  # object categories that get pictures


@dataclass(frozen=True, slots=True)
class PartFacts:
    """One part category; shares are of the object's readable images, areas of the image."""

    name: str
    images: int  # in which the part was found
    share: float
    median_area: float | None
    median_score: float | None
    histogram: tuple[int, ...]
    human_images: int | None = None  # of the object; None if nothing to compare with
    human_share: float | None = None
    human_median_area: float | None = None
    missing: bool = False
    drifted: bool = False

    @property
    def part(self) -> str:
        """Name within its object."""
        return split_name(self.name)[1]

    @property
    def area_ratio(self) -> float | None:
        """Median area over people's."""
        if not self.median_area or not self.human_median_area:
            return None
        return self.median_area / self.human_median_area


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """One object category."""

    name: str
    images: int  # labelled, blank and unreadable
    labelled: int
    blank: int
    unreadable: int
    masks: int
    histogram: tuple[int, ...]  # of mask scores
    parts: tuple[PartFacts, ...]
    mostly_blank: bool

    @property
    def readable(self) -> int:
        """Labelled and blank."""
        return self.labelled + self.blank

    @property
    def blank_share(self) -> float:
        """Blank among the readable."""
        return self.blank / self.readable if self.readable else 0.0

    @property
    def masks_per_image(self) -> float:
        """Of the readable images."""
        return self.masks / self.readable if self.readable else 0.0


@dataclass
class Tally:
    """Counts of one side, store or people."""

    readable: Counter[str] = field(default_factory=Counter)  # images of each object
    present: Counter[str] = field(default_factory=Counter)  # images with each part
    areas: defaultdict[str, "array[float]"] = field(
        default_factory=lambda: defaultdict(lambda: array("f"))
    )

    def add(self, object: str, pixels: int, parts: Mapping[str, float]) -> None:
        """Count one image; `parts` is each part's area in pixels. Foreign parts do not count."""
        self.readable[object] += 1
        for name, covered in parts.items():
            if not _of(name, object):
                continue
            self.present[name] += 1
            self.areas[name].append(covered / pixels)

    def share(self, name: str) -> float | None:
        """Share of the object's images that have the part; None without images."""
        images = self.readable[split_name(name)[0]]
        return self.present[name] / images if images else None

    def median_area(self, name: str) -> float | None:
        """Median area of the part where it is, as a share of the image."""
        return float(np.median(self.areas[name])) if self.present[name] else None


@dataclass
class StoreTally(Tally):
    """Counts of a store, and what only a store has."""

    status: Counter[tuple[str, str]] = field(default_factory=Counter)
    scores: defaultdict[str, "array[float]"] = field(
        default_factory=lambda: defaultdict(lambda: array("f"))
    )
    object_scores: defaultdict[str, "array[float]"] = field(
        default_factory=lambda: defaultdict(lambda: array("f"))
    )
    ranking: defaultdict[str, list[tuple[float, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )  # per object: mean score, position in the store
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # file name, reason

    def add_row(self, position: int, row: Row, names: Sequence[str]) -> None:
        """Count one row of the store."""
        owner = row.object or NOBODY
        self.status[owner, row.status] += 1
        if row.status == "unreadable":
            self.unreadable.append((row.file_name, row.reason or "unknown reason"))
            return
        self.add(owner, row.height * row.width, _areas((names[m.label], m.rle) for m in row.masks))
        for mask in row.masks:
            self.scores[names[mask.label]].append(mask.score)
            self.object_scores[owner].append(mask.score)
        if row.masks:
            mean = sum(mask.score for mask in row.masks) / len(row.masks)
            self.ranking[owner].append((mean, position))


def _areas(masks: Iterable[tuple[str, Rle]]) -> dict[str, float]:
    grouped: defaultdict[str, list[Rle]] = defaultdict(list)
    for name, rle in masks:
        grouped[name].append(rle)
    return {
        name: covered
        for name, rles in grouped.items()
        if (covered := area(union(rles) if len(rles) > 1 else rles[0]))
    }


def tally_store(store: Store) -> StoreTally:
    """Count a whole store."""
    tally = StoreTally()
    for position, row in enumerate(track(store.rows(), "reading the store", len(store))):
        tally.add_row(position, row, store.names)
    return tally


def tally_human(dataset: Dataset) -> Tally:
    """Count a data set made by people; images without any mask say nothing and do not count."""
    tally, source = Tally(), DatasetSource(dataset)
    for item in track(source.items(), "reading people's masks", len(source)):
        masks = ((dataset.names[layer.label], layer.rle) for layer in item.layers)
        if item.object and item.layers:
            tally.add(item.object, item.size[0] * item.size[1], _areas(masks))
    return tally


def object_facts(
    store: Store, found: StoreTally, human: Tally | None, bounds: Bounds
) -> tuple[ObjectFacts, ...]:
    """Facts of every object category the store has images of, in the order of its names."""
    owners = dict.fromkeys(store.parts.objects)
    seen = {owner for owner, _ in found.status}
    ordered = [*(o for o in owners if o in seen), *sorted(seen - owners.keys())]
    return tuple(_object(name, store, found, human, bounds) for name in ordered)


def _object(
    name: str, store: Store, found: StoreTally, human: Tally | None, bounds: Bounds
) -> ObjectFacts:
    own = tuple(_part(part, found, human, bounds) for part in store.names if _of(part, name))
    count = {state: found.status[name, state] for state in ("labelled", "blank", "unreadable")}
    readable = count["labelled"] + count["blank"]
    return ObjectFacts(
        name,
        sum(count.values()),
        count["labelled"],
        count["blank"],
        count["unreadable"],
        len(found.object_scores[name]),
        _histogram(found.object_scores[name], bounds),
        own,
        readable >= bounds.min_images and count["blank"] > bounds.blank * readable,
    )


def _histogram(scores: "array[float]", bounds: Bounds) -> tuple[int, ...]:
    counts, _ = np.histogram(np.array(scores, np.float64), bounds.bins, (0.0, 1.0))
    return tuple(counts.tolist())


def _of(part: str, owner: str) -> bool:
    return split_name(part)[0] == owner


def _part(name: str, found: StoreTally, human: Tally | None, bounds: Bounds) -> PartFacts:
    scores = found.scores[name]
    share, middle = found.share(name) or 0.0, found.median_area(name)
    facts = PartFacts(
        name,
        found.present[name],
        share,
        middle,
        float(np.median(scores)) if scores else None,
        _histogram(scores, bounds),
    )
    return facts if human is None else _beside(facts, found, human, bounds)


def _beside(facts: PartFacts, found: Tally, human: Tally, bounds: Bounds) -> PartFacts:
    owner, name = split_name(facts.name)[0], facts.name
    images = human.readable[owner]
    share, middle = human.share(name), human.median_area(name)
    enough = min(images, found.readable[owner]) >= bounds.min_images
    both = min(human.present[name], facts.images) >= bounds.min_images
    ratio = facts.median_area / middle if facts.median_area and middle else 1.0
    return PartFacts(
        *(facts.name, facts.images, facts.share, facts.median_area),
        *(facts.median_score, facts.histogram),
        images,
        share,
        middle,
        missing=enough and _short(facts.share, found.readable[owner], share, images, bounds),
        drifted=both and not 1 / bounds.area_ratio <= ratio <= bounds.area_ratio,
    )


def _short(
    share: float, images: int, human: float | None, human_images: int, bounds: Bounds
) -> bool:
    """Whether the shortfall exceeds the bound and twice its standard error."""
    if human is None:
        return False
    pooled = (share * images + human * human_images) / (images + human_images)
    error = math.sqrt(pooled * (1 - pooled) * (1 / images + 1 / human_images))
    return human - share > max(bounds.missing, 2 * error)
