"""A folder that is whole or not there: what is refused halfway leaves nothing behind."""

import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from partlab.files import cannot_write, claim_folder, make_folder, need_free


@contextmanager
def new_folder(
    path: str | Path, *, force: bool = False, inputs: Iterable[str | Path | None] = ()
) -> Iterator[Path]:
    """Yield a scratch folder beside `path` that takes its place when the block ends well.

    When it does not, the old folder (`force`) or none is there, so the same command can be run
    again. Links to be made must be absolute. A killed process leaves its hidden folder, which
    nothing takes for data.

    Raises:
        OutputExistsError: as `claim_folder`.
        PartlabError: the folder cannot be made, or the scratch one cannot take its place. What
            else the block raises comes out as it is.
    """
    path, inputs = Path(path), [*inputs]
    need_free(path, force=force, inputs=inputs)
    scratch = make_folder(scratch_beside(path))
    try:
        yield scratch
        put_in_place(scratch, path, force=force, inputs=inputs)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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
    return whole.parent / f".{whole.name}.{secrets.token_hex(8)}.tmp"


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
