"""One part under several names: what a version of the segmenter calls it, and what it is now.

A part is known by its id (ADR 0016). Renamed it has another name, merged another id; split, its
pieces begin with what was learnt of the whole.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from annotate.vocabulary import Vocabulary, read_vocabulary
from annotate.vocabulary.migrate import moves_between
from annotate.work import Work
from partlab.parts import split_name
from partlab.schema import OURS, Dataset
from segmenter.loop.versions import Version

Ids = dict[str, str]
"""Part name, `object:part` -> part id."""


def ids_of(data: Dataset) -> Ids:
    """The part ids of a data set that was made of a work."""
    return {c.name: str(c.raw.get(OURS, {}).get("part_id", c.part)) for c in data.categories}


def called_now(work: Work, version: Version, now: Ids) -> dict[str, str]:
    """Name that a version uses -> name in `now`; without parts that there are no more."""
    then = _vocabulary(work, version)
    names = {(split_name(name)[0], id): name for name, id in now.items()}
    found = {}
    for name, id in version.parts.items():
        owner = split_name(name)[0]
        id_now = _merged(then, work.vocabulary, owner).get(id, id)
        if (called := names.get((owner, id_now))) is not None:
            found[name] = called
    return found


def called_before(work: Work, version: Version, now: Ids) -> dict[str, str]:
    """Name in `now` -> name that the version uses; "" for a part it knows nothing of.

    Only where the two differ. Of merged parts the first, of the pieces of a split the whole.
    """
    then = _vocabulary(work, version)
    known = {(split_name(name)[0], id): name for name, id in version.parts.items()}
    sources: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
    found = {}
    for name, id in now.items():
        owner = split_name(name)[0]
        if owner not in sources:
            sources[owner] = _sources(then, work.vocabulary, owner)
        ids = [id, *sources[owner].get(id, [])]
        old = next((known[owner, one] for one in ids if (owner, one) in known), "")
        if old != name:
            found[name] = old
    return found


def _vocabulary(work: Work, version: Version) -> Vocabulary:
    """As it was when the version was made."""
    return read_vocabulary(work.kept_vocabulary(version.vocabulary))


def _merged(then: Vocabulary, now: Vocabulary, owner: str) -> Mapping[str, str]:
    """Old id -> the id it lies in now, of one object's merged parts."""
    if owner not in then.names or owner not in now.names:
        return {}
    return moves_between(then, now, owner).merged


def _sources(then: Vocabulary, now: Vocabulary, owner: str) -> dict[str, list[str]]:
    """Id -> the ids that it was merged from or split off."""
    found: dict[str, list[str]] = {}
    for old, new in _merged(then, now, owner).items():
        found.setdefault(new, []).append(old)
    for change in now.changes[len(then.changes) :]:
        if change.object == owner and change.operation == "split":
            for piece in change.after:
                found.setdefault(piece, []).extend(_with_sources(change.before, found))
    return found


def _with_sources(ids: Sequence[str], found: Mapping[str, list[str]]) -> list[str]:
    """Ids, and those they came of themselves."""
    return [each for id in ids for each in (id, *found.get(id, []))]
