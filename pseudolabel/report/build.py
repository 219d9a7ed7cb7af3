"""Gathers everything a report says, before any page is written."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from partlab.schema import Dataset
from pseudolabel.calibrate import shared_with_training
from pseudolabel.matching import Matched, match
from pseudolabel.reliability import reliability_of
from pseudolabel.report.statistics import (
    Bounds,
    ObjectFacts,
    StoreTally,
    object_facts,
    tally_human,
    tally_store,
)
from pseudolabel.store import Store
from pseudolabel.sweep import SweepPoint, keeps_instances, lowest_score, sweep
from segmenter.tuning.scale import Reliability


@dataclass(frozen=True, slots=True)
class Truth:
    """How the store compares with known masks."""

    path: str
    images: int  # in both
    trained_on: int  # of those, in the segmenter's training set
    training_known: bool  # whether that could be found out
    unknown_parts: tuple[str, ...]  # in the truth only: left out
    left_out: str | None  # masks without usable pixels: how many, why
    crowd_regions: int  # count neither as right nor as wrong
    exact: bool  # instances kept apart, so each threshold is exactly what a run would give
    sweep: tuple[SweepPoint, ...]
    reliability: Reliability  # scores beside what share of a mask is right


@dataclass(frozen=True, slots=True)
class Examples:
    """Positions in the store of one object's best, median and worst images."""

    best: tuple[int, ...]
    median: tuple[int, ...]
    worst: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """All numbers of a report; `examples` and `quality` say which pictures to draw."""

    store: Store
    bounds: Bounds
    objects: tuple[ObjectFacts, ...]
    unreadable: tuple[tuple[str, str], ...]  # file name, reason
    human: str | None
    human_images: int
    truth: Truth | None
    examples: dict[str, Examples]
    quality: dict[int, float]  # position -> what `ranked_by` says
    ranked_by: str

    def total(self, what: str) -> int:
        """Sum of a count over the object categories."""
        return sum(int(getattr(facts, what)) for facts in self.objects)

    def result(self) -> dict[str, Any]:
        """The numbers, for `--json`."""
        readable = self.total("readable")
        return {
            "store": str(self.store.path),
            "run": self.store.manifest.run,
            "lowest_threshold": lowest_score(self.store),
            "finished": self.store.finished,
            "images": self.total("images"),
            "labelled": self.total("labelled"),
            "blank": self.total("blank"),
            "blank_share": self.total("blank") / readable if readable else None,
            "unreadable": [{"file_name": n, "reason": r} for n, r in self.unreadable],
            "masks": self.total("masks"),
            "human": self.human,
            "bounds": self.bounds.model_dump(),
            "objects": [_with_properties(facts) for facts in self.objects],
            "truth": asdict(self.truth) if self.truth else None,
        }


def _with_properties(facts: ObjectFacts) -> dict[str, Any]:
    parts = [{**asdict(p), "area_ratio": p.area_ratio} for p in facts.parts]
    own = {"blank_share": facts.blank_share, "masks_per_image": facts.masks_per_image}
    return {**asdict(facts), **own, "parts": parts}


def make_report(
    store: Store,
    *,
    truth: Dataset | None = None,
    human: Dataset | None = None,
    bounds: Bounds | None = None,
) -> Report:
    """Read the store once, people's masks once, and measure against the truth if there is one.

    Raises:
        NotFoundError: the truth shares no image, or no part, with the store.
        DatasetError: a shard, or a truth mask, is damaged.
    """
    bounds = bounds or Bounds()
    found = tally_store(store)
    other = tally_human(human) if human else None
    matched = match(store, truth) if truth else None
    ranking, ranked_by = _ranking(found, matched)
    return Report(
        store,
        bounds,
        object_facts(store, found, other, bounds),
        tuple(found.unreadable),
        str(human.path or "people's masks") if human else None,
        sum(other.readable.values()) if other else 0,
        _truth(matched) if matched else None,
        {name: _examples(ranked, bounds.examples) for name, ranked in ranking.items()},
        {position: value for ranked in ranking.values() for value, position in ranked},
        ranked_by,
    )


def _truth(matched: Matched) -> Truth:
    shared, known = shared_with_training(matched)
    return Truth(
        str(matched.truth.path or "the truth"),
        len(matched.rows),
        shared,
        known,
        matched.unknown_parts,
        matched.masks.sentence(),
        matched.masks.crowd,
        keeps_instances(matched.store),
        tuple(sweep(matched)),
        reliability_of(matched),
    )


_Ranking = dict[str, list[tuple[float, int]]]


def _ranking(found: StoreTally, matched: Matched | None) -> tuple[_Ranking, str]:
    """Per object: images by what is known best about them, the truth or the network's scores."""
    if matched is None:
        return dict(found.ranking), "mean score of the image's masks"
    quality = matched.quality()
    by_object: _Ranking = {}
    for row, _ in matched.rows:
        if row.masks and row.object and row.file_name in quality:
            ranked = by_object.setdefault(row.object, [])
            ranked.append((quality[row.file_name], row.image_id - 1))
    return by_object, "mean IoU with the truth over the image's parts"


def _examples(ranked: Sequence[tuple[float, int]], most: int) -> Examples:
    order = [position for _, position in sorted(ranked, key=lambda at: (-at[0], at[1]))]
    each = min(most, max(1, len(order) // 3))
    rest = order[each:]
    worst, middle = rest[len(rest) - min(each, len(rest)) :], rest[: max(0, len(rest) - each)]
    start = max(0, (len(middle) - each) // 2)
    return Examples(tuple(order[:each]), tuple(middle[start : start + each]), tuple(worst))
