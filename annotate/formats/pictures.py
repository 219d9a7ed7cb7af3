"""Pictures that go along with annotations: linked, copied, or left where they are."""

import filecmp
import logging
import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path, PurePosixPath

from partlab.errors import PartlabError, SchemaError
from partlab.files import copy_file, make_folder

log = logging.getLogger(__name__)


class Pictures(StrEnum):
    """What happens to the picture files."""

    link = "link"
    copy = "copy"
    none = "none"


def is_safe_name(file_name: str) -> bool:
    """Whether a file name stays inside its folder (no absolute path, no `..`)."""
    path = PurePosixPath(file_name.replace("\\", "/"))
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def place(pairs: Iterable[tuple[Path, Path]], how: Pictures) -> int:
    """Put each (source, target) picture in place, one by one; how many sources were missing.

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
            if not (source.samefile(target) or filecmp.cmp(source, target, shallow=False)):
                raise SchemaError(f"two different pictures would be written to {target}")
            continue
        _put(source, target, how)
    if missing:
        log.warning("%d pictures were not found; their annotations are kept", missing)
    return missing


def _put(source: Path, target: Path, how: Pictures) -> None:
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
