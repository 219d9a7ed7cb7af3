"""Other formats into a part data set, and back; pictures pass one by one."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from annotate.data.about import say_lost
from annotate.data.formats import Source, formats_below, get_format, guess_format
from annotate.data.formats.afar import brought
from annotate.data.formats.archive import is_zip, unpacked
from annotate.data.formats.layout import Layout
from annotate.data.formats.losses import losses
from annotate.data.formats.pictures import Pictures
from annotate.data.formats.published import beside
from annotate.data.formats.table import named, proposal, read_table, require_usable
from annotate.data.renaming import united
from annotate.data.stale import marked
from partlab.coco import find_splits, read_coco
from partlab.counts import counted
from partlab.errors import ConfigError, NotFoundError
from partlab.folders import need_free, new_folder
from partlab.inclusions import pairs_of
from partlab.layouts import split_folders
from partlab.places import is_remote, located
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
    """`import_source` of a path of which nothing more need be said."""
    source = Source(located(path), images, names, object)
    return import_source(source, out, format=format, pictures=pictures, force=force)


def import_source(
    source: Source,
    out: str | Path,
    *,
    format: str | None = None,
    pictures: Pictures = Pictures.link,
    force: bool = False,
) -> Raw:
    """Read `source` and write it as our own data set; returns counts, and what it was taken for.

    Of published data sets the authors' own counts are beside (`annotate.data.formats.published`).

    A zip archive is unpacked for the time of the import, so its pictures are copied. `object`
    says whose parts they are where the file names parts alone.

    Raises:
        NotFoundError: nothing of the format is there.
        SchemaError: a file cannot be read at all, or nothing says which object its categories
            are parts of, or two of them share a name.
        ConfigError: something said of the source does not fit the format.
        OutputExistsError: `out` holds files, and `force` is off.
    """
    source = replace(
        source,
        path=located(source.path),
        images=source.images and located(source.images),
        names=source.names and located(source.names),
    )
    path, out = source.path, located(out)
    inputs = [path, source.images, source.names]
    _require(path, source.images, source.names)
    need_free(out, force=force and not is_remote(out), inputs=inputs)
    near = Path(gettempdir()) / "partlab-import" if is_remote(out) else out
    with _opened(source, near=near) as opened:
        if pictures is Pictures.link and (opened is not source or is_remote(out)):
            pictures = Pictures.copy
        name, found = read_source(opened, format)
        title = get_format(name).took(opened.path)
        require_usable(found.values())
        if len({dataset.path for dataset in found.values()}) > 1:
            _say_shared(found)
        with new_folder(out, force=force, inputs=inputs) as folder:
            for split, dataset in found.items():
                get_format("coco").write(dataset, folder, split, pictures)
    told = {split: dataset.pictures.counts() for split, dataset in found.items()}
    splits = counts_of(found)
    about = {"format": name, "title": title, "out": str(out), "splits": splits, "pictures": told}
    return about | {"published": beside(title, splits)}


def propose_names(source: Source, format: str | None = None) -> list[dict[str, str]]:
    """What an import would take each category for: rows of category, object, part and masks."""
    with TemporaryDirectory() as folder, _opened(source, near=Path(folder) / "names") as opened:
        return proposal(read_source(opened, format)[1].values())


@contextmanager
def _opened(source: Source, *, near: Path) -> Iterator[Source]:
    """The source itself; of a zip archive what is in it, of a URL a copy, for a while by `near`."""
    _require(source.path)
    with ExitStack() as held:
        path, images, names = (
            each and held.enter_context(brought(each, near=near))
            for each in (source.path, source.images, source.names)
        )
        if path and is_zip(path):
            path = held.enter_context(unpacked(path, near=near))
        same = (path, images, names) == (source.path, source.images, source.names)
        yield (
            source
            if same
            else replace(source, path=path or source.path, images=images, names=names)
        )


def read_source(source: Source, format: str | None) -> tuple[str, dict[str, Dataset]]:
    """The format's name and the data sets by split, named and united as the source says."""
    _require(source.path, source.images, source.names)
    if source.object is not None:
        _require_object_name(source.object)
    name = format or guess_format(source.path)
    if format is None:
        _say_beside(source.path, name)
    layout = get_format(name)
    numbers = layout.numbers_only
    if not numbers and (source.background is not None or source.offset):
        raise ConfigError(f"--background and --offset are for label maps, not for {name}")
    table = None
    if source.names and not numbers:
        if source.names.suffix != ".csv":
            raise ConfigError(
                f"--names of {name} is a table (.csv), not {source.names}",
                hint="its columns are category, object, part; --dry-run writes one to edit",
            )
        table = read_table(source.names)
    found = named(_read(layout, source), object=source.object, table=table)
    return name, {split: united(d) if source.unite else d for split, d in found.items()}


