"""Which classes of an older part data set can be reused (requirements R-01, R-02).

PIN++ kept 90 of PartImageNet's 158 classes: first the supercategories snake, car, aeroplane
and bottle went, then classes that lack important parts (a ram without horns), then classes
with under 100 annotated images. The 90 are shipped as data in `retained_partimagenet.txt`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from partlab.coco import find_splits, read_coco
from partlab.errors import SchemaError
from partlab.files import read_json
from partlab.schema import Dataset, Raw

DROPPED = ("snake", "car", "aeroplane", "bottle")
REQUIRED: Mapping[str, Sequence[str]] = {"n02412080": ("horn",)}  # ram, the published example
MIN_IMAGES = 100
_WNID = re.compile(r"n\d{8}")


@cache
def retained() -> frozenset[str]:
    """WordNet ids of the 90 PartImageNet classes that PIN++ kept (R-02)."""
    return frozenset((files("annotate.data") / "retained_partimagenet.txt").read_text().split())


@dataclass(frozen=True, slots=True)
class Candidate:
    """One class of the older data set."""

    name: str  # WordNet id where known
    supercategory: str
    parts: frozenset[str]  # that have a mask in at least one image
    images: int  # with at least one mask


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a class is kept, and the first reason against it."""

    candidate: Candidate
    reason: str | None

    @property
    def kept(self) -> bool:
        """No reason speaks against the class."""
        return self.reason is None


def judge(
    candidates: Iterable[Candidate],
    *,
    drop: Sequence[str] = DROPPED,
    required: Mapping[str, Sequence[str]] = REQUIRED,
    min_images: int = MIN_IMAGES,
) -> list[Verdict]:
    """Run each class through the chain: supercategory, important parts, number of images.

    `required` gives, by class or supercategory, the parts that a class must have.
    """
    dropped = {name.casefold() for name in drop}
    needs = {name.casefold(): parts for name, parts in required.items()}
    return [Verdict(c, _reason(c, dropped, needs, min_images)) for c in candidates]


def _reason(
    candidate: Candidate, dropped: set[str], needs: Mapping[str, Sequence[str]], min_images: int
) -> str | None:
    if candidate.supercategory.casefold() in dropped:
        return f"supercategory {candidate.supercategory} is left out"
    keys = candidate.name.casefold(), candidate.supercategory.casefold()
    have = {part.casefold() for part in candidate.parts}
    lacking = [part for key in dict.fromkeys(keys) for part in needs.get(key, ())]
    lacking = [part for part in lacking if part.casefold() not in have]
    if lacking:
        return f"lacks the important part {', '.join(lacking)}"
    if candidate.images < min_images:
        return f"has {candidate.images} annotated images, under {min_images}"
    return None


def candidates_of(datasets: Iterable[Dataset]) -> list[Candidate]:
    """The classes of a data set, over all its splits.

    The class is the WordNet id in the file name, else the category's, else the object name;
    the supercategory is the object the part categories belong to.
    """
    images: Counter[str] = Counter()
    parts: defaultdict[str, set[str]] = defaultdict(set)
    above: dict[str, str] = {}
    for dataset in datasets:
        wnids = {c.object: c.wnid for c in dataset.categories if c.wnid}
        for image in dataset.images:
            owner = dataset.object_of(image) or ""
            found = _WNID.search(image.file_name)
            name = found.group() if found else wnids.get(owner) or owner or image.file_name
            above.setdefault(name, owner)
            drawn = [
                dataset.category_by_id.get(a.category_id) for a in dataset.annotations_of(image)
            ]
            parts[name] |= {category.part for category in drawn if category}
            images[name] += bool(drawn)
    return [Candidate(n, above[n], frozenset(parts[n]), images[n]) for n in sorted(above)]


def judge_folder(
    path: str | Path,
    *,
    required: Path | None = None,
    drop: Sequence[str] | None = None,
    min_images: int = MIN_IMAGES,
) -> Raw:
    """The verdicts on every class of a part data set, as plain data.

    `retained` says whether PIN++ kept the class.

    Raises:
        NotFoundError: no data set, or no such `required` file.
        SchemaError: `required` is not of the form {class: [part, ...]}.
    """
    candidates = candidates_of(read_coco(file) for file in find_splits(path).values())
    needs = _read_required(required) if required else REQUIRED
    dropped = DROPPED if drop is None else drop
    verdicts = judge(candidates, drop=dropped, required=needs, min_images=min_images)
    told: Raw = {"kept": [], "excluded": []}
    for verdict in verdicts:
        c = verdict.candidate
        row: Raw = {"class": c.name, "supercategory": c.supercategory, "images": c.images}
        row |= {"parts": sorted(c.parts), "retained": c.name in retained()}
        reason = {} if verdict.kept else {"reason": verdict.reason}
        told["kept" if verdict.kept else "excluded"].append(row | reason)
    return told


def _read_required(path: Path) -> Mapping[str, Sequence[str]]:
    found = read_json(path)
    if not isinstance(found, dict) or not all(
        isinstance(parts, list) and all(isinstance(part, str) for part in parts)
        for parts in found.values()
    ):
        raise SchemaError(f"{path} is not of the form {{class: [part, ...]}}")
    return found
