"""The same picture in several places, found without opening a million files.

Two are the same if their paths are, or if they have one class and one base name and the files
behind them are one (links) or equal. Only files of one class and base name are ever looked at,
and of those as long as each other a little of the beginning, the middle and the end: copies of
a whole data set would take hours to read.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from partlab.places import is_remote, opened, real_name, size_of

Order = NDArray[np.int64]
_BLOCK = 4096


def first_of_each(
    roots: Sequence[Path],
    root: NDArray[np.integer[Any]],
    names: Any,
    place: NDArray[np.integer[Any]],
    class_of: NDArray[np.integer[Any]],
) -> NDArray[np.bool_]:
    """Which pictures to keep, shape (n,): of each the first, in the order given.

    `names` are pyarrow strings below `roots[root]`; `place` says which pictures come from one
    source, which are compared by path alone.
    """
    keep = _first(_codes(_paths(roots, root, names)))
    if len(np.unique(place)) > 1:
        base = _codes(pc.replace_substring_regex(names, r"^.*/", ""))
        pair = base.astype(np.int64) * (int(class_of.max(initial=0)) + 2) + class_of
        keep &= ~_repeats(pair, keep, place, lambda at: roots[root[at]] / names[int(at)].as_py())
    return keep


def _paths(roots: Sequence[Path], root: NDArray[np.integer[Any]], names: Any) -> Any:
    real = pa.array(map(real_name, roots), pa.string())
    odd = pc.match_substring_regex(names, r"(^|/)\.{1,2}/|//")
    if pc.any(odd).as_py():
        names = pa.array(map(os.path.normpath, names.to_pylist()), pa.string())
    return pc.binary_join_element_wise(real.take(pa.array(root)), names, "/")


def _codes(strings: Any) -> NDArray[np.int64]:
    found = strings.dictionary_encode()
    chunk = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
    return np.asarray(chunk.indices.to_numpy(), np.int64)


def _first(codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    keep = np.zeros(len(codes), bool)
    keep[np.unique(codes, return_index=True)[1]] = True
    return keep


def _repeats(
    pair: NDArray[np.int64],
    keep: NDArray[np.bool_],
    place: NDArray[np.integer[Any]],
    path: Callable[[Any], Path],
) -> NDArray[np.bool_]:
    """Those whose file is that of an earlier one of the same class and base name."""
    found = np.zeros(len(pair), bool)
    rows = np.flatnonzero(keep)
    rows = rows[np.argsort(pair[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(pair[rows], prepend=-1))
    sizes = np.diff(np.append(starts, len(rows)))
    for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
        group = rows[start : start + size]
        if len(np.unique(place[group])) > 1:
            _mark(group, place, path, found)
    return found


def _mark(
    group: Order,
    place: NDArray[np.integer[Any]],
    path: Callable[[Any], Path],
    found: NDArray[np.bool_],
) -> None:
    kept: list[Any] = []
    for at in group:
        others = (path(one) for one in kept if place[one] != place[at])
        if any(_same(path(at), other) for other in others):
            found[at] = True
        else:
            kept.append(at)


def _same(a: Path, b: Path) -> bool:
    """Whether two files of one base name are one; where one is not there, their folders tell."""
    if is_remote(a) or is_remote(b):
        sizes = size_of(a), size_of(b)
        if None in sizes:
            return a.parts[-2:] == b.parts[-2:]
        return sizes[0] == sizes[1] and _glance(a, sizes[0] or 0) == _glance(b, sizes[0] or 0)
    try:
        one, other = a.stat(), b.stat()
        if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
            return True
        return one.st_size == other.st_size and _glance(a, one.st_size) == _glance(b, one.st_size)
    except OSError:
        return a.parts[-2:] == b.parts[-2:]


def _glance(path: Path, size: int) -> list[bytes]:
    """All of a small file, three blocks of a large one."""
    with opened(path) as handle:
        blocks = []
        for start in (0, size // 2, max(size - _BLOCK, 0)):
            handle.seek(start)
            blocks.append(handle.read(_BLOCK))
        return blocks