def _say_beside(path: Path, name: str) -> None:
    """A folder may hold exports of several tools, of which one is read."""
    others = {one: kind for one, kind in formats_below(path).items() if kind != name}
    if others:
        listed = ", ".join(f"{folder.name} ({kind})" for folder, kind in others.items())
        log.warning("%s: read as %s; in it, and not read: %s", path, name, listed)


def _read(layout: Layout, source: Source) -> dict[str, Dataset]:
    """Folders that are called like splits one by one, where the format has no place for splits."""
    folders = split_folders(source.path) if layout.one_split else {}
    if not folders or not all(map(layout.fits, folders.values())):
        return layout.read(source)
    found: dict[str, Dataset] = {}
    for split, folder in folders.items():
        one = layout.read(replace(source, path=folder))
        found |= {split if len(one) == 1 else f"{split}-{name}": d for name, d in one.items()}
    return found


def _require_object_name(name: str) -> None:
    if not name.strip() or ":" in name:
        raise ConfigError(
            f"--object is {name!r}, which is no name of an object",
            hint="it is one word or several, without a colon: a colon separates object and part",
        )


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
            "%s taken for several splits (%s for %s): if each split has a folder of "
            "its own, import the splits one by one with its --images",
            counted(len(shared), "picture is", "pictures are"),
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
    dry_run: bool = False,
    force: bool = False,
) -> Raw:
    """Write a part data set in another format; returns counts of each split and what is lost.

    Several splits go into a folder each, unless the format has a place for them. What the format
    cannot hold is said before anything is written; with `dry_run` that is all.

    Raises:
        UnknownNameError: there is no such format.
        ConfigError: the format can only be read.
        NotFoundError: no data set there, or no such split.
        OutputExistsError: `out` holds files, and `force` is off.
    """
    layout = get_format(format)
    if not layout.writes:
        layout.write(Dataset([], [], []), Path(out), "", pictures)  # says why
    files = find_splits(path)
    if split is not None and split not in files:
        raise NotFoundError(f"no split {split!r} in {path}", hint=f"its splits: {', '.join(files)}")
    found = {name: marked(read_coco(file)) for name, file in files.items() if split in (None, name)}
    lost = losses(found, layout.holds)
    for sentence in lost:
        log.warning("%s: %s", layout.title, sentence)
    told = {"format": format, "out": str(out), "splits": counts_of(found), "losses": lost}
    if dry_run:
        return told
    with new_folder(out, force=force, inputs=[path]) as folder:
        for name, dataset in found.items():
            _say_left_out(dataset, name, format)
            alone = len(found) == 1 or layout.one_folder or not layout.one_split
            layout.write(dataset, folder if alone else folder / name, name, pictures)
    return told


def _say_left_out(dataset: Dataset, name: str, format: str) -> None:
    if format == "coco":
        return
    if dataset.broken:
        records = counted(len(dataset.broken), "broken record is", "broken records are")
        log.warning("%s: %s not carried over", name, records)
    say_lost(dataset, name, format)


def _require(path: Path, *others: Path | None) -> None:
    for needed in (path, *others):
        if needed is not None and not needed.exists():
            raise NotFoundError(f"{needed} does not exist")


def counts_of(found: dict[str, Dataset]) -> dict[str, Any]:
    """What each split holds, by number."""
    return {
        name: {
            "images": len(dataset.images),
            "annotations": len(dataset.annotations),
            "categories": len(dataset.categories),
            "objects": len(dataset.objects),
            "inclusions": sum(len([*pairs_of(one)]) for one in dataset.inclusions.values()),
            "discards": len(dataset.discards),
            "broken": len(dataset.broken),
        }
        for name, dataset in found.items()
    }
