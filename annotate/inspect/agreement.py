"""How far two people, or two rounds, agree in what they drew.

Masks of two data sets are compared image by image (same file name) and part by part (same
`object:part`); several instances of a part are paired by their overlap, best first. A mask
that the other one does not have counts as overlap 0. Chance is taken out where it matters:
for pixels, and for whether a part is there at all, by Cohen's kappa. That of two inspectors'
verdicts on the same images is `cohen_kappa`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from annotate.facts import Facts
from annotate.inspect.evidence import best_pairs
from partlab.errors import DatasetError, MaskError
from partlab.masks import Rle, area, from_segmentation, intersection, iou, union
from partlab.parts import split_name
from partlab.progress import track
from partlab.schema import Dataset, Image


@dataclass(frozen=True, slots=True)
class Agreed:
    """Agreement over some masks.

    `overlap` is the mean IoU of all masks, unpaired ones counting 0; `paired_overlap` that of
    the pairs alone. `pixel_kappa` is Cohen's kappa of "this pixel belongs to the part",
    `presence_kappa` of "the image shows the part"; None where chance leaves nothing to agree
    about (all say the same everywhere) or the question makes no sense.
    """

    name: str
    images: int  # with the part in either data set
    pairs: int
    only_a: int
    only_b: int
    overlap: float
    paired_overlap: float | None
    pixel_kappa: float | None = None
    presence_kappa: float | None = None


@dataclass(frozen=True)
class Agreement(Facts):
    """Two data sets compared: all together, by object, by part, and the images that differ most."""

    overall: Agreed
    per_object: Sequence[Agreed]
    per_part: Sequence[Agreed]
    per_image: Mapping[str, float]  # file name -> mean overlap, lowest first
    images: int  # in both
    only_a: Sequence[str]  # file names that the other one does not have
    only_b: Sequence[str]
    broken: Sequence[str] = ()  # masks left out, and why


@dataclass(slots=True)
class _Tally:
    """Counts of one part; pixel counts are a, b, both, and all."""

    overlaps: list[float] = field(default_factory=list)
    only_a: int = 0
    only_b: int = 0
    pixels: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    present: dict[str, tuple[bool, bool]] = field(default_factory=dict)

    def agreed(self, name: str) -> Agreed:
        """The figures of these counts."""
        pairs, masks = len(self.overlaps), len(self.overlaps) + self.only_a + self.only_b
        total = sum(self.overlaps)
        a, b, both, everything = self.pixels
        return Agreed(
            name,
            sum(any(said) for said in self.present.values()),
            pairs,
            self.only_a,
            self.only_b,
            total / masks if masks else 1.0,
            total / pairs if pairs else None,
            kappa_of_counts(both, a - both, b - both, everything - a - b + both),
            cohen_kappa(self.present.values()),
        )


def compare(a: Dataset, b: Dataset) -> Agreement:
    """Compare the masks of the images that are in both data sets.

    Raises:
        DatasetError: they have no image in common, or an image differs in size.
    """
    others = {image.file_name: image for image in b.images}
    common = [(image, others[image.file_name]) for image in a.images if image.file_name in others]
    if not common:
        raise DatasetError(
            f"{a.path or 'the first'} and {b.path or 'the second'} have no image in common",
            hint="images are the same when their file names are",
        )
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    per_image: dict[str, float] = {}
    broken: list[str] = []
    for one, other in track(common, "comparing", len(common)):
        if (one.width, one.height) != (other.width, other.height):
            raise DatasetError(f"{one.file_name} has another size in {b.path or 'the second'}")
        masks = _masks(a, one, broken), _masks(b, other, broken)
        per_image[one.file_name] = _compare(one, *masks, _asked(a, b, one, masks), tallies)
    both = {image.file_name for image, _ in common}
    return Agreement(
        _together("all", tallies.values()),
        [_together(owner, group) for owner, group in _by_object(tallies).items()],
        [tally.agreed(name) for name, tally in sorted(tallies.items()) if _seen(tally)],
        dict(sorted(per_image.items(), key=lambda item: item[1])),
        len(common),
        [image.file_name for image in a.images if image.file_name not in both],
        [image.file_name for image in b.images if image.file_name not in both],
        broken,
    )


def _masks(dataset: Dataset, image: Image, broken: list[str]) -> dict[str, list[Rle]]:
    found: defaultdict[str, list[Rle]] = defaultdict(list)
    for annotation in dataset.annotations_of(image):
        category = dataset.category_by_id.get(annotation.category_id)
        name = category.name if category else f"category {annotation.category_id}"
        try:
            segmentation = annotation.segmentation
            found[name].append(from_segmentation(segmentation, image.height, image.width))
        except MaskError as error:
            where = f"{dataset.path or 'data set'}, annotation {annotation.id}"
            broken.append(f"{where}: {error.message}")
    return found


def _asked(
    a: Dataset, b: Dataset, image: Image, masks: tuple[dict[str, list[Rle]], ...]
) -> set[str]:
    """The parts this image could have: those of its object category, and those drawn."""
    owner = a.object_of(image) or b.object_of(image)
    possible = {c.name for c in (*a.categories, *b.categories) if c.object == owner}
    return possible.union(*masks)


def _compare(
    image: Image,
    a: dict[str, list[Rle]],
    b: dict[str, list[Rle]],
    names: set[str],
    tallies: dict[str, _Tally],
) -> float:
    overlaps: list[float] = []
    unpaired = 0
    for name in sorted(names):
        mine, yours, tally = a.get(name, []), b.get(name, []), tallies[name]
        tally.present[image.file_name] = bool(mine), bool(yours)
        grid = iou(mine, yours)
        pairs = [float(grid[row, column]) for row, column in best_pairs(grid)]
        tally.overlaps += pairs
        tally.only_a += len(mine) - len(pairs)
        tally.only_b += len(yours) - len(pairs)
        counts = (*_pixels(mine, yours), image.width * image.height)
        tally.pixels = [old + new for old, new in zip(tally.pixels, counts, strict=True)]
        overlaps += pairs
        unpaired += len(mine) + len(yours) - 2 * len(pairs)
    masks = len(overlaps) + unpaired
    return sum(overlaps) / masks if masks else 1.0


def _pixels(a: Sequence[Rle], b: Sequence[Rle]) -> tuple[int, int, int]:
    """Pixels of each, and of both."""
    mine, yours = (union(rles) if rles else None for rles in (a, b))
    both = area(intersection([mine, yours])) if mine and yours else 0
    return area(mine) if mine else 0, area(yours) if yours else 0, both


def _seen(tally: _Tally) -> bool:
    return any(any(said) for said in tally.present.values())


def _by_object(tallies: Mapping[str, _Tally]) -> dict[str, list[_Tally]]:
    groups: defaultdict[str, list[_Tally]] = defaultdict(list)
    for name, tally in sorted(tallies.items()):
        groups[split_name(name)[0]].append(tally)
    return groups


def _together(name: str, tallies: Iterable[_Tally]) -> Agreed:
    """Several parts as one; each (image, part) is a question of presence of its own."""
    whole = _Tally()
    for number, tally in enumerate(tallies):
        whole.overlaps += tally.overlaps
        whole.only_a += tally.only_a
        whole.only_b += tally.only_b
        whole.pixels = [old + new for old, new in zip(whole.pixels, tally.pixels, strict=True)]
        whole.present |= {f"{number} {image}": said for image, said in tally.present.items()}
    images = {key.split(" ", 1)[1] for key, said in whole.present.items() if any(said)}
    agreed = whole.agreed(name)
    return Agreed(**{**asdict(agreed), "images": len(images)})


def cohen_kappa(said: Iterable[tuple[bool, bool]]) -> float | None:
    """Cohen's kappa of yes-or-no answers to the same questions; two inspectors' verdicts, too.

    1: always the same answer; 0: as often as by chance; None: both say the same all the time,
    or nothing was asked.
    """
    answers = list(said)
    yes_yes = sum(a and b for a, b in answers)
    yes_no = sum(a and not b for a, b in answers)
    no_yes = sum(b and not a for a, b in answers)
    return kappa_of_counts(yes_yes, yes_no, no_yes, len(answers) - yes_yes - yes_no - no_yes)


def kappa_of_counts(yes_yes: int, yes_no: int, no_yes: int, no_no: int) -> float | None:
    """Cohen's kappa of a two-by-two table."""
    total = yes_yes + yes_no + no_yes + no_no
    if not total:
        return None
    chance = (yes_yes + yes_no) * (yes_yes + no_yes) + (no_no + yes_no) * (no_no + no_yes)
    expected = chance / total**2
    return None if chance == total**2 else ((yes_yes + no_no) / total - expected) / (1 - expected)
