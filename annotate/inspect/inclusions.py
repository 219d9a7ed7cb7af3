"""Inclusions as declared and as drawn: a horn lies in the head (M-04).

Key and value are always inner part -> outer part, by name, as data sets keep them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

from pydantic import Field

from annotate.data.checks.masks import draw
from annotate.data.formats.names import file_safe, object_folders
from partlab.config import Config
from partlab.errors import SchemaError
from partlab.files import write_lines
from partlab.inclusions import Inclusions, merged, outers_of, pairs_of, related, spelled
from partlab.masks import Rle, area, inside, union
from partlab.progress import track
from partlab.schema import Dataset, Finding, Image


class InclusionSettings(Config):
    """When a mask counts as lying in another, and when that is a rule of the object."""

    nested: float = Field(0.9, gt=0, le=1)
    """Share of the inner mask that lies in the outer one."""
    share: float = Field(0.5, gt=0, le=1)
    """Share of the objects showing both parts in which they nest."""
    objects: int = Field(5, ge=1)
    """How many objects must show both."""


@dataclass(frozen=True, slots=True)
class Nesting:
    """How two parts of one object category lie to each other, over the objects that show both.

    `both` counts these objects (an image may show several), `nested` those in which the inner
    mask lies in the outer one; `inside` is the mean share of the inner mask that does. Areas
    are medians in pixels. `state` is one of:

        holds       declared, and drawn so
        doubtful    declared, but the masks seldom nest
        unseen      declared, but no object shows both, or only where it lies in another outer part
        swapped     declared, but the inner part is the larger one
        suggested   not declared, but the masks nest
    """

    object: str
    inner: str
    outer: str
    state: str
    both: int
    nested: int
    inside: float
    inner_area: float
    outer_area: float

    @property
    def share(self) -> float:
        """Share of the objects showing both in which they nest."""
        return self.nested / self.both if self.both else 0.0


_Pair = tuple[str, str, str]  # object, inner, outer


class _Case(NamedTuple):
    """One object that shows both parts; `homes` are all parts the inner one lies in there."""

    inside: float
    inner_area: int
    outer_area: int
    homes: frozenset[str]


_Seen = list[_Case]


def nestings(
    datasets: Sequence[Dataset],
    settings: InclusionSettings | None = None,
) -> list[Nesting]:
    """Every declared inclusion, and those that the masks suggest, by object category.

    Masks that cannot be drawn are left out (`partlab data check` finds them).

    Raises:
        SchemaError: together the data sets put a part into itself.
    """
    settings = settings or InclusionSettings()
    seen: defaultdict[_Pair, _Seen] = defaultdict(list)
    for dataset in datasets:
        for image in track(dataset.images, "looking at masks", len(dataset.images)):
            _look(dataset, image, seen, settings)
    declared = merged(dataset.inclusions for dataset in datasets)
    found = [_judge(pair, _here(pair, seen, declared), settings, True) for pair in _pairs(declared)]
    for pair, cases in seen.items():
        if not related(pair[1], pair[2], declared.get(pair[0], {})):
            one = _judge(pair, cases, settings, False)
            if one.both >= settings.objects and one.share >= settings.share:
                found.append(one)
    return sorted(found, key=lambda one: (one.object, one.state == "suggested", one.inner))


def _pairs(declared: Inclusions) -> list[_Pair]:
    return [(owner, *pair) for owner, around in declared.items() for pair in pairs_of(around)]


def _here(pair: _Pair, seen: Mapping[_Pair, _Seen], declared: Inclusions) -> _Seen:
    """The cases that speak of a declared pair: not those where the part lies in another outer."""
    owner, inner, outer = pair
    others = {*outers_of(inner, declared[owner])} - {outer}
    return [case for case in seen.get(pair, ()) if outer in case.homes or not others & case.homes]


def _look(
    dataset: Dataset, image: Image, seen: dict[_Pair, _Seen], settings: InclusionSettings
) -> None:
    drawn: defaultdict[tuple[str, int | None], dict[str, list[Rle]]] = defaultdict(dict)
    for annotation in dataset.annotations_of(image):
        category, rle = dataset.category_by_id.get(annotation.category_id), draw(annotation, image)
        if category is not None and not isinstance(rle, Finding):
            own = drawn[category.object, annotation.object_id]
            own.setdefault(category.part, []).append(rle)
    for (owner, _), parts in drawn.items():
        names = list(parts)
        masks = [union(rles) for rles in parts.values()]
        areas, shares = [area(mask) for mask in masks], inside(masks, masks)
        for i, inner in enumerate(names):
            nest = [
                shares[i, o] >= settings.nested and areas[i] < areas[o] for o in range(len(names))
            ]
            homes = frozenset(outer for outer, so in zip(names, nest, strict=True) if so)
            for o, outer in enumerate(names):
                if i != o:
                    case = _Case(float(shares[i, o]), areas[i], areas[o], homes)
                    seen[owner, inner, outer].append(case)


def _judge(pair: _Pair, cases: _Seen, settings: InclusionSettings, declared: bool) -> Nesting:
    nested = sum(pair[2] in case.homes for case in cases)
    within = mean(case.inside for case in cases) if cases else 0.0
    small = median(case.inner_area for case in cases) if cases else 0.0
    large = median(case.outer_area for case in cases) if cases else 0.0
    state = "suggested"
    if declared:
        holds = nested >= settings.share * len(cases)
        state = "unseen" if not cases else "holds" if holds else "doubtful"
        state = "swapped" if small > large else state
    return Nesting(*pair, state, len(cases), nested, within, small, large)


def with_suggested(declared: Inclusions, found: Sequence[Nesting]) -> Inclusions:
    """The declared inclusions and the suggested ones that do not follow from others."""
    together = {owner: spelled(pairs_of(around)) for owner, around in declared.items()}
    suggested = [one for one in found if one.state == "suggested"]
    for one in sorted(suggested, key=lambda one: (-one.inner_area, one.outer_area)):
        around = together.get(one.object, {})
        if not related(one.inner, one.outer, around):
            pairs = [*pairs_of(around), (one.inner, one.outer)]
            together[one.object] = spelled(pairs)
    return together


def write_including(datasets: Sequence[Dataset], inclusions: Inclusions, folder: Path) -> int:
    """Write FOLDER/<wnid or object>.txt with one `inner:outer` a line; how many files.

    Object categories without inclusions have none.

    Raises:
        SchemaError: two object categories would share a file.
    """
    folders = {owner: name for d in datasets for owner, name in object_folders(d).items()}
    files: dict[str, list[str]] = {}
    for owner, pairs in inclusions.items():
        lines = [f"{inner}:{outer}" for inner, outer in pairs_of(pairs)]
        name = f"{file_safe(folders.get(owner, owner))}.txt"
        if lines and files.setdefault(name, lines) is not lines:
            raise SchemaError(f"several object categories would be written as {name!r}")
    for name, lines in files.items():
        write_lines(folder / name, lines)
    return len(files)
