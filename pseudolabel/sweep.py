"""What each score threshold would give, where the truth is known (requirement B4.1)."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from partlab.progress import track
from pseudolabel.matching import Matched, Pair
from pseudolabel.store import Store
from segmenter.ap import mask_ap

logger = logging.getLogger(__name__)

GRID = tuple(round(0.05 * step, 2) for step in range(1, 20))  # .05, .10 … .95


@dataclass(frozen=True, slots=True)
class Counts:
    """How many masks are right at IoU >= 0.5, of those kept and of those that are true."""

    right: int
    kept: int
    true: int

    @property
    def precision(self) -> float | None:
        """Share of the kept masks that are right; None if none is kept."""
        return self.right / self.kept if self.kept else None

    @property
    def recall(self) -> float | None:
        """Share of the true parts that were found; None if there is none."""
        return self.right / self.true if self.true else None

    @property
    def f1(self) -> float:
        """2 right / (kept + true); 0 where nothing is kept and nothing true."""
        return 2 * self.right / (self.kept + self.true) if self.kept + self.true else 0.0


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One threshold. AP, AP50 (0…1) are of masks united per part and image.

    Precision and recall count over all parts together, a mask being right at IoU >= 0.5 and
    left aside where half of it lies in a crowd region;
    `coverage` is the share of images that keep at least one mask.
    """

    tau: float
    ap: float | None
    ap50: float | None
    precision: float | None
    recall: float | None
    coverage: float
    masks_per_image: float


def lowest_score(store: Store) -> float:
    """The smallest threshold the store was made with: below it nothing is known."""
    found = store.manifest.config.get("thresholds") or {}
    return min([float(found.get("default", 0.0)), *map(float, found.get("parts", {}).values())])


def keeps_instances(store: Store) -> bool:
    """Whether instances of a part are kept apart, so that every threshold can be tried exactly."""
    return store.manifest.config.get("unite", True) is False


def grid(store: Store, taus: Sequence[float] = GRID) -> list[float]:
    """The thresholds that can be tried: the store's own and those above it."""
    floor = lowest_score(store)
    if not keeps_instances(store):
        logger.warning(
            "%s holds each part's instances united at %.2f: at higher thresholds its masks may "
            "hold weaker instances too; for exact figures label again with --set unite=false",
            *(store.path, floor),
        )
    return sorted({round(floor, 4), *(tau for tau in taus if tau > floor)})


def sweep(
    matched: Matched,
    taus: Sequence[float] = GRID,
) -> list[SweepPoint]:
    """Measure every threshold that is not below the store's own, in rising order."""
    steps = grid(matched.store, taus)
    return [_point(matched, tau) for tau in track(steps, "thresholds", len(steps))]


def _point(matched: Matched, tau: float) -> SweepPoint:
    results = list(matched.results(tau))
    scores, counts = mask_ap(matched.truth, results), count(matched, tau)
    images = len(matched.rows)
    return SweepPoint(
        tau,
        scores.ap,
        scores.ap50,
        counts.precision,
        counts.recall,
        len({result["image_id"] for result in results}) / images,
        len(results) / images,
    )


def count(matched: Matched, tau: float) -> Counts:
    """Right, kept and true masks of all parts together at one threshold."""
    return counted(matched.pairs, tau)


def counted(pairs: Iterable[Pair], tau: float) -> Counts:
    """Right, kept and true masks of some pairs at one threshold; what is ignored is not kept."""
    steps = [(pair.truth, pair.at(tau)) for pair in pairs]
    kept = [step for _, step in steps if step is not None and not step.ignored]
    return Counts(sum(step.right for step in kept), len(kept), sum(truth for truth, _ in steps))
