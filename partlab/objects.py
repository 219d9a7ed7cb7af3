"""Which categories of a data set are parts of an object, and which two are one and the same.

A file of another tool may name parts without objects, list the root of its labels or the
background among them, or have `head` and `Head`. Nothing is guessed: roots and background go, and
for the rest a reader refuses and says the way out.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace

from partlab.counts import counted, few
from partlab.errors import SchemaError
from partlab.parts import folded
from partlab.schema import BACKGROUND, Category, Dataset, Raw

log = logging.getLogger(__name__)


def parts_only(dataset: Dataset) -> Dataset:
    """The data set without background and without roots that are only others' supercategory."""
    used = {annotation.category_id for annotation in dataset.annotations}
    above = {c.supercategory for c in dataset.categories if isinstance(c.supercategory, str)}
    ground = [c for c in dataset.categories if c.stands_alone and folded(c.object) in BACKGROUND]
    roots = [
        c
        for c in dataset.categories
        if c.stands_alone and c.object in above - {c.supercategory} and c.id not in used
    ]
    if not (ground or roots):
        return dataset
    left = [c for c in dataset.categories if all(c is not one for one in (*ground, *roots))]
    gone = {c.id for c in (*ground, *roots)} - {c.id for c in left}  # an id may be two
    kept = [a for a in dataset.annotations if a.category_id not in gone]
    where, names = dataset.path or "the data set", _named([*ground, *roots])
    log.info("%s: left out, because they are no parts: %s", where, names)
    if lost := len(dataset.annotations) - len(kept):
        are = counted(lost, "mask of the background is", "masks of the background are")
        log.warning("%s: %s left out", where, are)
    return replace(dataset, annotations=kept, categories=left)


def without_object(categories: Iterable[Category]) -> list[Category]:
    """Categories of which nothing says whose part they are, nor that they are an object."""
    categories = list(categories)
    owners = {folded(c.object) for c in categories if not c.stands_alone}
    return [c for c in categories if c.stands_alone and folded(c.object) not in owners]


def name_key(category: Category) -> tuple[str, str]:
    """Equal for categories that a person would call by one name: `head`, `Head`."""
    return folded(category.object), folded(category.part)


def same_names(categories: Iterable[Category]) -> list[list[Category]]:
    """The categories that share a name with another one, together."""
    groups: dict[tuple[str, str], list[Category]] = {}
    for category in categories:
        groups.setdefault(name_key(category), []).append(category)
    return [group for group in groups.values() if len(group) > 1]


def require_objects(dataset: Dataset) -> None:
    """Refuse a data set whose categories do not say whose parts they are.

    Raises:
        SchemaError: some do not; the hint is how to say it once.
    """
    if found := without_object(dataset.categories):
        some, total = len(found), len(dataset.categories)
        which = "its categories" if some == total else f"{some} of {total} categories"
        raise SchemaError(
            f"{_where(dataset)}: {which} do not say which object they are a part of: "
            f"{_named(found)}",
            hint=f"say it once: partlab data import {_where(dataset)} --object NAME --out OUT; "
            f"for several objects, partlab data import {_where(dataset)} --dry-run > map.csv "
            "writes a table to edit and pass with --names",
        )


def require_names(dataset: Dataset) -> None:
    """Refuse a data set with two categories of one name.

    Raises:
        SchemaError: there are some; the hint is how to make them one.
    """
    if found := same_names(dataset.categories):
        named = " and ".join(f"{c.id} ({c.name})" for c in found[0])
        more = f", and so do those of {len(found) - 1} other names" if len(found) > 1 else ""
        raise SchemaError(
            f"{_where(dataset)}: the categories {named} share one name{more}",
            hint=f"make them one: partlab data import {_where(dataset)} --unite --out OUT; "
            "or give each its own name",
        )


def require_ids(dataset: Dataset) -> None:
    """Refuse a data set where an id is two images or two categories: whose masks are whose?

    Raises:
        SchemaError: there is such an id; both records are named.
    """
    images = ((image.id, image.file_name, image.raw) for image in dataset.images)
    categories = ((one.id, one.name, one.raw) for one in dataset.categories)
    for what, records in (("images", images), ("categories", categories)):
        first: dict[int, tuple[str, Raw]] = {}
        for id, name, raw in records:
            before = first.setdefault(id, (name, raw))
            if before[1] is raw:
                continue
            same = before[1] == raw
            raise SchemaError(
                f"{_where(dataset)}: the {what} {before[0]} and {name} share the id {id}, so it "
                "is not known whose the masks of that id are",
                hint=f"repair it: partlab data check {_where(dataset)} --fix OUT"
                if same and what == "images"
                else "give each its own id, in its masks too",
            )


def _where(dataset: Dataset) -> str:
    return str(dataset.path or "the data set")


def _named(categories: list[Category]) -> str:
    names = [str(category.raw.get("name", "")) for category in categories]
    return few(names, 8)
