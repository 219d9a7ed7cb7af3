"""Pictures that go along with annotations: linked, copied, or left where they are."""

import filecmp
import logging
import os
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

from partlab.counts import counted
from partlab.errors import PartlabError, SchemaError
from partlab.files import copy_file, make_folder, write_bytes
from partlab.pictures import is_safe_name as is_safe_name
from partlab.places import is_remote, read_bytes
from partlab.progress import track
from partlab.schema import Dataset

log = logging.getLogger(__name__)


class Pictures(StrEnum):
    """What happens to the picture files."""

    link = "link"
    copy = "copy"
    none = "none"


def place(pairs: Iterable[tuple[Path, Path]], how: Pictures) -> int:
    """Put each (source, target) picture in place, one by one; how many sources were missing.

    One that has a URL is copied, for nothing can be linked to it.

    Raises:
        SchemaError: two pictures would get the same name.
        PartlabError: a picture cannot be read, or the folder cannot be written to.
    """
    missing = 0
    if how is Pictures.none:
        return missing
    for source, target in pairs:
        if not source.is_file():
            missing += 1
            continue
        if target.exists():
            if not is_same(source, target):
                raise SchemaError(f"two different pictures would be written to {target}")
            continue
        _put(source, target, how)
    if missing:
        were = counted(missing, "picture was", "pictures were")
        log.warning("%s not found; their annotations are kept", were)
    return missing


def is_same(one: Path, other: Path) -> bool:
    """Whether two picture files hold the same bytes."""
    if is_remote(one):
        return read_bytes(one) == other.read_bytes()
    return one.samefile(other) or filecmp.cmp(one, other, shallow=False)


def in_folder(dataset: Dataset, folder: Path) -> Iterator[tuple[Path, Path]]:
    """(source, target) of every picture, targets below `folder`, for a data set that is settled.

    Raises:
        SchemaError: a file name points outside the data set.
    """
    for image in track(dataset.images, "pictures", total=len(dataset.images)):
        if not is_safe_name(image.file_name):
            raise SchemaError(
                f"image {image.id} has the file name {image.file_name!r}, outside the data set",
                hint="say with --images where its picture is, rename it, or pass --pictures none",
            )
        yield dataset.image_path(image), folder / image.file_name


def say_elsewhere(dataset: Dataset) -> None:
    """Tell which pictures lie elsewhere than stated, and what there is instead of missing ones."""
    if note := dataset.pictures.note():
        log.info("%s: %s", dataset.path or "the data set", note)
    for line in dataset.pictures.near(limit=3):
        log.info("%s", line)


def _put(source: Path, target: Path, how: Pictures) -> None:
    if is_remote(source):
        write_bytes(target, read_bytes(source))
        return
    try:
        if how is Pictures.copy:
            copy_file(source, target)
        else:
            make_folder(target.parent)
            os.symlink(source.resolve(), target)
    except OSError as error:
        raise PartlabError(
            f"cannot link {target}: {error.strerror or error}",
            hint="a disk without links needs --pictures copy; --pictures none writes no pictures",
        ) from error
