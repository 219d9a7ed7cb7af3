"""Pictures that go along with annotations: linked, copied, or left where they are."""

import filecmp
import logging
import os
import shutil
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path, PurePosixPath

from partlab.errors import PartlabError, SchemaError

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
        PartlabError: the disk is full or the folder cannot be written to.
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
        target.parent.mkdir(parents=True, exist_ok=True)
        if how is Pictures.link:
            os.symlink(source.resolve(), target)
        else:
            shutil.copyfile(source, target)
    except OSError as error:
        raise PartlabError(
            f"cannot write {target}: {error.strerror or error}",
            hint="free some space or choose another folder; --pictures none writes no pictures",
        ) from error
