"""Which human annotations are most likely wrong, by what a segmenter found (moonshot 6 of D5).

For each image the masks people drew are compared with the masks a network found:

- *placed*: a drawn mask that overlaps the network's less than masks of this part usually do,
  or that is larger or smaller than usual beside it;
- *swapped*: it lies where the network found another part of the object;
- *missing*: the network is sure of a part, and nobody drew it there;
- *unusual*: its share of the object's area is far from this part's normal;
- *broken*: it cannot be read at all.

Each comparison gives a quality between 0 and 1, and an image is as good as the soft minimum of
its parts, as in Cleanlab's scores for segmentation (2307.05080) and object detection
(2309.00832). "Usually" is measured on the same data, part by part, by medians, so a part the
network is bad at is not held against the people who drew it well.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from statistics import median
from typing import Any

import numpy as np

from annotate.inspect.evidence import Drawn, Evidence, Found, Predictions, gather
from partlab.config import Config
from partlab.progress import track
from partlab.schema import Dataset


class AuditSettings(Config):
    """How the evidence is weighed; found on a drawn world, and not sensitive.

    Half of each number, or half as much again, moves the AUROC on another world by 0.014 at most.
    """

    placed: float = 0.7  # the most a mask that fits badly counts; a missing one may count 1
    not_found: float = 0.4  # the same where the network found nothing: it may have missed it
    temperature: float = 0.4  # of the soft minimum: lower listens to the worst part alone
    unusual: float = 0.02  # for each robust standard deviation from the part's normal size
    normal: int = 8  # masks of a part that its own median takes; else that of all parts


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an image is suspected; `weight` says how much of it comes from this (0 to 1)."""

    kind: str
    part: str  # object:part
    message: str
    weight: float
    annotation_id: int | None = None


@dataclass(frozen=True, slots=True)
class Suspect:
    """One image's result; `suspicion` only ranks: it is no probability."""

    image_id: int
    file_name: str
    object: str | None
    suspicion: float
    reasons: tuple[Reason, ...]  # weightiest first


@dataclass(frozen=True)
class Audit:
    """All images of a data set, most suspicious first."""

    suspects: Sequence[Suspect]
    unseen: Sequence[str] = ()  # file names without predictions: judged by size alone
    unknown_parts: Sequence[str] = ()  # parts the segmenter does not know: not judged

    @property
    def suspicion(self) -> dict[int, float]:
        """Image id -> suspicion, as `Plan.next_images` takes it."""
        return {suspect.image_id: suspect.suspicion for suspect in self.suspects}

    def as_json(self) -> dict[str, Any]:
        """For programs: plain lists and numbers."""
        return {
            "images": [
                {
                    "image_id": one.image_id,
                    "file_name": one.file_name,
                    "object": one.object,
                    "suspicion": round(one.suspicion, 4),
                    "reasons": [
                        {
                            "kind": why.kind,
                            "part": why.part,
                            "message": why.message,
                            "weight": round(why.weight, 4),
                            "annotation_id": why.annotation_id,
                        }
                        for why in one.reasons
                    ],
                }
                for one in self.suspects
            ],
            "without_predictions": list(self.unseen),
            "unknown_parts": list(self.unknown_parts),
        }


def audit(
    dataset: Dataset,
    predictions: Dataset | None = None,
    settings: AuditSettings | None = None,
) -> Audit:
    """Rank the images by how likely their annotations are wrong.

    `predictions` are exported pseudo labels of the same images (matched by file name), best
    with every instance apart and a low threshold. Without them only sizes are judged.

    Raises:
        DatasetError: none of the images is among the predictions.
    """
    settings = settings or AuditSettings()
    seen = Predictions.of(dataset, predictions)
    evidence = [
        gather(dataset, image, seen)
        for image in track(dataset.images, "auditing", len(dataset.images))
    ]
    normal = _Normal.of(evidence, settings)
    suspects = [_judge(one, normal, settings) for one in evidence]
    suspects.sort(key=lambda one: (-one.suspicion, one.file_name))
    unseen = [i.file_name for i in dataset.images if i.file_name not in seen.images]
    return Audit(suspects, unseen, sorted(seen.unknown))


