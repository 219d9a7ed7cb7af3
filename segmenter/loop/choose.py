"""Which pictures to annotate next: where the segmenter is unsure, of what is rare, unlike the rest.

Greedily, as in the k-centre problem (Sener and Savarese 2018): the next picture is the one with
the largest product of how unsure the segmenter is of it, how rare its parts are among what was
drawn, and how far it lies, in the backbone's features, from all that is drawn or chosen already.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2, sqrt

import numpy as np
from numpy.typing import NDArray

from partlab.parts import Parts
from segmenter.objects import Objects
from segmenter.protocol import Pixels, Segmenter

LOWEST = 0.05  # score of a mask that counts as something found
LIKELY = 0.3  # score of a part that is probably there
_FLOOR = 0.05  # of uncertainty, so that a picture that looks sure can still be chosen

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Look:
    """What a segmenter makes of one picture.

    `scores` has the best score of each part its object has, 0 where nothing was found; `features`
    (D,) are the backbone's, of length 1, or None where the segmenter gives none.
    """

    image_id: int
    scores: Mapping[str, float]
    features: Features | None = None

    @property
    def uncertainty(self) -> float:
        """Mean entropy, in bits, of whether each part is there; 1 where nobody can say."""
        if not self.scores:
            return 1.0
        return sum(map(_entropy, self.scores.values())) / len(self.scores)


def _entropy(p: float) -> float:
    return -sum(q * log2(q) for q in (p, 1 - p) if q > 0)


@dataclass(frozen=True, slots=True)
class Choice:
    """A picture to annotate, and what it was chosen for, each between 0 and 1."""

    image_id: int
    uncertainty: float
    rarity: float
    distance: float
    rarest: str | None  # of its parts

    @property
    def words(self) -> str:
        """What a lead reads."""
        rare = f", has the rare {self.rarest}" if self.rarest and self.rarity > 0.5 else ""
        return (
            f"{_grade(self.uncertainty, ('sure', 'rather unsure', 'unsure'))}"
            f"{_grade(self.distance, (', like others', '', ', unlike the others'))}{rare}"
        )


def _grade(value: float, words: tuple[str, str, str]) -> str:
    return words[0] if value < 0.15 else words[1] if value < 0.4 else words[2]


def look(
    segmenter: Segmenter, ids: Sequence[int], pixels: Sequence[Pixels], objects: Sequence[Objects]
) -> list[Look]:
    """Look at some pictures; `objects` says what each shows, as the category filter is told."""
    found = segmenter.predict(pixels, objects, threshold=LOWEST)
    give = getattr(segmenter, "features", None)
    seen: Sequence[Features | None] = list(give(pixels)) if give else [None] * len(ids)
    looks = []
    for id, detections, shown, features in zip(ids, found, objects, seen, strict=True):
        scores = dict.fromkeys(_names(segmenter.parts, shown), 0.0)
        for label, score in zip(detections.labels, detections.scores, strict=True):
            name = segmenter.names[int(label)]
            scores[name] = max(scores.get(name, 0.0), float(score))
        looks.append(Look(id, scores, features))
    return looks


def _names(parts: Parts, shown: Objects) -> list[str]:
    known = [shown] if isinstance(shown, str) else list(shown or ())
    return [parts.names[at] for at in parts.labels_of(*(n for n in known if n in parts.by_object))]


def choose(
    looks: Sequence[Look],
    n: int,
    *,
    drawn: Sequence[Features] = (),
    masks: Mapping[str, int] | None = None,
) -> list[Choice]:
    """The `n` pictures that most is to be learnt from, best first; fewer where there are fewer.

    `drawn` are the features of pictures that are annotated already, `masks` how many masks each
    part has in them. Ties go to the smaller image id, so that the same call gives the same answer.
    """
    looks = sorted(looks, key=lambda one: one.image_id)
    worth = [_worth(one, masks or {}) for one in looks]
    weights = np.array(
        [(_FLOOR + one.uncertainty) * w[0] for one, w in zip(looks, worth, strict=True)]
    )
    distances = _to_nearest(looks, drawn)
    chosen: list[Choice] = []
    left = np.ones(len(looks), bool)
    while left.any() and len(chosen) < n:
        at = int(np.argmax(np.where(left, weights * (1e-6 + distances), -1.0)))
        rarity, rarest = worth[at]
        one = looks[at]
        chosen.append(Choice(one.image_id, one.uncertainty, rarity, float(distances[at]), rarest))
        left[at] = False
        if one.features is not None:
            distances = np.minimum(distances, _distances(looks, [one.features]))
    return chosen


def _worth(one: Look, masks: Mapping[str, int]) -> tuple[float, str | None]:
    """How rare the rarest part is that is probably there, and its name.

    Where none probably is, the network does not know the picture: the rarest its object can have.
    """
    there = [name for name, score in one.scores.items() if score >= LIKELY] or list(one.scores)
    if not there:
        return 1.0, None
    rarest = min(there, key=lambda name: (masks.get(name, 0), name))
    return _rarity(masks.get(rarest, 0), masks.values()), rarest


def _rarity(count: int, all_counts: Iterable[int]) -> float:
    """1 for a part without a mask, less the more there are, by the root; a usual part has 0.5."""
    usual = float(np.median([*all_counts, 0])) or 1.0
    return 1 / (1 + sqrt(count / usual))


def _to_nearest(looks: Sequence[Look], drawn: Sequence[Features]) -> NDArray[np.float64]:
    """Half the squared distance (0…1 for features without negative values) to what is drawn."""
    return _distances(looks, drawn) if len(drawn) else np.ones(len(looks))


def _distances(looks: Sequence[Look], to: Sequence[Features]) -> NDArray[np.float64]:
    """(N,) distance to the nearest of `to`; 1 where a picture has no features."""
    found = np.ones(len(looks))
    with_features = [i for i, one in enumerate(looks) if one.features is not None]
    if with_features and len(to):
        ours = np.stack([f for one in looks if (f := one.features) is not None])
        found[with_features] = 1 - (ours @ np.stack(list(to)).T).max(1)
    return np.clip(found, 0.0, 1.0)
