"""Formats of part data sets on disk: a file each, which says all about it (`formats.layout`).

Another distribution adds one through the entry-point group `partlab.formats`.
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

from annotate.data.formats.archive import OWN
from annotate.data.formats.foreign import recognise
from annotate.data.formats.layout import Layout
from partlab.errors import NotFoundError, SchemaError
from partlab.files import refuse_web_page
from partlab.images import is_image_name
from partlab.layouts import find_layout, split_folders
from partlab.registry import Registry


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


_GLANCE = 20  # folders that are looked into to name the right one

formats = Registry("format", "partlab.formats")
formats.register("ade20k", "annotate.data.formats.ade20k:layout")
formats.register("coco", "annotate.data.formats.coco:layout")
formats.register("cvat", "annotate.data.formats.cvat:layout")
formats.register("datumaro", "annotate.data.formats.datumaro:layout")
formats.register("fiftyone", "annotate.data.formats.fiftyone:layout")
formats.register("huggingface", "annotate.data.formats.huggingface:layout")
formats.register("labelme", "annotate.data.formats.labelme:layout")
formats.register("labelstudio", "annotate.studio.spelling.layout:layout")
formats.register("panopticparts", "annotate.data.formats.panopticparts:layout")
formats.register("partimagenet", "annotate.data.formats.partimagenet:layout")
formats.register("pascalpart", "annotate.data.formats.pascalpart:layout")
formats.register("pinpp", "annotate.data.formats.pinpp:layout")
formats.register("prepared", "annotate.data.formats.prepared:layout")
formats.register("supervisely", "annotate.data.formats.supervisely:layout")
formats.register("via", "annotate.data.formats.via:layout")
formats.register("voc", "annotate.data.formats.voc:layout")
formats.register("yolo", "annotate.data.formats.yolo:layout")


def get_format(name: str) -> Layout:
    """The format of that name.

    Raises:
        UnknownNameError: there is none; near names are suggested.
    """
    return cast("Layout", formats.get(name))


def guess_format(path: Path) -> str:
    """Name of the format a path looks like.

    Raises:
        NotFoundError: the path does not exist, or is none of the formats.
        SchemaError: it is of a format that is known, but not read; the hint says what to do.
    """
    if not path.exists():
        raise NotFoundError(f"{path} does not exist")
    if name := _looks_like(path) or _looks_like_each(path):
        return name
    if path.is_file():
        refuse_web_page(path)
    if not _below(path) and (foreign := recognise(path)):
        raise SchemaError(
            f"{path} looks like {foreign[0]}, which partlab does not read", hint=foreign[1]
        )
    if passed := find_layout(path).note if path.is_dir() else "":
        raise NotFoundError(
            f"{path} holds no part data; {passed}", hint=_below(path) or "name the right file"
        )
    if any(is_image_name(one) for below in ("*", "*/*") for one in path.glob(below)):
        raise NotFoundError(
            f"{path} holds pictures, and no file that says what is drawn in them",
            hint="name the annotation file with --images and this folder; pictures alone are for "
            "partlab pseudolabel and partlab studio create",
        )
    read = [name for name in formats.names() if get_format(name).reads]
    raise NotFoundError(
        f"{path} looks like none of the formats {', '.join(read)}",
        hint=_below(path)
        or "name the folder that holds annotations/, json/ or seg/, or say --format",
    )


def _below(path: Path) -> str:
    """Which folders and archives in it to name instead: people often name the folder above."""
    found = [f"{folder} ({name})" for folder, name in formats_below(path, depth=2).items()]
    found += [f"{file} (zip archive)" for file in sorted(path.glob("*.zip"))[:_GLANCE]]
    return f"name what is in it: {', '.join(found)}" if found else ""


def formats_below(path: Path, depth: int = 1) -> dict[Path, str]:
    """Folders in a folder that look like a format, with its name; of those no deeper ones."""
    found: dict[Path, str] = {}
    folders = (one for one in sorted(path.glob("*/")) if one.is_dir() and one.name not in OWN)
    for folder in islice((one for one in folders if not one.name.startswith(".")), _GLANCE):
        if name := _looks_like(folder) or _looks_like_each(folder):
            found[folder] = name
        elif depth > 1:
            found |= formats_below(folder, depth - 1)
    return found


def _looks_like(path: Path) -> str | None:
    return next((name for name in formats.names() if get_format(name).fits(path)), None)


def _looks_like_each(path: Path) -> str | None:
    """The one format of all folders that are called like splits."""
    found = {_looks_like(folder) for folder in split_folders(path).values()}
    return found.pop() if len(found) == 1 else None
