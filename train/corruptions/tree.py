"""ImageNet-C as it is published: corruption/severity/wnid/picture."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from partlab.errors import DatasetError, NotFoundError
from partlab.images import is_image_name
from train.corruptions.generate import CORRUPTIONS, SEVERITIES

Cell = tuple[str, int]
_GROUPS = ("", "noise", "blur", "weather", "digital")  # folders of the published archives


@dataclass(frozen=True, slots=True)
class CorruptionTree:
    """The pictures of each corruption and severity, as (key `wnid/file`, wnid, path)."""

    root: Path
    cells: dict[Cell, tuple[tuple[str, str, Path], ...]] = field(repr=False)
    missing: tuple[str, ...]  # "fog:3" that has no picture
    left_out: int  # pictures of classes that were not asked for, or in no class
    uneven: bool  # the cells do not hold the same pictures

    def __str__(self) -> str:
        """One sentence for people."""
        sizes = {len(cell) for cell in self.cells.values()}
        told = [f"{len(self.cells)} of {len(CORRUPTIONS) * len(SEVERITIES)} corruptions and "
                f"severities, {min(sizes)} to {max(sizes)} pictures each"]  # fmt: skip
        if self.missing:
            told.append(f"missing {', '.join(self.missing)}")
        if self.left_out:
            told.append(f"{self.left_out} pictures left out, of other classes or of none")
        if self.uneven:
            told.append("they do not hold the same pictures, so their means mix picture lists")
        return "; ".join(told)


def read_tree(root: str | Path, classes: Sequence[str] | None = None) -> CorruptionTree:
    """Look at a folder of ImageNet-C, with or without the folders noise, blur, weather, digital.

    Args:
        root: the folder; the published `extra` corruptions are not read.
        classes: those wanted; pictures of others are left out and counted.

    Raises:
        NotFoundError: there is no such folder.
        DatasetError: it holds no picture at corruption/severity/class.
    """
    root = Path(root)
    if not root.is_dir():
        raise NotFoundError(f"no folder {root}")
    wanted, cells, left_out = None if classes is None else set(classes), {}, 0
    for cell in ((c, s) for c in CORRUPTIONS for s in SEVERITIES):
        found = sorted(_pictures(root, *cell))
        kept = tuple(one for one in found if one[1] and (wanted is None or one[1] in wanted))
        left_out += len(found) - len(kept)
        if kept:
            cells[cell] = kept
    if not cells:
        raise DatasetError(
            f"{root} holds no picture of ImageNet-C that was asked for",
            hint="it has folders as gaussian_noise/1/n01440764; see the names of the classes",
        )
    missing = [f"{c}:{s}" for c in CORRUPTIONS for s in SEVERITIES if (c, s) not in cells]
    kinds = Counter(frozenset(key for key, _, _ in cell) for cell in cells.values())
    return CorruptionTree(root, cells, tuple(missing), left_out, len(kinds) > 1)


def _pictures(root: Path, corruption: str, severity: int) -> Iterator[tuple[str, str, Path]]:
    """Those right in the severity's folder have no class: "" stands for it."""
    for group in _GROUPS:
        folder = root / group / corruption / str(severity)
        for path in folder.rglob("*") if folder.is_dir() else ():
            if is_image_name(path) and path.is_file():
                owner = path.relative_to(folder).parts[0] if path.parent != folder else ""
                yield path.relative_to(folder).as_posix(), owner, path
