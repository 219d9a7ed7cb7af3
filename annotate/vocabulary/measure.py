"""The rules that need drawn parts: overlap (V-08), cover (V-05), direction of inclusions (M-04).

Images are read one at a time; only sums stay.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from annotate.data.checks.masks import draw
from annotate.data.checks.overlaps import is_whole
from annotate.vocabulary.lint import RULES, LintReport, Problem, usual_part
from annotate.vocabulary.model import ObjectParts, Vocabulary
from partlab.config import Config
from partlab.errors import MaskError, UnknownNameError
from partlab.inclusions import walk_out
from partlab.masks import Rle, area, from_segmentation, intersection, iou, union
from partlab.progress import track
from partlab.schema import OURS, Dataset, Finding, Image


class MeasureSettings(Config):
    """When two parts overlap strongly, and when parts cover an object."""

    overlap: float = 0.5
    """Mean share of the smaller part that lies in the other, over images that show both."""
    cover: float = 0.95
    """Mean share of the object that its parts cover."""
    images: int = 3
    """How many images must show it."""


@dataclass
class _Pair:
    """Sums over the images that show both parts, `first` and `second` by name."""

    images: int = 0
    overlap: float = 0.0
    first: float = 0.0
    second: float = 0.0


@dataclass
class _Seen:
    """What the images of one object showed."""

    images: int = 0
    parts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    pairs: dict[tuple[str, str], _Pair] = field(default_factory=lambda: defaultdict(_Pair))
    covers: list[float] = field(default_factory=list)
    worst: str = ""

    def add(self, drawn: Mapping[str, Rle], image: Image, whole: Rle | None) -> None:
        """Count one image: each part's pixels, and the object's where it is known."""
        self.images += 1
        names, rles = list(drawn), list(drawn.values())
        sizes = [area(rle) for rle in rles]
        for name in names:
            self.parts[name] += 1
        ratios = iou(rles, rles)
        for i, j in zip(*np.triu_indices(len(names), 1), strict=True):
            first, second = (i, j) if names[i] < names[j] else (j, i)
            shared = ratios[i, j] * (sizes[i] + sizes[j]) / (1 + ratios[i, j])
            pair = self.pairs[names[first], names[second]]
            pair.images += 1
            pair.overlap += shared / min(sizes[i], sizes[j])
            pair.first += sizes[first]
            pair.second += sizes[second]
        if whole is not None and area(whole):
            self._cover(area(intersection([whole, union(rles)])) / area(whole), image)

    def _cover(self, share: float, image: Image) -> None:
        if not self.covers or share < min(self.covers):
            self.worst = image.file_name
        self.covers.append(share)


def lint_data(
    report: LintReport,
    vocabulary: Vocabulary,
    splits: Sequence[Dataset],
    settings: MeasureSettings | None = None,
) -> LintReport:
    """The report with what the drawn parts of a data set say about the vocabulary added."""
    settings = settings or MeasureSettings()
    seen: defaultdict[str, _Seen] = defaultdict(_Seen)
    for split in splits:
        for image in track(split.images, "measuring", total=len(split.images)):
            if (object := split.object_of(image)) is not None:
                _look(split, image, seen[object])
    problems = [*report.problems, *_foreign(vocabulary, splits)]
    for parts in vocabulary.objects:
        if parts.name in seen:
            problems += _judged(parts, seen[parts.name], settings)
    covered = any(one.covers for one in seen.values())
    unmeasured = () if covered else ("cover needs masks of whole objects; the data has none",)
    images = sum(one.images for one in seen.values())
    return replace(report, problems=tuple(problems), measured=images, unmeasured=unmeasured)


def _look(split: Dataset, image: Image, seen: _Seen) -> None:
    parts: defaultdict[str, list[Rle]] = defaultdict(list)
    whole: list[Rle] = []
    for annotation in split.annotations_of(image):
        category = split.category_by_id.get(annotation.category_id)
        rle = draw(annotation, image)
        if category is None or isinstance(rle, Finding) or not area(rle):
            continue
        if is_whole(category):
            whole.append(rle)
        else:
            parts[category.part].append(rle)
    drawn = {name: union(rles) for name, rles in parts.items()}
    if drawn:
        seen.add(drawn, image, _object_mask(image, whole))


def _object_mask(image: Image, whole: Sequence[Rle]) -> Rle | None:
    stated = image.raw.get(OURS, {}).get("object_mask")
    if stated is not None:
        try:
            return from_segmentation(stated, image.height, image.width)
        except MaskError:
            return None
    return union(whole) if whole else None


def _foreign(vocabulary: Vocabulary, splits: Sequence[Dataset]) -> Iterator[Problem]:
    rule = RULES["not_in_vocabulary"]
    for object in dict.fromkeys(name for split in splits for name in split.objects):
        try:
            parts = vocabulary.object(object)
        except UnknownNameError as error:
            yield rule.at(
                object, f"no such object; {error.hint}" if error.hint else "no such object"
            )
            continue
        drawn = [c for split in splits for c in split.categories if c.object == object]
        for name in dict.fromkeys(c.part for c in drawn if not is_whole(c)):
            if usual_part(parts, name) is None:
                yield rule.at(object, f"no part {name!r}")


def _judged(parts: ObjectParts, seen: _Seen, settings: MeasureSettings) -> Iterator[Problem]:
    ids = {name: part.id for name in seen.parts if (part := usual_part(parts, name))}
    for (first, second), pair in seen.pairs.items():
        if pair.images < settings.images or first not in ids or second not in ids:
            continue
        small, large = (first, second) if pair.first <= pair.second else (second, first)
        if ids[small] in walk_out(ids[large], parts.inclusions):
            yield RULES["swapped_inclusion"].at(
                parts.name, f"{large} is declared in {small}, but is larger on average"
            )
        elif ids[large] not in walk_out(ids[small], parts.inclusions):
            mean = pair.overlap / pair.images
            if mean > settings.overlap:
                yield RULES["overlap"].at(
                    parts.name,
                    f"{mean:.0%} of {small} lies in {large} (mean of {pair.images} images); "
                    f"keep {large}",
                )
    if seen.images >= settings.images:
        for part in parts.parts:
            if part.id not in ids.values() and not parts.whole_object:
                yield RULES["never_drawn"].at(
                    parts.name, f"{part.name} is in none of {seen.images} images"
                )
    if len(seen.covers) >= settings.images and np.mean(seen.covers) < settings.cover:
        yield RULES["cover"].at(
            parts.name,
            f"the parts cover {np.mean(seen.covers):.0%} of the object (mean of "
            f"{len(seen.covers)} images; worst {seen.worst}, {min(seen.covers):.0%})",
        )
