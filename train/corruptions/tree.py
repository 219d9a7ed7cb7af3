"""ImageNet-C as it is published: corruption/severity/wnid/picture."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from partlab.counts import counted
from partlab.errors import DatasetError, NotFoundError
from partlab.files import sha256_json
from partlab.images import is_image_name
from train.common_corruptions import CORRUPTIONS, SEVERITIES
from train.corruptions.generate import check

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
            told.append(
                f"{counted(self.left_out, 'picture')} left out, of other classes or of none"
            )
        if self.uneven:
            told.append("they do not hold the same pictures, so their means mix picture lists")
        return "; ".join(told)

    @property
    def fingerprint(self) -> str:
        """Hash of names and lengths of the files; none of them is opened."""
        files = [[*cell, [(key, path.stat().st_size) for key, _, path in found]]
                 for cell, found in self.cells.items()]  # fmt: skip
        return sha256_json(files)

    def of(self, names: Sequence[str], labels: Sequence[str]) -> "CorruptionTree":
        """The pictures of a list (`class/file`), in its order and under its labels.

        The file names' endings may differ: what was a PNG is a JPEG here. Others are left out.

        Raises:
            DatasetError: a picture of the list is not there under some corruption.
        """
        wanted = dict(zip(map(_stem, names), zip(names, labels, strict=True), strict=False))
        if len(wanted) < len(names):
            raise DatasetError(
                "two pictures of the list differ in the endings of their names alone",
                hint="rename one of them",
            )
        cells, others = {}, set[str]()
        for cell, found in self.cells.items():
            have = {_stem(key): path for key, _, path in found}
            if lost := [name for stem, (name, _) in wanted.items() if stem not in have]:
                raise DatasetError(
                    f"{self.root} has {len(lost)} of {len(names)} pictures not under "
                    f"{cell[0]}, severity {cell[1]}, first {lost[0]}",
                    hint="--list a list of the pictures that it has under every corruption",
                )
            others |= have.keys() - wanted.keys()
            cells[cell] = tuple((*wanted[stem], have[stem]) for stem in wanted)
        return replace(self, cells=cells, left_out=self.left_out + len(others), uneven=False)

    def only(self, corruptions: Sequence[str], severities: Sequence[int]) -> "CorruptionTree":
        """These corruptions and severities.

        Raises:
            UnknownNameError, ConfigError: there is no such corruption or severity.
            DatasetError: it has none of them.
        """
        asked = [(c, s) for c in corruptions for s in severities]
        for cell in asked:
            check(*cell)
        cells = {cell: self.cells[cell] for cell in asked if cell in self.cells}
        if not cells:
            raise DatasetError(f"{self.root} has none of the corruptions asked for")
        return replace(self, cells=cells, missing=tuple(f"{c}:{s}" for c, s in asked
                                                        if (c, s) not in cells))  # fmt: skip


def _stem(key: str) -> str:
    return PurePosixPath(key).with_suffix("").as_posix()


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
