"""Which images of an index somebody wants to see, in which order, and why others are left out.

    chosen = choose(index, Filters(object="ram", part="horn", score=(0, 0.5)))
    rows = ordered(index, chosen, "suspicion", suspicion={7: 0.9})

An image is kept if it has a mask for which all that is said of masks holds (part, provenance,
annotator, score, area), and if what is said of images holds of it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from annotate.data.index import Index
from partlab.config import Config
from partlab.errors import ConfigError, UnknownNameError
from partlab.inclusions import pairs_of
from partlab.parts import Parts, join_name, split_name
from partlab.schema import OURS

Order = Literal["file", "suspicion", "score", "small", "large", "masks"]
ORDERS: tuple[Order, ...] = get_args(Order)
ANY_INCLUSION = "any"
Span = tuple[float | None, float | None]
Found = Mapping[str, Collection[int]]
"""Kind of finding -> ids of the images that have it."""


class Filters(Config):
    """What is wanted; "" and None want all. `score` is 0…1, `area` in pixels as the file says."""

    object: str = ""
    part: str = ""  # object:part, or a part's name for all objects
    provenance: str = ""  # as it stands, or what stands before its colon
    annotator: str = ""
    round: str = ""
    verdict: Literal["", "passed", "failed", "none"] = ""
    inclusion: str = ""  # "object: inner in outer", or "any"
    finding: str = ""
    score: Span = (None, None)
    area: Span = (None, None)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows of the index in the order of the file; `masks` says of every mask if it is meant.

    `left_out` is why and how many images, each counted once, for the first reason that holds.
    """

    rows: NDArray[np.int64]
    masks: NDArray[np.bool_]
    left_out: tuple[tuple[str, int], ...] = ()
    narrow: bool = False  # something was said of masks, so that not all of an image's are meant


def choose(index: Index, filters: Filters, found: Found | None = None) -> Chosen:
    """What fits; `found` are the findings, which have to be known for that filter.

    Raises:
        UnknownNameError: no such object, part or inclusion; near names are suggested.
        ConfigError: findings are not known yet.
    """
    kept: NDArray[np.bool_] = np.ones(len(index), bool)
    masks: NDArray[np.bool_] = np.ones(len(index.rows), bool)
    left: list[tuple[str, int]] = []

    def narrowed(why: str, images: NDArray[np.bool_]) -> None:
        nonlocal kept
        lost = int((kept & ~images).sum())
        if lost:
            left.append((why, lost))
        kept = kept & images

    for why, images in _of_images(index, filters, found):
        narrowed(why, images)
    narrow = False
    for why, fits in _of_masks(index, filters):
        masks, narrow = masks & fits, True
        narrowed(why, _any_mask(index, masks))
    return Chosen(np.flatnonzero(kept), masks, tuple(left), narrow)


