"""How right label maps and boxes of parts are: pixel accuracy, mIoU, box AP (H-03)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partlab.parts import split_name
from partlab.schema import Annotation, Category, Dataset, Image
from segmenter.ap import ApMeter, Result
from segmenter.boxes import PartBox, boxes_of_map
from train.part_scores.found import Found


@dataclass(frozen=True, slots=True)
class PartScores:
    """In 0…1; None where the pictures have nothing to compare with.

    `pixel` is over all pixels, background too, as published; `foreground` over those that show a
    part. `miou` is the mean over all labels that the truth shows, background among them.
    """

    accuracy: float | None
    pixel: float | None
    foreground: float | None
    miou: float | None
    ap50: float | None
    ap: float | None


class ScoreMeter:
    """Counts pictures of S x S pixels one by one, whose truth is a label map.

    True boxes are those of the map's connected pieces, each 1 percent of the picture or more, as
    detectors learn them. Pixels whose label is `ignored` do not count.
    """

    def __init__(self, names: Sequence[str], ignored: int) -> None:
        self.names, self.ignored = list(names), ignored
        self._pixels = np.zeros((len(names) + 1, len(names) + 1), np.int64)  # truth, found
        self._boxes: list[tuple[list[PartBox], list[PartBox]]] = []
        self._right: list[bool] = []
        self._side = 1

    def update(self, truth: NDArray[np.integer], found: Found, right: bool) -> None:
        """One picture: its label map, what was found, and whether its class was right."""
        self._right.append(right)
        self._side = truth.shape[0]
        known = truth != self.ignored
        if not known.any():
            return
        labels = len(self._pixels)
        pairs = truth[known].astype(np.int64) * labels + found.labels[known]
        self._pixels += np.bincount(pairs, minlength=labels**2).reshape(labels, labels)
        self._boxes.append((boxes_of_map(truth, ignored=self.ignored), found.boxes))

    def result(self) -> PartScores:
        """Of the pictures so far."""
        counts = self._pixels
        own, all_of, said = counts.diagonal(), counts.sum(1), counts.sum(0)
        shown = all_of > 0
        ious = own[shown] / (all_of + said - own)[shown]
        ap50, ap = self._ap()
        return PartScores(
            _share(sum(self._right), len(self._right)),
            _share(own.sum(), all_of.sum()),
            _share(own[1:].sum(), all_of[1:].sum()),
            float(ious.mean()) if shown.any() else None,
            ap50,
            ap,
        )

    def _ap(self) -> tuple[float | None, float | None]:
        """Box AP at 0.5, and its mean over 0.5 to 0.95."""
        side, annotations, results = self._side, [], []  # type: ignore[var-annotated]
        for image, (true, found) in enumerate(self._boxes, start=1):
            for box in true:
                number = len(annotations) + 1
                annotations.append(Annotation.new(number, image, box.label, _outline(box, side)))
            results.append([_result(box, image, side) for box in found])
        truth = Dataset(
            images=[Image.new(n, f"{n}", (side, side)) for n in range(1, len(self._boxes) + 1)],
            annotations=annotations,
            categories=[Category.new(n, *_pair(name)) for n, name in enumerate(self.names, 1)],
        )
        meter = ApMeter(truth, of="bbox")
        for record, own in zip(truth.images, results, strict=True):
            meter.update(record, own)
        found_ap = meter.result()
        return found_ap.ap50, found_ap.ap


def _pair(name: str) -> tuple[str, str]:
    return split_name(name) if ":" in name else (name, name)


def _corner(box: PartBox, side: int) -> list[float]:
    """x, y, width, height in pixels."""
    (x, y), (wide, high) = box.centre, box.size
    return [(x - wide / 2) * side, (y - high / 2) * side, wide * side, high * side]


def _outline(box: PartBox, side: int) -> list[list[float]]:
    x, y, wide, high = _corner(box, side)
    return [[x, y, x + wide, y, x + wide, y + high, x, y + high]]


def _result(box: PartBox, image: int, side: int) -> Result:
    corner = _corner(box, side)
    return {"image_id": image, "category_id": box.label, "bbox": corner, "score": box.score}


def _share(some: float, of: float) -> float | None:
    return float(some / of) if of else None
