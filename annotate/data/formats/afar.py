"""A source with a URL: brought into a scratch folder for the time of an import."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotate.data.formats.archive import standing_in
from partlab.errors import NotFoundError, PartlabError
from partlab.files import make_folder
from partlab.folders import scratch_beside
from partlab.places import fetch, is_remote, listing, size_of
from partlab.progress import track

_AT_ONCE = 64


@contextmanager
def brought(path: Path, *, near: Path) -> Iterator[Path]:
    """Yield `path`, or of one with a URL a copy beside `near`, removed at the end.

    Raises:
        NotFoundError: nothing is there.
        PartlabError: more is there than fits on the disk.
        PlaceError: it cannot be had.
    """
    if not is_remote(path):
        yield path
        return
    scratch = scratch_beside(near)
    with standing_in(path, scratch):
        yield _all_of(path, make_folder(scratch))


def _all_of(path: Path, scratch: Path) -> Path:
    if path.is_file():
        _bring(path.parent, {path.name: size_of(path) or 0}, scratch)
        return scratch / path.name
    _bring(path, listing(path), scratch)
    return scratch


def _bring(root: Path, sizes: dict[str, int], scratch: Path) -> None:
    if not sizes:
        raise NotFoundError(f"nothing is at {root}")
    if (total := sum(sizes.values())) > shutil.disk_usage(scratch).free:
        raise PartlabError(
            f"{root} holds {total / 1e9:.1f} GB, more than is free at {scratch.parent}",
            hint="free some space or choose another --out",
        )
    names = [*sizes]
    for start in track(
        range(0, len(names), _AT_ONCE), "fetching", total=-(-len(names) // _AT_ONCE)
    ):
        fetch(root, names[start : start + _AT_ONCE], scratch)
    if lost := [name for name in names if not (scratch / name).is_file()]:
        raise PartlabError(f"{root}/{lost[0]} was taken away meanwhile", hint="try again")
