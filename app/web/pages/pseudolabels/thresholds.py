"""A store's masks under thresholds set by hand: what stays, what goes, how right that is.

The store is read once for its scores; another threshold is then a comparison of numbers.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from partlab.errors import ConfigError
from partlab.parts import split_name
from partlab.progress import track
from pseudolabel.matching import Matched, Pair
from pseudolabel.settings import Thresholds
from pseudolabel.store import Store
from pseudolabel.sweep import Counts, counted, lowest_score

BINS = 20
NOBODY = "(no object category)"


@dataclass(frozen=True)
class Scores:
    """The masks of a store by number: image (0-based position), label and score, (m,) each.

    `objects` are the object categories that it has images of, `object_of` (n,) which of them an
    image shows; `labelled` (n,) whether it has a part.
    """

    store: Store
    objects: tuple[str, ...]
    object_of: NDArray[np.int32]
    labelled: NDArray[np.bool_]
    image: NDArray[np.int64]
    label: NDArray[np.int32]
    score: NDArray[np.float32]

    @classmethod
    def of(cls, store: Store) -> "Scores":
        """Read them; errors are those of `Store.scores`."""
        numbers: dict[str, int] = {}
        shown, labelled, image, label, score = [], [], [], [], []
        for shard in track(store.scores(), "reading scores", len(store.shards)):
            names = [name or NOBODY for name in shard.objects]
            shown += [numbers.setdefault(name, len(numbers)) for name in names]
            labelled += [status == "labelled" for status in shard.status]
            image.append(np.repeat(np.arange(len(names)) + shard.start, shard.masks))
            label.append(shard.labels)
            score.append(shard.scores)
        start = next(iter(store.shards), 0) * store.manifest.shard_size
        assert start == 0 or not shown  # shards are written from the first on
        return cls(
            store,
            tuple(numbers),
            np.array(shown, np.int32),
            np.array(labelled, bool),
            np.concatenate([*image, np.zeros(0, np.int64)]),
            np.concatenate([*label, np.zeros(0, np.int32)]),
            np.concatenate([*score, np.zeros(0, np.float32)]),
        )

    @cached_property
    def own(self) -> Thresholds:
        """Those that the store was made with."""
        return Thresholds.model_validate(self.store.manifest.config.get("thresholds") or {})

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """(n,) mean score of an image's masks, as the report ranks them; NaN without masks."""
        n = len(self.object_of)
        sums = np.bincount(self.image, self.score, n)
        with np.errstate(invalid="ignore"):
            found: NDArray[np.float64] = sums / np.bincount(self.image, minlength=n)
        return found

    def kept(self, thresholds: Thresholds) -> NDArray[np.bool_]:
        """(m,) which masks reach theirs."""
        kept: NDArray[np.bool_] = self.score >= thresholds.of(self.store.names)[self.label]
        return kept


@dataclass(frozen=True, slots=True)
class PartLine:
    """A part under its threshold; `counts` are those against the truth, None without one."""

    name: str
    tau: float
    own: bool  # a threshold of its own
    masks: int
    kept: int
    bars: tuple[int, ...]  # masks by score
    counts: Counts | None

    @property
    def part(self) -> str:
        """Within its object."""
        return split_name(self.name)[1] or self.name


@dataclass(frozen=True, slots=True)
class Effect:
    """What thresholds do to a store: masks, images with and without parts, all and by part.

    `changed` are positions of images that lose masks, most first; `lost` how many each.
    """

    masks: int
    kept: int
    labelled: int
    blank: int  # images that lose every mask
    lines: tuple[PartLine, ...]
    counts: Counts | None
    changed: tuple[int, ...]
    lost: Mapping[int, int]


def effect(
    scores: Scores, thresholds: Thresholds, object: str, matched: Matched | None = None
) -> Effect:
    """Of all masks; lines and changed images are those of one object category, "" for all.

    Raises:
        UnknownNameError: a threshold names no part.
        ConfigError: one lies below that of the store, where nothing is known.
    """
    need_known(scores.store, thresholds)
    kept = scores.kept(thresholds)
    mine = _of(scores, object)
    n = len(scores.object_of)
    lost = np.bincount(scores.image[~kept], minlength=n)
    left = np.bincount(scores.image[kept], minlength=n)
    order = np.flatnonzero((lost > 0) & mine)
    order = order[np.argsort(-lost[order], kind="stable")]
    grouped = by_part(matched.pairs) if matched else {}
    return Effect(
        len(kept),
        int(kept.sum()),
        int(scores.labelled.sum()),
        int((scores.labelled & (left == 0)).sum()),
        tuple(_lines(scores, thresholds, kept, object, grouped if matched else None)),
        _all(grouped, thresholds) if matched else None,
        tuple(order.tolist()),
        {int(at): int(lost[at]) for at in order[:100]},
    )


def need_known(store: Store, thresholds: Thresholds) -> None:
    """See that the store can say what thresholds keep; errors are those of `effect`."""
    floor = lowest_score(store)
    asked = [thresholds.default, *thresholds.parts.values()]
    thresholds.of(store.names)
    if min(asked) < floor - 1e-9:
        raise ConfigError(
            f"a threshold of {min(asked):g} is below the store's own, {floor:g}",
            hint="make the store with a lower one: partlab pseudolabel … --threshold 0.05",
        )


def _of(scores: Scores, object: str) -> NDArray[np.bool_]:
    if not object:
        return np.ones(len(scores.object_of), bool)
    at = scores.objects.index(object) if object in scores.objects else -1
    found: NDArray[np.bool_] = scores.object_of == at
    return found


def _lines(
    scores: Scores,
    thresholds: Thresholds,
    kept: NDArray[np.bool_],
    object: str,
    grouped: Mapping[str, list[Pair]] | None,
) -> list[PartLine]:
    floors, lines = thresholds.of(scores.store.names), []
    for label, name in enumerate(scores.store.names):
        if object and split_name(name)[0] != object:
            continue
        own = scores.label == label
        bars, _ = np.histogram(scores.score[own], BINS, (0.0, 1.0))
        counts = None if grouped is None else counted(grouped.get(name, []), float(floors[label]))
        lines.append(
            PartLine(
                name,
                float(floors[label]),
                name in thresholds.parts,
                int(own.sum()),
                int((own & kept).sum()),
                tuple(bars.tolist()),
                counts,
            )
        )
    return lines


def by_part(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """Part -> its pairs."""
    grouped: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        grouped[pair.name].append(pair)
    return dict(grouped)


def _all(grouped: Mapping[str, list[Pair]], thresholds: Thresholds) -> Counts:
    each = [counted(pairs, thresholds.parts.get(name, thresholds.default))
            for name, pairs in grouped.items()]  # fmt: skip
    return Counts(sum(c.right for c in each), sum(c.kept for c in each), sum(c.true for c in each))


def least_certain(scores: Scores, object: str, most: int) -> list[int]:
    """Positions of the labelled images with the lowest mean score, lowest first."""
    mine = np.flatnonzero(_of(scores, object) & scores.labelled)
    found: list[int] = mine[np.argsort(scores.mean[mine], kind="stable")][:most].tolist()
    return found
