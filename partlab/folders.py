"""Folders: whose they are, and how one comes to be whole.

A folder is ours to write into when it is not there, is empty, or holds nothing but what its caller
writes itself and what is half written. A mark, such as the config.json of a run, makes all of it
ours. It is ours to clear when somebody said so (`force`) and neither an input nor an annotation
work lies in it, nor it in a work: what people drew cannot be made again.
"""

import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from partlab.counts import few
from partlab.errors import OutputExistsError, PartlabError
from partlab.files import cannot_write, is_scratch, make_folder, read_json
from partlab.places import is_remote, located, need_local, upload

WORK = "work.json"
"""In the folder of every annotation work, and in no other."""


def is_work(folder: str | Path) -> bool:
    """Whether a folder holds an annotation work."""
    return (located(folder) / WORK).is_file()


def is_store(folder: str | Path) -> bool:
    """Whether a folder holds a pseudo-label store, finished or not.

    Exported data sets and samples have a manifest too; a damaged one is for its reader to tell.
    """
    file = located(folder) / "manifest.json"
    if not file.is_file():
        return False
    try:
        found = read_json(file)
    except PartlabError:
        return True
    return not isinstance(found, dict) or "shard_size" in found


def foreign_in(folder: Path, ours: Collection[str] = ()) -> list[str]:
    """What a folder, where there is one, holds besides `ours` and what is half written."""
    there = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in there if path.name not in ours and not is_scratch(path))


def need_own(folder: Path, what: str, ours: Collection[str] = (), *, hint: str) -> None:
    """See that a folder without a mark is ours to write into; `what` is what it is to hold.

    Raises:
        OutputExistsError: it is a file, or holds other things than `ours`.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file, not a folder", hint=hint)
    if foreign := foreign_in(folder, ours):
        raise OutputExistsError(
            f"{folder} is not empty and holds no {what} ({few(foreign)})", hint=hint
        )


def need_clearable(path: Path) -> None:
    """See that no annotation work is lost if a folder is cleared.

    Raises:
        OutputExistsError: it holds one, or belongs to one.
    """
    whole = path.resolve()
    around = next((folder for folder in (whole, *whole.parents) if is_work(folder)), None)
    inside = next((Path(folder) for folder, _, files in os.walk(path) if WORK in files), None)
    if (work := around or inside) is not None:
        how = "belongs to" if around else "holds"
        raise OutputExistsError(
            f"{path} {how} the annotation work in {work}", hint="choose another --out"
        )


def need_free(path: Path, *, force: bool = False, inputs: Iterable[str | Path | None] = ()) -> None:
    """See that `claim_folder` may have this folder; nothing is changed.

    Raises:
        OutputExistsError: as `claim_folder`.
    """
    for needed in inputs:
        if needed is not None and _lies_in(located(needed), path):
            raise OutputExistsError(
                f"{path} is or holds the input {needed}", hint="choose another --out"
            )
    if not path.is_file() and not foreign_in(path):
        return
    if not force:
        raise OutputExistsError(
            f"{path} already exists and is not empty",
            hint="choose another --out, or pass --force to replace it",
        )
    need_clearable(path)


def _lies_in(inner: Path, outer: Path) -> bool:
    if is_remote(inner) or is_remote(outer):
        return f"{inner}/".startswith(f"{outer}/")
    return inner.resolve().is_relative_to(outer.resolve())


def claim_folder(
    path: str | Path, *, force: bool = False, inputs: Iterable[str | Path | None] = ()
) -> Path:
    """Make an output folder that must be new or empty; `force` clears an old one.

    Raises:
        OutputExistsError: it holds files, and `force` is off; or clearing it would remove one
            of the `inputs`, or anything of an annotation work.
    """
    path = need_local(located(path), "this folder")
    need_free(path, force=force, inputs=inputs)
    if path.is_file():
        path.unlink()
    elif foreign_in(path):
        shutil.rmtree(path)
    return make_folder(path)


@contextmanager
def new_folder(
    path: str | Path, *, force: bool = False, inputs: Iterable[str | Path | None] = ()
) -> Iterator[Path]:
    """Yield a scratch folder beside `path` that takes its place when the block ends well.

    When it does not, the old folder (`force`) or none is there, so the same command can be run
    again. Links to be made must be absolute. A killed process leaves its hidden folder, which
    nothing takes for data. Errors name `path`, not the scratch folder. What has a URL is written
    here and put there in the end, JSON files last; what is there already is never cleared.

    Raises:
        OutputExistsError: as `claim_folder`.
        PartlabError: the folder cannot be made, or the scratch one cannot take its place. What
            else the block raises comes out as it is.
    """
    path, inputs = located(path), [*inputs]
    need_free(path, force=force and not is_remote(path), inputs=inputs)
    if is_remote(path):
        with TemporaryDirectory(prefix="partlab-") as folder:
            yield Path(folder)
            _put_afar(Path(folder), path)
        return
    scratch = scratch_beside(path)
    try:
        yield make_folder(scratch)
        put_in_place(scratch, path, force=force, inputs=inputs)
    except PartlabError as error:
        error.message = error.message.replace(str(scratch), str(path))
        error.args = (error.message,)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _put_afar(folder: Path, path: Path) -> None:
    files = [Path(place, name) for place, _, names in os.walk(folder) for name in names]
    pairs = [(file, path / file.relative_to(folder).as_posix()) for file in files]
    upload([pair for pair in pairs if pair[0].suffix != ".json"])
    upload([pair for pair in pairs if pair[0].suffix == ".json"])


def put_in_place(
    scratch: Path, path: Path, *, force: bool = False, inputs: Iterable[str | Path | None] = ()
) -> None:
    """Give a finished folder its name.

    Raises:
        OutputExistsError, PartlabError: as `new_folder`.
    """
    claim_folder(path, force=force, inputs=inputs)
    _into(scratch, path)


def scratch_beside(path: Path) -> Path:
    """A name for a hidden folder beside `path`, of this call alone."""
    whole = path.absolute()
    return whole.parent / f".{whole.name}.{token_hex(8)}.tmp"


def _into(scratch: Path, path: Path) -> None:
    """By renaming; what is in it one by one where `path` is a mount or a link to a folder."""
    try:
        scratch.replace(path)
    except OSError:
        try:
            for child in sorted(scratch.iterdir()):
                shutil.move(child, path / child.name)
        except OSError as error:
            raise cannot_write(path, error) from error
