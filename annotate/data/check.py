"""Check a part data set: every defect with file, image, annotation, severity and hint.

Splits are read one after another; masks and pictures are looked at one image at a time.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotate.data.checks.inclusions import Areas, inclusion_findings
from annotate.data.checks.kinds import ERROR, KINDS, WARNING
from annotate.data.checks.masks import draw, mask_findings
from annotate.data.checks.overlaps import coverage_findings, overlap_findings
from annotate.data.checks.pictures import PictureCheck
from annotate.data.checks.records import record_findings
from annotate.data.checks.settings import CheckSettings
from annotate.data.checks.sizes import Sizes
from annotate.data.checks.splits import SplitCheck
from annotate.data.stale import stale_findings
from partlab.coco import find_splits, read_coco
from partlab.errors import NotFoundError
from partlab.masks import Rle, area
from partlab.progress import track
from partlab.schema import Annotation, Dataset, Finding, Image

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What was found, in what was read."""

    findings: list[Finding]
    images: int
    annotations: int

    @property
    def errors(self) -> int:
        """Findings that make training or evaluation wrong."""
        return sum(finding.severity == ERROR for finding in self.findings)

    @property
    def by_kind(self) -> dict[str, list[Finding]]:
        """Findings by kind: errors first, then the most frequent."""
        grouped: dict[str, list[Finding]] = {}
        for finding in self.findings:
            grouped.setdefault(finding.kind, []).append(finding)
        order = sorted(grouped, key=lambda k: (_worst(grouped[k]) != ERROR, -len(grouped[k]), k))
        return {kind: grouped[kind] for kind in order}

    def as_json(self, limit: int | None = None) -> dict[str, Any]:
        """Counts, and the first `limit` findings of each kind (None: all)."""
        return {
            "images": self.images,
            "annotations": self.annotations,
            "errors": self.errors,
            "warnings": len(self.findings) - self.errors,
            "kinds": {
                kind: {
                    "severity": _worst(found),
                    "meaning": KINDS[kind].meaning,
                    "hint": "; or ".join(dict.fromkeys(one.hint for one in found)),
                    "count": len(found),
                    "fixable": sum(finding.fixable for finding in found),
                    "findings": [_as_json(finding) for finding in varied(found, limit)],
                }
                for kind, found in self.by_kind.items()
            },
        }


def _worst(findings: list[Finding]) -> str:
    """A kind that is a warning may have findings that are errors: a mask all outside."""
    return ERROR if any(finding.severity == ERROR for finding in findings) else WARNING


def _as_json(finding: Finding) -> dict[str, Any]:
    names = ("file", "image_id", "annotation_id", "category_id", "message", "fixable")
    others = ("other_annotation_id", "other_category_id")
    told = {name: getattr(finding, name) for name in names}
    return told | {name: getattr(finding, name) for name in others if getattr(finding, name)}


def varied(findings: list[Finding], limit: int | None) -> list[Finding]:
    """The first `limit` findings, as many different categories as possible first."""
    seen: Counter[int | None] = Counter()
    ranked = []
    for position, finding in enumerate(findings):
        ranked.append((seen[finding.category_id], position, finding))
        seen[finding.category_id] += 1
    return [finding for *_, finding in sorted(ranked, key=lambda row: row[:2])[:limit]]


def check_folder(
    path: str | Path,
    split: str | None = None,
    *,
    pictures: bool = True,
    settings: CheckSettings | None = None,
) -> Report:
    """Check one split, or all of them and what they share.

    Raises:
        NotFoundError: no data set there, or no such split.
        SchemaError: a file is no COCO file at all.
    """
    splits = find_splits(path)
    if split is not None and split not in splits:
        raise NotFoundError(
            f"no split {split!r} in {path}", hint=f"its splits: {', '.join(splits)}"
        )
    across = SplitCheck()
    findings: list[Finding] = []
    images = annotations = 0
    for name, file in splits.items():
        if split in (None, name):
            dataset = read_coco(file, as_is=True)
            look = PictureCheck(dataset) if pictures else None
            found = [*stale_findings(dataset), *check_dataset(dataset, look, settings)]
            found += across(name, dataset, look.by_hash if look else {})
            findings += [replace(finding, file=str(file)) for finding in found]
            if note := dataset.pictures.note():
                log.info("%s: %s", file, note)
            images, annotations = (
                images + len(dataset.images),
                annotations + len(dataset.annotations),
            )
    return Report(findings, images, annotations)


def check_dataset(
    dataset: Dataset,
    pictures: PictureCheck | None = None,
    settings: CheckSettings | None = None,
) -> Iterator[Finding]:
    """Every finding of one data set; picture files are read only with `pictures`."""
    settings = settings or CheckSettings()
    for finding in record_findings(dataset, human_only=settings.human_only):
        yield _as_pictures_tell(finding, dataset, pictures)
    areas = Areas(dataset)
    seen: set[int] = set()
    for image in track(dataset.images, "checking", total=len(dataset.images)):
        if image.id not in seen:
            sizes = pictures.sizes if pictures else None
            yield from _one_image(dataset, image, areas, settings, sizes)
        seen.add(image.id)
        if pictures:
            yield from pictures(image)
    yield from inclusion_findings(dataset, areas.of, settings)


def _as_pictures_tell(finding: Finding, dataset: Dataset, pictures: PictureCheck | None) -> Finding:
    """A size that is not stated can be repaired only where the picture and all masks agree."""
    if finding.kind != "bad_size" or pictures is None or finding.image_id is None:
        return finding
    if pictures.sizes.readable(dataset.image_by_id[finding.image_id]):
        return finding
    what = f"{finding.message}; the picture cannot be read, or masks do not fit it"
    return replace(finding, message=what, fixable=False, hint="state its real size")


def _one_image(
    dataset: Dataset, image: Image, areas: Areas, settings: CheckSettings, sizes: Sizes | None
) -> Iterator[Finding]:
    if min(image.width, image.height) < 1:
        return  # told once, of the image itself
    drawn: list[tuple[Annotation, Rle]] = []
    crowd: list[tuple[Annotation, Rle]] = []
    for annotation in dataset.annotations_of(image):
        rle = draw(annotation, image)
        if isinstance(rle, Finding):
            yield rle
            continue
        if annotation.iscrowd:  # covers what it likes, and is no size to compare with
            crowd.append((annotation, rle))
        else:
            drawn.append((annotation, rle))
            areas.add(annotation.category_id, area(rle))
        yield from mask_findings(annotation, image, rle, settings, sizes)
    yield from overlap_findings(dataset, image, drawn, settings)
    yield from coverage_findings(dataset, image, [*drawn, *crowd], settings)