def _any_mask(index: Index, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    has: NDArray[np.bool_] = np.zeros(len(index), bool)
    has[index.rows[masks]] = True
    return has


def _of_images(
    index: Index, filters: Filters, found: Found | None
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """What is said of images: why one is left out, and which fit."""
    if filters.object:
        _need("object category", filters.object, [*index.objects.names, *parts_of(index).objects])
        yield f"does not show {filters.object}", index.objects.where([filters.object])
    if filters.round:
        wanted = [name for name, about in _rounds(index).items() if _round(about) == filters.round]
        yield f"not of round {filters.round}", index.objects.where(wanted)
    if filters.verdict:
        words = {"passed": "did not pass", "failed": "did not fail", "none": "has a verdict"}
        yield words[filters.verdict], index.verdicts.where([filters.verdict])
    if filters.inclusion:
        yield "does not show both parts of the inclusion", _nested(index, filters.inclusion)
    if filters.finding:
        if found is None:
            raise ConfigError("what is wrong is not known yet", hint="check the data set first")
        yield (
            f"has no finding {filters.finding}",
            np.isin(index.ids, list(found.get(filters.finding, ()))),
        )


def _of_masks(index: Index, filters: Filters) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """What is said of masks; several must hold of the same mask."""
    if filters.part:
        labels = parts_of(index).called(filters.part)
        yield f"no mask of {filters.part}", np.isin(index.labels, labels)
    if filters.provenance:
        names = [
            name
            for name in index.provenance.names
            if filters.provenance in (name, name.partition(":")[0])
        ]
        yield f"no such mask made by {filters.provenance}", index.provenance.where(names)
    if filters.annotator:
        yield f"no such mask drawn by {filters.annotator}", _by(index, filters.annotator)
    for name, unit, values in (("score", "", index.scores), ("area", " px", index.areas)):
        low, high = getattr(filters, name)
        if low is not None or high is not None:
            fits = (values >= (low or 0)) & (values <= (np.inf if high is None else high))
            yield f"no such mask with {name} {span_words((low, high), unit)}", fits


def span_words(span: Span, unit: str = "") -> str:
    """`0.1 to 0.5`, `from 100 px`, `up to 5 px`."""
    low, high = (None if value is None else f"{value:,g}" for value in span)
    if low is None:
        return f"up to {high}{unit}"
    return f"{low} to {high}{unit}" if high is not None else f"from {low}{unit}"


def parts_of(index: Index) -> Parts:
    """The part categories by label."""
    return Parts.of((category.name for category in index.categories), index.inclusions)


def _need(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise UnknownNameError(what, name, [one for one in known if one])


def _nested(index: Index, wanted: str) -> NDArray[np.bool_]:
    """Images that show both parts of an inclusion."""
    known = inclusions_of(index)
    if wanted != ANY_INCLUSION:
        _need("inclusion", wanted, list(known))
    shown: NDArray[np.bool_] = np.zeros(len(index), bool)
    for words, (inner, outer) in known.items():
        if wanted in (ANY_INCLUSION, words):
            shown |= _any_mask(index, index.labels == inner) & _any_mask(
                index, index.labels == outer
            )
    return shown


def inclusions_of(index: Index) -> dict[str, tuple[int, int]]:
    """`object: inner in outer` -> the two labels, of inclusions whose parts there are."""
    label = parts_of(index).label
    found = {}
    for owner, around in index.inclusions.items():
        for pair in pairs_of(around):
            both = [label.get(join_name(owner, part)) for part in pair]
            if both[0] is not None and both[1] is not None:
                found[f"{owner}: {pair[0]} in {pair[1]}"] = (both[0], both[1])
    return found


# --- who, and when -----------------------------------------------------------------------------


def _rounds(index: Index) -> Mapping[str, Any]:
    found = (index.about.get(OURS) or {}).get("rounds")
    return found if isinstance(found, dict) else {}


def _round(about: Any) -> str:
    return str(about.get("round", "")) if isinstance(about, dict) else ""


def _annotators(index: Index) -> tuple[list[str], list[str]]:
    """Who drew by provenance ("" where it does not say), and by object category."""
    human = "human:"
    said = [name.removeprefix(human) if name.startswith(human) else "" for name in
            index.provenance.names]  # fmt: skip
    rounds = _rounds(index)
    drew = [rounds.get(name) for name in index.objects.names]
    return said, [str(one.get("annotator") or "") if isinstance(one, dict) else "" for one in drew]


def _by(index: Index, who: str) -> NDArray[np.bool_]:
    """Masks of an annotator: as its provenance says, else of whoever drew the round."""
    said, drew = _annotators(index)
    own = np.array([*said, ""], object)[index.provenance.codes]
    theirs = np.array([*drew, ""], object)[index.objects.codes][index.rows]
    found: NDArray[np.bool_] = np.where(own == "", theirs, own) == who
    return found


@dataclass(frozen=True, slots=True)
class Choices:
    """What the filters can be set to; numbers are images."""

    objects: dict[str, int]
    parts: tuple[str, ...]
    provenance: tuple[str, ...]
    annotators: tuple[str, ...]
    rounds: tuple[str, ...]
    verdicts: tuple[str, ...]
    inclusions: tuple[str, ...]


def choices(index: Index, object: str = "", most: int = 50) -> Choices:
    """The values there are; parts and inclusions of `object` alone, if one is named."""
    counts = np.bincount(index.objects.codes, minlength=len(index.objects.names))
    shown = dict(zip(index.objects.names, map(int, counts), strict=True))
    parts = parts_of(index)
    names = [name for name in parts.names if object in ("", split_name(name)[0])]
    kinds = dict.fromkeys(name.partition(":")[0] for name in index.provenance.names)
    made = [*kinds, *index.provenance.names] if len(index.provenance.names) <= most else [*kinds]
    said, drew = _annotators(index)
    people = sorted({name for name in (*said, *drew) if name})
    rounds = sorted({_round(about) for about in _rounds(index).values()} - {""})
    nested = [name for name in inclusions_of(index) if object in ("", name.partition(":")[0])]
    verdicts = tuple(name for name in ("passed", "failed", "none") if name in index.verdicts.names)
    return Choices(
        {name: shown.get(name, 0) for name in parts.objects},
        tuple(names),
        tuple(dict.fromkeys(made)),
        tuple(people),
        tuple(rounds),
        verdicts if len(verdicts) > 1 or verdicts != ("none",) else (),
        tuple(nested),
    )


# --- order -------------------------------------------------------------------------------------


def ordered(
    index: Index, chosen: Chosen, order: Order, suspicion: Mapping[int, float] | None = None
) -> NDArray[np.int64]:
    """The chosen rows in an order; images that say nothing to it come last.

    Raises:
        ConfigError: suspicion is asked for, and there is no audit.
        UnknownNameError: no such order.
    """
    if order not in ORDERS:
        raise UnknownNameError("order", order, ORDERS)
    rows = chosen.rows
    if order == "file":
        return rows
    if order == "suspicion":
        if suspicion is None:
            raise ConfigError("nothing is audited yet", hint="have the data set audited first")
        keys = np.array([-suspicion.get(int(index.ids[row]), -np.inf) for row in rows])
    else:
        keys = _keys(index, chosen, order)[rows]
    found: NDArray[np.int64] = rows[np.argsort(keys, kind="stable")]
    return found


def _keys(index: Index, chosen: Chosen, order: Order) -> NDArray[np.float64]:
    """For each image what it is ordered by, lowest first, from the masks that are meant."""
    keys = np.full(len(index), np.inf)
    rows = index.rows[chosen.masks]
    columns: dict[str, NDArray[Any]] = {
        "score": index.scores,
        "small": index.areas,
        "large": -index.areas,
        "masks": np.zeros(len(index.rows)),
    }
    values = columns[order][chosen.masks]
    if order == "masks":
        return -np.bincount(rows, minlength=len(index)).astype(float)
    np.fmin.at(keys, rows, values)
    return keys


def lit(index: Index, chosen: Chosen, rows: Sequence[int]) -> frozenset[int]:
    """Ids of the masks of these images that are meant, where not all are."""
    if not chosen.narrow:
        return frozenset()
    here = chosen.masks & np.isin(index.rows, list(rows))
    return frozenset(map(int, index.annotations[here]))
