"""Parts of a round that lie over each other although no inclusion is declared (M-02).

The rule is that of `partlab data check`: what passes here passes there.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from annotate.data.checks.overlaps import overlaps_of
from annotate.studio.acts.answers import nested
from annotate.vocabulary import ObjectParts
from annotate.work import Batch, Event, Work

Pair = tuple[str, str]  # part ids: the smaller, the larger
_FOUND: dict[tuple[str | int, ...], dict[Pair, list[int]]] = {}
_KEPT = 1000


def undeclared_overlaps(work: Work, batch: Batch) -> dict[Pair, list[int]]:
    """The pairs of parts that lie over each other, and in which images; most images first.

    A picture takes milliseconds, so what was found is kept until something happens in the category.
    """
    state = work.hash_of(batch.object), work.vocabulary.hash
    key = (str(work.folder), batch.object, batch.round, *state)
    if key not in _FOUND:
        if len(_FOUND) >= _KEPT:
            _FOUND.clear()
        _FOUND[key] = _overlaps(work, batch)
    return {pair: [*images] for pair, images in _FOUND[key].items()}


def _overlaps(work: Work, batch: Batch) -> dict[Pair, list[int]]:
    parts = work.moves(batch).parts
    found: dict[Pair, list[int]] = {}
    for answer in work.answers(batch.object, batch.round):
        if answer.kind == "masks":
            for pair in dict.fromkeys(_pairs(answer.masks, parts)):
                found.setdefault(pair, []).append(answer.image_id)
    return dict(sorted(found.items(), key=lambda one: -len(one[1])))


def _pairs(masks: Sequence[Mapping[str, Any]], parts: ObjectParts) -> Iterator[Pair]:
    known = [mask for mask in masks if mask["part"] in parts.ids]
    for small, large in overlaps_of([mask["rle"] for mask in known]):
        pair = known[small]["part"], known[large]["part"]
        if pair[0] != pair[1] and not nested(*pair, parts):
            yield pair


def accepted_overlaps(work: Work, batch: Batch) -> list[Pair]:
    """The pairs whose overlap was accepted by name when the round was drawn for inspection."""
    query = select(Event.data).filter_by(what="sampled", object=batch.object, round=batch.round)
    with work.read() as session:
        data = session.scalar(query.order_by(Event.id.desc()).limit(1)) or {}
    return [(small, large) for small, large in data.get("overlaps", ())]
