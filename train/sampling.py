"""Which pictures an epoch shows, how often, in which order: drawn from (seed, epoch) alone.

Weights are how often an epoch shows a picture on average. They are kept exactly: every picture
comes as often as its weight rounded down or up, every epoch has as many pictures, and which ones
are rounded up changes from epoch to epoch so that none is forgotten.
"""

import logging
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partlab.counts import counted
from partlab.errors import ConfigError
from train.pictures import PLAIN, SOURCES, Pictures
from train.settings import DataConfig

logger = logging.getLogger(__name__)

_GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples fill 0…1 evenly, however many there are

Index = NDArray[np.int64]


def epoch_plan(
    pictures: Pictures,
    config: DataConfig,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    rank: int = 0,
    world: int = 1,
) -> list[list[int]]:
    """The batches of positions that this process sees; each epoch has as many.

    A picture that comes a second time in an epoch has another position (its own, plus the
    number of pictures), so that it is cut otherwise. What does not fill a batch in each process
    is left for other epochs. With `balance` each class comes as often as every other, give or
    take one, and weights count within it.

    Raises:
        ConfigError: no weight above 0 meets a picture, or there are too few for one batch.
    """
    chosen = drawn(pictures, config, seed=seed, epoch=epoch)
    order = chosen[np.random.default_rng((seed, epoch)).permutation(len(chosen))]
    batches = len(order) // (batch_size * world)
    if not batches:
        raise ConfigError(
            f"an epoch shows {len(order)} pictures, fewer than one batch of {batch_size} in each "
            f"of {world} processes",
            hint=f"set train.batch_size to at most {max(len(order) // world, 1)}, or take more "
            "pictures or fewer processes",
        )
    whole = order[: batches * batch_size * world].reshape(batches, world, batch_size)
    found: list[list[int]] = whole[:, rank].tolist()
    return found


def drawn(pictures: Pictures, config: DataConfig, *, seed: int, epoch: int) -> Index:
    """The positions of one epoch, not yet in order; as many in every epoch.

    Raises:
        ConfigError: no weight above 0 meets a picture.
    """
    weights = np.array([config.human, config.pseudo, config.plain])[pictures.source]
    if not weights.any():
        raise ConfigError(
            "no picture has a weight above 0",
            hint=f"set data.human, data.pseudo or data.plain: these are {pictures.summary}",
        )
    group = pictures.class_of if config.balance else pictures.source
    totals = _balanced(weights, group, seed, epoch) if config.balance else _rounded(weights, group)
    counts = _counts(weights, pictures.source, group, totals, seed, epoch)
    index = np.repeat(np.arange(len(counts)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(index + (np.arange(len(index)) - first) * len(counts))


def _rounded(weights: NDArray[np.float64], group: NDArray[Any]) -> Index:
    """How many each source gives an epoch."""
    return np.rint(np.bincount(group, weights)).astype(np.int64)


def _balanced(weights: NDArray[np.float64], group: NDArray[Any], seed: int, epoch: int) -> Index:
    """As many for each class, one more for some of them, which take turns."""
    have = np.bincount(group, weights)
    classes = np.flatnonzero(have)
    total = round(float(have.sum()))
    each, more = divmod(total, len(classes))
    turn = np.random.default_rng(seed).permutation(classes)
    totals = np.zeros(len(have), np.int64)
    totals[classes] = each
    totals[np.roll(turn, -epoch * more)[:more]] += 1
    return totals


def _counts(
    weights: NDArray[np.float64],
    source: NDArray[np.uint8],
    group: NDArray[Any],
    totals: Index,
    seed: int,
    epoch: int,
) -> Index:
    """How often each picture comes: a systematic draw within each group, source by source.

    Its weight is a stretch of a line as long as the group's total; it comes as often as a
    whole number plus `u` lies on its stretch.
    """
    random = np.random.default_rng(seed)
    order = np.lexsort((random.permutation(len(group)), source, group))
    have = np.bincount(group, weights)
    share = np.divide(totals, have, out=np.zeros(len(have)), where=have > 0)
    u = ((random.random(len(totals)) + epoch * _GOLDEN) % 1).clip(1e-6, 1 - 1e-6)
    ends = _ends((weights * share[group])[order], group[order], totals)
    passed = np.floor(ends + u[group[order]]).astype(np.int64)
    counts = np.empty(len(group), np.int64)
    counts[order] = np.diff(passed, prepend=0)
    return counts


def _ends(stretch: NDArray[np.float64], group: NDArray[Any], totals: Index) -> NDArray[np.float64]:
    """Where each stretch ends; a group's last one exactly at the total of all up to there."""
    ends = np.cumsum(stretch)
    last = np.flatnonzero(np.diff(group, append=group[-1:] + 1))
    ends[last] = np.cumsum(totals[group[last]])
    return ends


def partners(pictures: Pictures, seed: int) -> Index:
    """For each picture another of its class and label source, shape (n,), fixed.

    The pictures of a class form one circle in a seeded order. One that is alone keeps its own
    map, which is said; class-only pictures stay without.
    """
    own = np.arange(len(pictures))
    mapped = np.flatnonzero(pictures.source != PLAIN)
    group = pictures.class_of.astype(np.int64) * len(SOURCES) + pictures.source
    random = np.random.default_rng(seed)
    order = mapped[np.lexsort((random.permutation(len(mapped)), group[mapped]))]
    ordered = group[order]
    first = np.searchsorted(ordered, ordered)
    after = np.searchsorted(ordered, ordered, side="right")
    at = np.arange(len(order)) + 1
    own[order] = order[np.where(at < after, at, first)]
    if alone := int((after - first == 1).sum()):
        lone = "picture is the only one of its class and keeps its map"
        many = "pictures are the only ones of their class and keep their map"
        logger.warning("%s", counted(alone, lone, many))
    return own
