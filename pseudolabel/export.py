"""From a pseudo-label store to layouts that other tools read.

COCO keeps the layers, scores and provenance, and is written in one pass with flat memory; the
authors' layout (img/, seg/, whether_pseudo/) is written one object category at a time.
"""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeVar

from annotate.data.formats import get_format
from annotate.data.formats.pictures import Pictures, is_safe_name, place
from partlab.coco import write_coco
from partlab.errors import DatasetError
from partlab.folders import new_folder
from partlab.parts import split_name
from partlab.progress import track
from partlab.schema import Annotation, Category, Dataset, Image
from pseudolabel.store import Row, Store

log = logging.getLogger(__name__)

T = TypeVar("T")
SPLIT = "pseudo"


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote and what it left out."""

    out: Path
    images: int
    masks: int
    blank: int  # images without parts, among `images`
    blank_left_out: int
    unreadable_left_out: int


def provenance(store: Store) -> str:
    """`pseudo:<run>`: which network made the masks (D-05)."""
    return f"pseudo:{Path(store.manifest.run).name}"


def categories(store: Store) -> list[Category]:
    """The store's parts as COCO categories; id = label + 1."""
    return [Category.new(label, *split_name(name)) for label, name in enumerate(store.names, 1)]


def export_coco(
    store: Store,
    out: str | Path,
    *,
    pictures: Pictures = Pictures.link,
    skip_blank: bool = False,
    force: bool = False,
) -> Exported:
    """Write `out/annotations/pseudo.json` and the pictures under `out/images/`.

    Unreadable images are left out. Blank ones stay, without masks, unless `skip_blank`.

    Raises:
        OutputExistsError: `out` holds files, and `force` is off; or it holds the store or its
            images.
        DatasetError: a shard is damaged.
    """
    ids = count(1)

    def rows() -> Iterator[Row]:
        return track(_kept(store, skip_blank), "images", len(store))

    dataset = Dataset(
        _Streamed(lambda: (_image(store, row, _safe_name(row)) for row in rows())),
        _Streamed(lambda: _annotations(store, rows(), ids)),
        categories(store),
        store.inclusions,
        top={"info": {"description": f"pseudo labels of {store.manifest.run}"}},
    )
    with _claimed(out, store, force) as folder:
        write_coco(dataset, folder / "annotations" / f"{SPLIT}.json")
        links = ((store.image_path(row), folder / "images" / _safe_name(row)) for row in rows())
        place(links, pictures)
    return _told(store, Path(out), next(ids) - 1, skip_blank)


def export_prepared(
    store: Store,
    out: str | Path,
    *,
    pictures: Pictures = Pictures.link,
    skip_blank: bool = False,
    force: bool = False,
) -> Exported:
    """Write the authors' layout; a blank image gets an empty mask and the flag 1 (pseudo).

    The released trainer ignores empty masks when its `ignore_blank` is on; `skip_blank` leaves
    such images out for trainers that do not (B4.7).

    Raises:
        DatasetError: an image's object category is not known: the layout has class folders.
        SchemaError: two images would share a mask file.
        OutputExistsError: `out` holds files, and `force` is off; or it holds the store or its
            images.
    """
    groups = _by_object(store, skip_blank)
    ids, layout = count(1), get_format("prepared")
    log.info("%s", layout.note)
    with _claimed(out, store, force) as folder:
        for positions in track(groups.values(), "object categories", len(groups)):
            rows = [store.row(position) for position in positions]
            dataset = Dataset(
                [_image(store, row, row.file_name) for row in rows],
                list(_annotations(store, rows, ids)),
                categories(store),
                store.inclusions,
                image_root=_root(store, rows),
            )
            layout.write(dataset, folder, SPLIT, pictures)
    return _told(store, Path(out), next(ids) - 1, skip_blank)


def _root(store: Store, rows: Sequence[Row]) -> Path:
    """The folder of the pictures: the store's, or one around them all where some lie elsewhere."""
    if all(is_safe_name(row.file_name) for row in rows):
        return store.image_root
    return Path(os.path.commonpath([store.image_path(row).absolute().parent for row in rows]))


def _claimed(out: str | Path, store: Store, force: bool) -> AbstractContextManager[Path]:
    return new_folder(out, force=force, inputs=[store.path, store.image_root])


class _Streamed(Sequence[T]):
    """A sequence that is read anew each time, so that it never lies in memory."""

    def __init__(self, make: Callable[[], Iterator[T]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[T]:
        return self._make()

    def __len__(self) -> int:
        return sum(1 for _ in self._make())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(self._make())[index]
        return next(islice(self._make(), index, None))


def _kept(store: Store, skip_blank: bool) -> Iterator[Row]:
    for row in store.rows():
        if _wanted(row, skip_blank):
            yield row


def _wanted(row: Row, skip_blank: bool) -> bool:
    return row.status == "labelled" or (row.status == "blank" and not skip_blank)


def _safe_name(row: Row) -> str:
    """A name inside the new folder; images of a list file may lie anywhere."""
    if is_safe_name(row.file_name):
        return row.file_name
    return f"{row.object or 'images'}/{row.image_id:08d}-{Path(row.file_name).name}"


def _image(store: Store, row: Row, name: str) -> Image:
    said: dict[str, Any] = {"object": row.object, "object_source": row.object_source}
    known = {key: value for key, value in said.items() if value is not None}
    size = row.width, row.height
    return Image.new(row.image_id, name, size, provenance=provenance(store), **known)


def _annotations(store: Store, rows: Iterable[Row], ids: Iterator[int]) -> Iterator[Annotation]:
    made_by = provenance(store)
    for row in rows:
        for mask in row.masks:
            yield Annotation.new(
                next(ids),
                row.image_id,
                mask.label + 1,
                dict(mask.rle),
                bbox=[float(side) for side in mask.bbox],
                area=mask.area,
                object_id=row.image_id,  # one object category an image, its instances united
                provenance=made_by,
                score=round(mask.score, 6),
            )


def _by_object(store: Store, skip_blank: bool) -> Mapping[str, list[int]]:
    groups: defaultdict[str, list[int]] = defaultdict(list)
    columns = ["file_name", "object", "status"]
    for position, row in enumerate(store.rows(columns)):
        if not _wanted(row, skip_blank):
            continue
        if row.object is None:
            raise DatasetError(
                f"{row.file_name} has no object category, and this layout has one folder for each",
                hint="label it with --classes FILE, or export with --format coco",
            )
        groups[row.object].append(position)
    return groups


def _told(store: Store, out: Path, masks: int, skip_blank: bool) -> Exported:
    found = Counter(row.status for row in store.rows(["status"]))
    blank, left = (0, found["blank"]) if skip_blank else (found["blank"], 0)
    return Exported(out, found["labelled"] + blank, masks, blank, left, found["unreadable"])
