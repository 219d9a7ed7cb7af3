"""What a segmenter finds in a picture, with and without the category filter, and what it changed.

Plain functions: no browser, no Gradio. The network looks once at a low threshold; any other
threshold is then a matter of choosing (`Looks`).
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from partlab.errors import ConfigError
from partlab.masks import iou
from partlab.parts import split_name
from segmenter.objects import allowed_labels
from segmenter.predictor import (
    FoundPart,
    Prediction,
    PredictionSettings,
    Predictor,
    Thresholds,
)
from segmenter.protocol import Detections, Pixels, Segmenter

LOWEST = 0.05  # the network is asked for nothing less likely
_SAME_PLACE = 0.5  # IoU from which two masks are taken for the same place
_KEPT = 16  # pictures whose detections are remembered
_OTHERS = 3  # runner-up parts that are told


@dataclass(frozen=True, slots=True)
class Ask:
    """`object` None: no filter. `own` are thresholds of single parts, by `object:part`.

    `tuned`, the thresholds that a tuning left with the model, stand in for `threshold`.
    """

    model: str
    object: str | None = None
    threshold: float = 0.5
    own: Mapping[str, float] = field(default_factory=dict)
    compare: bool = True
    apart: bool = False
    tuned: Thresholds | None = None

    def thresholds(self) -> Thresholds:
        """Of all parts."""
        usual = self.tuned or Thresholds(default=self.threshold)
        return Thresholds(default=usual.default, parts={**usual.parts, **self.own})


@dataclass(frozen=True, slots=True)
class Change:
    """A mask that only one of the two ways has, and why, in words."""

    mask: FoundPart
    why: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`filtered` is the answer; `plain` is without the filter, where it was asked for.

    `twins` says for each mask of `plain` which one of `filtered` is the same (its position).
    """

    ask: Ask
    filtered: Prediction
    plain: Prediction | None = None
    twins: tuple[int | None, ...] = ()
    removed: tuple[Change, ...] = ()
    added: tuple[Change, ...] = ()


@dataclass
class Looks:
    """What networks found lately, so that another threshold costs no second look."""

    _kept: OrderedDict[str, tuple[Detections, Detections]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def both(
        self, name: str, segmenter: Segmenter, pixels: Pixels, object: str | None, lowest: float
    ) -> tuple[Detections, Detections]:
        """Detections without and with the filter; without an object they are the same."""
        digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
        key = f"{name} {digest} {pixels.shape} {object} {lowest}"
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        if object is None:
            found = segmenter.predict([pixels], threshold=lowest)[0]
            pair = found, found
        else:
            plain, filtered = segmenter.predict_both([pixels], [object], threshold=lowest)
            pair = plain[0], filtered[0]
        with self._lock:
            self._kept[key] = pair
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return pair


def answer(segmenter: Segmenter, pixels: Pixels, ask: Ask, looks: Looks) -> Answer:
    """The parts of one picture (height, width, 3).

    Raises:
        UnknownNameError: no such object category, or no such part among the thresholds.
        ConfigError: a threshold outside 0…1.
    """
    predictor = Predictor(segmenter, PredictionSettings(unite=not ask.apart))
    floor = predictor.floor(ask.thresholds())
    allowed_labels(segmenter.parts, ask.object)
    lowest = min(LOWEST, float(floor.min(initial=1.0)))
    plain, filtered = looks.both(ask.model, segmenter, pixels, ask.object, lowest)
    found = predictor.kept(pixels, filtered, floor, _OTHERS)
    if ask.object is None or not ask.compare:
        return Answer(ask, found)
    every = len(segmenter.names)
    without = predictor.kept(pixels, plain, floor, every)
    return compared(ask, found, without, floor.tolist())


def compared(ask: Ask, filtered: Prediction, plain: Prediction, floor: Sequence[float]) -> Answer:
    """The answer with what the filter removed and added, and why.

    `plain` needs all alternatives of its masks: they say what else a place might have been.
    """
    twins = tuple(_twin(mask, filtered.masks) for mask in plain.masks)
    gone = [mask for mask, twin in zip(plain.masks, twins, strict=True) if twin is None]
    new = [mask for at, mask in enumerate(filtered.masks) if at not in twins]
    object = ask.object or ""
    removed = [Change(mask, _why_gone(mask, filtered, object, floor)) for mask in gone]
    added = [Change(mask, _why_new(mask, plain)) for mask in new]
    return Answer(ask, filtered, plain, twins, tuple(removed), tuple(added))


def _twin(mask: FoundPart, others: Sequence[FoundPart]) -> int | None:
    """Position of the mask of the same part in the same place."""
    same = [at for at, other in enumerate(others) if other.label == mask.label]
    found = _nearest(mask, [others[at] for at in same])
    return next((at for at in same if others[at] is found), None)


def _nearest(mask: FoundPart, others: Sequence[FoundPart]) -> FoundPart | None:
    if not others:
        return None
    overlaps = iou([mask.rle], [other.rle for other in others])[0]
    best = int(overlaps.argmax())
    return others[best] if overlaps[best] >= _SAME_PLACE else None


def _why_gone(mask: FoundPart, filtered: Prediction, object: str, floor: Sequence[float]) -> str:
    owner = split_name(mask.name)[0]
    if owner == object:
        return "a likelier mask of the same part took its place"
    foreign = f"is a part of {owner}, and the picture shows {object}"
    instead = _nearest(mask, filtered.masks)
    if instead is not None:
        return f"{foreign}; the place is now {instead.name} ({instead.score:.2f})"
    best = next(((name, p) for name, p in mask.alternatives if split_name(name)[0] == object), None)
    if best is None:
        return f"{foreign}; no part of {object} was likely there at all"
    label = filtered.parts.label[best[0]]
    if best[1] < floor[label]:
        told = f"has {best[1]:.2f} there, under its threshold of {floor[label]:.2f}"
    else:
        told = f"has {best[1]:.2f} there, and a likelier mask of it is elsewhere"
    return f"{foreign}; its likeliest part, {best[0]}, {told}"


def _why_new(mask: FoundPart, plain: Prediction) -> str:
    before = _nearest(mask, plain.masks)
    if before is None:
        return "without the filter this place was of another part, with too low a score"
    return f"without the filter this place is {before.name} ({before.score:.2f})"


def own_thresholds(text: str) -> dict[str, float]:
    """Thresholds of single parts as people write them: `cat:ear=0.3, cat:head=0.6`.

    Raises:
        ConfigError: it cannot be read.
    """
    found: dict[str, float] = {}
    for entry in filter(None, (each.strip() for each in text.replace("\n", ",").split(","))):
        name, equals, value = entry.rpartition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise ConfigError(
                f"{entry!r} is no threshold of a part", hint="such as cat:ear=0.3, cat:head=0.6"
            )
    return found


def told_thresholds(own: Mapping[str, float]) -> str:
    """The text that `own_thresholds` reads."""
    return ", ".join(f"{name}={value:g}" for name, value in own.items())
