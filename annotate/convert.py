"""Other formats into a part data set, and back; pictures pass one by one."""

import logging
from pathlib import Path
from typing import Any

from annotate.formats import Source, get_format, guess_format
from annotate.formats.pictures import Pictures
from annotate.formats.table import named, proposal, read_table, require_usable, united
from partlab.coco import find_splits, read_coco
from partlab.errors import ConfigError, NotFoundError
from partlab.files import claim_folder
from partlab.schema import Dataset, Raw

log = logging.getLogger(__name__)


def import_folder(
    path: str | Path,
    out: str | Path,
    *,
    format: str | None = None,
    images: Path | None = None,
    names: Path | None = None,
    pictures: Pictures = Pictures.link,
    force: bool = False,
) -> Raw:
    """`import_source` of a path of which nothing more need be said."""
    source = Source(Path(path), images, names)
    return import_source(source, out, format=format, pictures=pictures, force=force)


def import_source(
    source: Source,
    out: str | Path,
    *,
    format: str | None = None,
    pictures: Pictures = Pictures.link,
    force: bool = False,
) -> Raw:
    """Read `source` and write it as our own data set; returns counts of each split.

    Raises:
        NotFoundError: nothing of the format is there.
        SchemaError: a file cannot be read at all, or nothing says which object its categories
            are parts of, or two of them share a name.
        ConfigError: something said of the source does not fit the format.
        OutputExistsError: `out` holds files, and `force` is off.
    """
    name, found = read_source(source, format)
    require_usable(found.values())
    out = claim_folder(out, force=force, inputs=[source.path, source.images, source.names])
    for split, dataset in found.items():
        get_format("coco").write(dataset, out, split, pictures)
    return {"format": name, "out": str(out), "splits": counts_of(found)}


def propose_names(source: Source, format: str | None = None) -> list[dict[str, str]]:
    """What an import would take each category for: rows of category, object, part and masks."""
    return proposal(read_source(source, format)[1].values())


def read_source(source: Source, format: str | None) -> tuple[str, dict[str, Dataset]]:
    """The format's name and the data sets by split, named and united as the source says."""
    _require(source.path, source.images, source.names)
    name = format or guess_format(source.path)
    layout = get_format(name)
    numbers = getattr(layout, "numbers_only", False)
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
    found = named(layout.read(source), object=source.object, table=table)
    return name, {split: united(d) if source.unite else d for split, d in found.items()}


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
    out = claim_folder(out, force=force, inputs=[path])
    counts: Raw = {}
    for name, file in chosen.items():
        dataset = read_coco(file)
        counts |= counts_of({name: dataset})
        if dataset.broken and format != "coco":
            log.warning("%d broken records of %s are not carried over", len(dataset.broken), name)
        target = out if format == "coco" or len(chosen) == 1 else out / name
        layout.write(dataset, target, name, pictures)
    return {"format": format, "out": str(out), "splits": counts}


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
            "inclusions": sum(map(len, dataset.inclusions.values())),
            "discards": len(dataset.discards),
            "broken": len(dataset.broken),
        }
        for name, dataset in found.items()
    }
