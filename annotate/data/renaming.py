"""Other names for the categories of a data set, and categories of one name made one.

Masks keep their pixels; images, inclusions and accepted overlaps follow the names.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from annotate.data.accepted import Pairs, accepted_overlaps, with_accepted
from partlab.counts import counted
from partlab.inclusions import Inclusions, pairs_of, spelled
from partlab.objects import name_key
from partlab.schema import OURS, Category, Dataset, Image

log = logging.getLogger(__name__)

Name = tuple[str, str]
"""(object, part); an empty part is the whole object, an empty object nothing at all."""


def renamed(data: Dataset, names: Sequence[Name | None]) -> Dataset:
    """The data set with these names for its categories, in their order; None leaves one as it is.

    Inclusions, accepted overlaps and the objects of images go along; masks of categories left out
    are counted.
    """
    pairs = list(zip(data.categories, names, strict=True))
    gone = {category.id for category, name in pairs if name is not None and not name[0]}
    categories = [
        category if name is None else _called(category, *name)
        for category, name in pairs
        if category.id not in gone
    ]
    annotations = [a for a in data.annotations if a.category_id not in gone]
    if lost := len(data.annotations) - len(annotations):
        kinds = counted(len(gone), "category", "categories")
        log.warning("left out, as told: %s of %s", counted(lost, "mask"), kinds)
    new = {(c.object, c.part): _name_of(c, name) for c, name in pairs if c.id not in gone}
    found = replace(
        data,
        images=_of_new_objects(data.images, new),
        annotations=annotations,
        categories=categories,
        inclusions=_inclusions(data, new),
    )
    accepted = accepted_overlaps(data)
    return with_accepted(found, _renamed_pairs(accepted, new)) if accepted else found


def _called(category: Category, owner: str, part: str) -> Category:
    new = Category.new(category.id, owner, part or owner)
    raw = {**category.raw, **new.raw}
    return Category(raw) if part else Category({**raw, "partlab": _flagged(category)})


def _flagged(category: Category) -> dict[str, object]:
    return {**category.raw.get("partlab", {}), "whole_object": True}


def _name_of(category: Category, name: Name | None) -> Name:
    return (category.object, category.part) if name is None else (name[0], name[1] or name[0])


def _of_new_objects(images: Sequence[Image], new: Mapping[Name, Name]) -> list[Image]:
    """Images that state an object all of whose parts went to another one now state that."""
    moved: dict[str, set[str]] = {}
    for (old, _), (owner, _) in new.items():
        moved.setdefault(old, set()).add(owner)
    only = {old: next(iter(owners)) for old, owners in moved.items() if len(owners) == 1}
    return [
        of_object(image, only[image.object])
        if isinstance(image.object, str) and only.get(image.object, image.object) != image.object
        else image
        for image in images
    ]


def of_object(image: Image, owner: str) -> Image:
    """The image, stating that it shows this object."""
    return Image({**image.raw, OURS: {**image.raw.get(OURS, {}), "object": owner}})


def _inclusions(data: Dataset, new: Mapping[Name, Name]) -> Inclusions:
    found: dict[str, list[tuple[str, str]]] = {}
    for owner, around in data.inclusions.items():
        for inner, outer in pairs_of(around):
            small, large = (new.get((owner, part), (owner, part)) for part in (inner, outer))
            if small[0] == large[0] and small != large:
                found.setdefault(small[0], []).append((small[1], large[1]))
    return {owner: spelled(pairs) for owner, pairs in found.items()}


def _renamed_pairs(accepted: Pairs, new: Mapping[Name, Name]) -> Pairs:
    found: Pairs = {}
    for owner, pairs in accepted.items():
        for pair in pairs:
            small, large = (new.get((owner, part), (owner, part)) for part in pair)
            if small[0] == large[0] and small != large:
                found.setdefault(small[0], []).append((small[1], large[1]))
    return found


def united(data: Dataset, *, exactly: bool = False) -> Dataset:
    """The data set with the categories of one name made one: the first, with all their masks.

    `exactly` leaves those alone that differ in case or in the signs between words.
    """

    def key(category: Category) -> tuple[str, str]:
        return (category.object, category.part) if exactly else name_key(category)

    first: dict[tuple[str, str], Category] = {}
    for category in data.categories:
        first.setdefault(key(category), category)
    if len(first) == len(data.categories):
        return data
    keepers = [first[key(category)] for category in data.categories]
    to = {c.id: keeper.id for c, keeper in zip(data.categories, keepers, strict=True)}
    called = renamed(data, [(k.object, k.part) for k in keepers])
    merged = [a for a in data.annotations if to.get(a.category_id, a.category_id) != a.category_id]
    count = len(data.categories) - len(first)
    kinds = counted(count, "category", "categories")
    log.info("%s joined those of their name, with %s", kinds, counted(len(merged), "mask"))
    return replace(
        data,
        images=called.images,
        inclusions=called.inclusions,
        top=called.top,
        annotations=[
            a
            if to.get(a.category_id, a.category_id) == a.category_id
            else a.changed(category_id=to[a.category_id])
            for a in data.annotations
        ],
        categories=list(first.values()),
    )
