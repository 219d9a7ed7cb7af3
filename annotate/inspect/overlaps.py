"""No category goes to inspection whose parts lie over each other, unless that is accepted by name.

An inspector sees one part of two; `partlab data check` would find fault with what they accepted.
"""

from collections.abc import Collection
from shlex import quote

from annotate.studio.acts.overlaps import Pair, undeclared_overlaps
from annotate.vocabulary import ObjectParts
from annotate.work import Batch, Work
from partlab.errors import ConfigError, StateError, UnknownNameError

SHOWN = 10


def need_no_overlaps(work: Work, batch: Batch, accepted: Collection[str] = ()) -> list[list[str]]:
    """The pairs of part ids that are accepted and there; `accepted` are names as "mirror=door".

    Raises:
        StateError: other parts lie over each other, and no inclusion is declared.
        ConfigError: a name has no "=".
        UnknownNameError: the object has no such part.
    """
    parts = work.moves(batch).parts
    fine = {frozenset(_ids(words, parts)) for words in accepted}
    found = undeclared_overlaps(work, batch)
    left = {pair: images for pair, images in found.items() if frozenset(pair) not in fine}
    if left:
        raise _refused(batch, parts, left)
    return [list(pair) for pair in found]


def what_stops(work: Work, batch: Batch) -> StateError | None:
    """What `need_no_overlaps` would raise where nothing is accepted by name; None if nothing."""
    found = undeclared_overlaps(work, batch)
    return _refused(batch, work.moves(batch).parts, found) if found else None


def shared_out(
    work: Work, names: Collection[str], accepted: Collection[str], *, others: Collection[str] = ()
) -> dict[str, list[str]]:
    """What is accepted, by category: each of `names` takes the pairs of which it has both parts.

    Raises:
        ConfigError: a pair has no "=".
        UnknownNameError: none of `names`, nor of `others`, has both parts.
    """
    found: dict[str, list[str]] = {name: [] for name in names}
    known = {name: work.moves(work.batch(name)).parts for name in (*names, *others)}
    for words in accepted:
        faults = []
        for name, parts in known.items():
            try:
                _ids(words, parts)
            except UnknownNameError as error:
                faults.append(error)
            else:
                found.setdefault(name, []).append(words)
        if faults and len(faults) == len(known):
            raise faults[0]
    return {name: found[name] for name in names}


def _ids(words: str, parts: ObjectParts) -> Pair:
    small, equals, large = words.partition("=")
    if not equals:
        raise ConfigError(
            f"{words!r} names no two parts", hint="write --accept-overlap INNER=OUTER"
        )
    return parts.named(small.strip()).id, parts.named(large.strip()).id


def _refused(batch: Batch, parts: ObjectParts, left: dict[Pair, list[int]]) -> StateError:
    names = {pair: [parts.part(id).name for id in pair] for pair in left}
    where = "; ".join(
        f"{' over '.join(names[pair])} in {_images(images)}" for pair, images in left.items()
    )
    options = " ".join(f"--accept-overlap {quote('='.join(names[pair]))}" for pair in left)
    return StateError(
        f"{batch.object} round {batch.round}: parts lie over each other, and no inclusion is "
        f"declared: {where}",
        hint="declare it (`partlab vocabulary include`, then `migrate`), let it be mended "
        "(`partlab studio pull` writes into these pictures what is to be done), or accept it: "
        f"{options}",
    )


def _images(ids: list[int]) -> str:
    named = ", ".join(map(str, ids[:SHOWN])) + (", …" if len(ids) > SHOWN else "")
    return f"image {named}" if len(ids) == 1 else f"{len(ids)} images ({named})"
