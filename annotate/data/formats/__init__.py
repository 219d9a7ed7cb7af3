"""Layouts of part data sets on disk: each can be read, and written.

Another distribution adds one through the entry-point group `partlab.formats`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from annotate.data.formats.foreign import recognise
from annotate.data.formats.pictures import Pictures
from partlab.errors import NotFoundError, SchemaError
from partlab.layouts import find_layout
from partlab.registry import Registry
from partlab.schema import Dataset


@dataclass(frozen=True, slots=True)
class Source:
    """What to read: a file or folder, and what the layout itself may lack.

    `names` is a list of part categories for layouts that store numbers only, or a table
    (.csv: category, object, part) that says what each category of the source is.
    """

    path: Path
    images: Path | None = None  # folder the file names are relative to, if not the layout's own
    names: Path | None = None
    object: str | None = None  # object of the categories that name none
    background: frozenset[int] | None = None  # values of label maps that are no part
    offset: int = 0  # what to add to a label map's values to get the ids in `names`
    unite: bool = False  # categories of one name become one


class Format(Protocol):
    """One layout on disk; a module-level object (or module)."""

    def fits(self, path: Path) -> bool:
        """Whether the path looks like this layout, at a glance."""
        ...

    def read(self, source: Source) -> dict[str, Dataset]:
        """The data sets by split name; broken records are kept in `Dataset.broken`.

        Raises:
            NotFoundError: nothing of this layout is there.
            SchemaError: a file cannot be read at all.
        """
        ...

    def write(
        self,
        dataset: Dataset,
        out: Path,
        split: str,
        pictures: Pictures,
    ) -> None:
        """Write one split into the existing folder `out`."""
        ...


formats = Registry("format", "partlab.formats")
formats.register("coco", "annotate.data.formats.coco:layout")
formats.register("cvat", "annotate.data.formats.cvat:layout")
formats.register("labelme", "annotate.data.formats.labelme:layout")
formats.register("labelstudio", "annotate.studio.spelling.layout:layout")
formats.register("pinpp", "annotate.data.formats.pinpp:layout")
formats.register("prepared", "annotate.data.formats.prepared:layout")


def get_format(name: str) -> Format:
    """The format of that name.

    Raises:
        UnknownNameError: there is none; near names are suggested.
    """
    found: Any = formats.get(name)
    return found  # type: ignore[no-any-return]


def guess_format(path: Path) -> str:
    """Name of the format a path looks like.

    Raises:
        NotFoundError: the path does not exist, or is none of the formats.
        SchemaError: it is of a format that is known, but not read; the hint says what to do.
    """
    if not path.exists():
        raise NotFoundError(f"{path} does not exist")
    for name in formats.names():
        if get_format(name).fits(path):
            return name
    if foreign := recognise(path):
        raise SchemaError(
            f"{path} looks like {foreign[0]}, which partlab does not read", hint=foreign[1]
        )
    if passed := find_layout(path).note if path.is_dir() else "":
        raise NotFoundError(f"{path} holds no part data; {passed}", hint="name the right file")
    raise NotFoundError(
        f"{path} looks like none of the formats {', '.join(formats.names())}",
        hint="name the folder that holds annotations/, json/ or seg/, or say --format",
    )
