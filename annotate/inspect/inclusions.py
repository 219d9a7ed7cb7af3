"""Inclusions as declared and as drawn: a horn lies in the head (M-04).

Key and value are always inner part -> outer part, by name, as data sets keep them.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from pydantic import Field

from annotate.data.checks.masks import draw
from annotate.data.formats.names import file_safe, object_folders
from partlab.config import Config
from partlab.errors import SchemaError
from partlab.files import write_lines
from partlab.masks import Rle, area, inside, union
from partlab.parts import Inclusions, merged, related
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
        unseen      declared, but no object shows both
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
_Seen = list[tuple[float, int, int]]  # share inside, area of the inner, of the outer


def nestings(
    datasets: Sequence[Dataset],
    settings: InclusionSettings | None = None,
) -> list[Nesting]:
    """Every declared inclusion, and those that the masks suggest, by object category.

    Masks that cannot be drawn are left out (`partlab data check` finds them).

    Raises:
        SchemaError: two data sets put one part into different parts.
    """
    settings = settings or InclusionSettings()
    seen: defaultdict[_Pair, _Seen] = defaultdict(list)
    for dataset in datasets:
        for image in track(dataset.images, "looking at masks", len(dataset.images)):
            _look(dataset, image, seen)
    declared = merged(dataset.inclusions for dataset in datasets)
    found = [_judge(pair, seen.get(pair, []), settings, True) for pair in _pairs(declared)]
    for pair, cases in seen.items():
        if not related(pair[1], pair[2], declared.get(pair[0], {})):
            one = _judge(pair, cases, settings, False)
            if one.both >= settings.objects and one.share >= settings.share:
                found.append(one)
    return sorted(found, key=lambda one: (one.object, one.state == "suggested", one.inner))


def _pairs(declared: Inclusions) -> list[_Pair]:
    return [(o, inner, outer) for o, pairs in declared.items() for inner, outer in pairs.items()]


def _look(dataset: Dataset, image: Image, seen: dict[_Pair, _Seen]) -> None:
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
            for o, outer in enumerate(names):
                if i != o:
                    case = (float(shares[i, o]), areas[i], areas[o])
                    seen[owner, inner, outer].append(case)


def _judge(pair: _Pair, cases: _Seen, settings: InclusionSettings, declared: bool) -> Nesting:
    nested = sum(share >= settings.nested and small < large for share, small, large in cases)
    within = mean(share for share, _, _ in cases) if cases else 0.0
    small, large = (median(c[i] for c in cases) if cases else 0.0 for i in (1, 2))
    state = "suggested"
    if declared:
        holds = nested >= settings.share * len(cases)
        state = "unseen" if not cases else "holds" if holds else "doubtful"
        state = "swapped" if small > large else state
    return Nesting(*pair, state, len(cases), nested, within, small, large)


def with_suggested(declared: Inclusions, found: Sequence[Nesting]) -> Inclusions:
    """The declared inclusions and the suggested ones; of two outer parts the smaller."""
    together = {owner: dict(pairs) for owner, pairs in declared.items()}
    suggested = [one for one in found if one.state == "suggested"]
    for one in sorted(suggested, key=lambda one: one.outer_area):
        pairs = together.setdefault(one.object, {})
        if not related(one.inner, one.outer, pairs):
            pairs.setdefault(one.inner, one.outer)
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
        lines = [f"{inner}:{outer}" for inner, outer in pairs.items()]
        name = f"{file_safe(folders.get(owner, owner))}.txt"
        if lines and files.setdefault(name, lines) is not lines:
            raise SchemaError(f"several object categories would be written as {name!r}")
    for name, lines in files.items():
        write_lines(folder / name, lines)
    return len(files)
