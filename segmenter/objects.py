"""Which object categories an image may show: what the category filter is told (P-02)."""

from collections.abc import Collection, Sequence

from partlab.errors import ConfigError
from partlab.parts import Parts
from partlab.schema import Dataset, Image

Objects = str | Collection[str] | None
"""Object categories an image may show. None: not known, no filter; (): nothing is left."""


def allowed_labels(parts: Parts, objects: Objects) -> tuple[int, ...] | None:
    """The labels that the filter leaves to an image; None switches it off.

    Raises:
        UnknownNameError: there is no such object category; near names are suggested.
        ConfigError: it is no name and no collection of names.
    """
    if objects is None:
        return None
    names = [objects] if isinstance(objects, str) else objects
    if not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"an image may not show {objects!r}",
            hint="give the name of its object category, several names, or None if not known",
        )
    return tuple(sorted(parts.labels_of(*names)))


def allowed_each(
    parts: Parts, objects: Sequence[Objects] | None, images: int
) -> list[tuple[int, ...] | None]:
    """`allowed_labels` for each of so many images; None: no filter for any.

    Raises:
        UnknownNameError: there is no such object category.
        ConfigError: there is not one entry for each image.
    """
    if objects is None:
        return [None] * images
    if isinstance(objects, str) or len(objects) != images:
        count = 1 if isinstance(objects, str) else len(objects)
        raise ConfigError(
            f"the object categories of {images} images were asked for, {count} given",
            hint="give one entry for each image: a name, several names, or None if not known",
        )
    return [allowed_labels(parts, each) for each in objects]


def objects_shown(image: Image, data: Dataset, parts: Parts) -> Objects:
    """What the filter is told of an image in a data set: the one rule for all who have one.

    The stated object category counts, else those that its masks belong to, else nothing is
    known and nothing is filtered (None: who uses this counts and says it). What the segmenter
    has no parts of leaves nothing.
    """
    shown = data.objects_of(image)
    return tuple(each for each in shown if each in parts.by_object) if shown else None
