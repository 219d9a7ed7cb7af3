"""A folder that is whole or not there: what is refused halfway leaves nothing behind."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from partlab.errors import PartlabError
from partlab.files import claim_folder, need_free


@contextmanager
def new_folder(
    path: str | Path, *, force: bool = False, inputs: Iterable[str | Path | None] = ()
) -> Iterator[Path]:
    """Yield a scratch folder beside `path` that takes its place when the block ends well.

    When it does not, the old folder (`force`) or none is there, so the same command can be run
    again. Links to be made must be absolute.

    Raises:
        OutputExistsError: as `claim_folder`.
        PartlabError: the folder cannot be made, or the scratch one cannot take its place.
    """
    path, inputs = Path(path), [*inputs]
    need_free(path, force=force, inputs=inputs)
    scratch = scratch_beside(path)
    claim_folder(scratch, force=True)
    try:
        yield scratch
        claim_folder(path, force=force, inputs=inputs)
        _into(scratch, path)
    except OSError as error:
        where = str(error.filename or path).replace(str(scratch), str(path))
        raise PartlabError(f"cannot write {where}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def scratch_beside(path: Path, what: str = "tmp") -> Path:
    """A hidden folder for what is made on the way to `path`."""
    whole = path.absolute()
    return whole.parent / f".{whole.name}.partlab-{what}"


def _into(scratch: Path, path: Path) -> None:
    """By renaming; what is in it one by one where `path` is a mount or a link to a folder."""
    try:
        scratch.replace(path)
    except OSError:
        for child in sorted(scratch.iterdir()):
            shutil.move(child, path / child.name)