# --- what is normal -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Normal:
    """For each part: usual overlap and growth beside the network, usual share of the object."""

    overlap: Callable[[str], float]
    growth: Callable[[str], float]
    share: Mapping[str, tuple[float, float]]  # median and robust standard deviation

    @classmethod
    def of(cls, evidence: Sequence[Evidence], settings: AuditSettings) -> "_Normal":
        judged = [d for one in evidence for d in one.drawn if d.judged]
        overlaps = _grouped((d.name, d.overlap) for d in judged)
        growths = _grouped((d.name, d.growth) for d in judged if d.overlap > 0.3)
        shares = _grouped((d.name, d.share) for one in evidence for d in one.drawn)
        enough = {name: values for name, values in shares.items() if len(values) >= settings.normal}
        return cls(
            _usual(overlaps, settings.normal, 1.0), _usual(growths, settings.normal, 0.0),
            {name: _spread(values) for name, values in enough.items()},
        )  # fmt: skip


def _grouped(pairs: Iterable[tuple[str, float | None]]) -> dict[str, list[float]]:
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for name, value in pairs:
        if value is not None:
            groups[name].append(value)
    return groups


def _usual(
    groups: Mapping[str, list[float]], enough: int, default: float
) -> Callable[[str], float]:
    together = [value for values in groups.values() for value in values]
    overall = median(together) if together else default
    own = {name: median(values) for name, values in groups.items() if len(values) >= enough}
    return lambda name: own.get(name, overall)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    middle = median(values)
    return middle, max(1.4826 * median(abs(value - middle) for value in values), 0.05)


# --- what follows -------------------------------------------------------------------------


def _judge(one: Evidence, normal: _Normal, settings: AuditSettings) -> Suspect:
    reasons = [Reason("broken", b.name, b.message, 1.0, b.annotation_id) for b in one.broken]
    reasons += [_placed(drawn, normal, settings) for drawn in one.drawn if drawn.judged]
    reasons += [_missing(found) for found in one.found]
    suspicion = 1 - _soft_minimum([1 - why.weight for why in reasons], settings.temperature)
    odd = [_unusual(drawn, normal, settings) for drawn in one.drawn if drawn.share is not None]
    suspicion += max((why.weight for why in odd), default=0.0)
    told = sorted((why for why in reasons + odd if why.weight > 0.1), key=lambda w: -w.weight)
    return Suspect(one.image.id, one.image.file_name, one.object, suspicion, tuple(told))


def _soft_minimum(qualities: Sequence[float], temperature: float) -> float:
    if not qualities:
        return 1.0
    values = np.array(qualities)
    return float(np.average(values, weights=np.exp(-values / temperature)))


def _placed(drawn: Drawn, normal: _Normal, settings: AuditSettings) -> Reason:
    """How badly a drawn mask fits the network's, beside what is usual for the part."""
    fit = min(drawn.overlap / max(normal.overlap(drawn.name), 0.2), 1.2)
    growth = 0.0 if drawn.growth is None else drawn.growth - normal.growth(drawn.name)
    if drawn.overlap <= 0.15:
        growth = 0.0  # two masks apart say nothing about each other's size
    weight = max(settings.placed * (1 - fit * exp(-abs(growth))), 0.0)
    if drawn.overlap == 0:
        weight = min(weight, settings.not_found)
    kind, message = "placed", f"overlaps what was found by {drawn.overlap:.2f} IoU"
    if drawn.twin and drawn.twin[1] > max(0.4, drawn.overlap + 0.25):
        kind, message = "swapped", f"lies where {drawn.twin[0]} was found"
    elif drawn.overlap == 0:
        message = "nothing was found where it is drawn"
    elif abs(growth) > 0.4:
        message = f"is drawn {exp(abs(growth)):.1f} times as {'large' if growth > 0 else 'small'}"
        message += " as usual beside what was found"
    return Reason(kind, drawn.name, message, weight, drawn.annotation_id)


def _missing(found: Found) -> Reason:
    """How sure the network is of pixels that nobody gave to this part."""
    message = f"found with score {found.score:.2f}, {found.uncovered:.0%} of it not drawn"
    return Reason("missing", found.name, message, found.score * found.uncovered)


def _unusual(drawn: Drawn, normal: _Normal, settings: AuditSettings) -> Reason:
    middle, spread = normal.share.get(drawn.name, (drawn.share or 0.0, 1.0))
    away = min(abs((drawn.share or 0.0) - middle) / spread, 8.0)
    message = f"its share of the object is {away:.0f} standard deviations from this part's normal"
    return Reason("unusual", drawn.name, message, settings.unusual * away, drawn.annotation_id)


def auroc(scores: Sequence[float], wrong: Sequence[bool]) -> float:
    """Chance that a wrong one has a higher score than a right one; ties count half.

    NaN where there are no wrong or no right ones.
    """
    values, labels = np.asarray(scores, float), np.asarray(wrong, bool)
    high, low = values[labels], np.sort(values[~labels])
    if not len(high) or not len(low):
        return float("nan")
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.sum() / (2 * len(high) * len(low)))
