"""Other formats into a part data set, and back; pictures pass one by one."""

import logging
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotate.formats import Source, get_format, guess_format
from annotate.formats.archive import is_zip, unpacked
from annotate.formats.pictures import Pictures
from partlab.coco import find_splits, read_coco
from partlab.errors import NotFoundError
from partlab.files import need_free
from partlab.folders import new_folder
from partlab.schema import Dataset, Raw

log = logging.getLogger(__name__)


def import_folder(
    path: str | Path,
    out: str | Path,
    *,
    format: str | None = None,
    images: Path | None = None,
    names: Path | None = None,
    object: str | None = None,
    pictures: Pictures = Pictures.link,
    force: bool = False,
) -> Raw:
    """Read `path` and write it as our own data set; returns counts of each split.

    A zip archive is unpacked for the time of the import, so its pictures are copied. `object`
    says whose parts they are where the file names parts alone.

    Raises:
        NotFoundError: nothing of the format is there.
        SchemaError: a file cannot be read at all.
        OutputExistsError: `out` holds files, and `force` is off.
    """
    path, out = Path(path), Path(out)
    _require(path, images, names)
    need_free(out, force=force, inputs=[path, images, names])
    with ExitStack() as stack:
        source = Source(path, images, names, object)
        if is_zip(path):
            source = replace(source, path=stack.enter_context(unpacked(path, near=out)))
            pictures = Pictures.copy if pictures is Pictures.link else pictures
        name = format or guess_format(source.path)
        found = get_format(name).read(source)
        if len({dataset.path for dataset in found.values()}) > 1:
            _say_shared(found)
        with new_folder(out, force=force, inputs=[path, images, names]) as folder:
            for split, dataset in found.items():
                get_format("coco").write(dataset, folder, split, pictures)
    told = {split: dataset.pictures.counts() for split, dataset in found.items()}
    return {"format": name, "out": str(out), "splits": _counts(found), "pictures": told}


def _say_shared(found: dict[str, Dataset]) -> None:
    """A picture read for two splits may be that of one of them, when both have one folder."""
    splits: dict[Path, dict[str, None]] = {}
    for split, dataset in found.items():
        for image in dataset.images:
            if (one := dataset.pictures.find(image.file_name)).rule:
                splits.setdefault(one.path, {})[split] = None
    shared = {path: names for path, names in splits.items() if len(names) > 1}
    if shared:
        path, names = next(iter(shared.items()))
        log.warning(
            "%d pictures are taken for several splits (%s for %s): if each split has a folder of "
            "its own, import the splits one by one with its --images",
            len(shared),
            path,
            " and ".join(names),
        )


def export_folder(
    path: str | Path,
    out: str | Path,
    *,
    format: str,
    split: str | None = None,
    pictures: Pictures = Pictures.link,
    force: bool = False,
) -> Raw:
    """Write a part data set in another format; returns counts of each split.

    Several splits go into a folder each, except in COCO, which has a file for each.

    Raises:
        UnknownNameError: there is no such format.
        NotFoundError: no data set there, or no such split.
        OutputExistsError: `out` holds files, and `force` is off.
    """
    layout = get_format(format)
    files = find_splits(path)
    if split is not None and split not in files:
        raise NotFoundError(f"no split {split!r} in {path}", hint=f"its splits: {', '.join(files)}")
    chosen = {name: file for name, file in files.items() if split in (None, name)}
    counts: Raw = {}
    with new_folder(out, force=force, inputs=[path]) as folder:
        for name, file in chosen.items():
            dataset = read_coco(file, lenient=True)
            counts |= _counts({name: dataset})
            if dataset.broken and format != "coco":
                told = "%d broken records of %s are not carried over"
                log.warning(told, len(dataset.broken), name)
            target = folder if format == "coco" or len(chosen) == 1 else folder / name
            layout.write(dataset, target, name, pictures)
    return {"format": format, "out": str(out), "splits": counts}


def _require(path: Path, *others: Path | None) -> None:
    for needed in (path, *others):
        if needed is not None and not needed.exists():
            raise NotFoundError(f"{needed} does not exist")


def _counts(found: dict[str, Dataset]) -> dict[str, Any]:
    return {
        name: {
            "images": len(dataset.images),
            "annotations": len(dataset.annotations),
            "categories": len(dataset.categories),
            "objects": len(dataset.objects),
            "inclusions": sum(map(len, dataset.inclusions.values())),
            "discards": len(dataset.discards),
            "broken": len(dataset.broken),
        }
        for name, dataset in found.items()
    }
