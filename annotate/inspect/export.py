"""The result of a work, written as a part data set.

OUT/annotations/all.json    accepted categories, newest round (or OUT/r<n>/annotations/all.json)
OUT/images/…                the pictures, linked or copied
OUT/manifest.json           rounds, hashes, effort
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from annotate.data.formats.pictures import Pictures, is_safe_name, place
from annotate.inspect.build import Built, Wanted, build
from annotate.inspect.exports import note_export
from annotate.work import Image, Work
from annotate.work.pictures import original_picture, shown_picture
from partlab import schema
from partlab.coco import write_coco
from partlab.counts import counted
from partlab.errors import NotFoundError, SchemaError, StateError
from partlab.files import sha256_file, write_json
from partlab.folders import new_folder
from partlab.progress import track

log = logging.getLogger(__name__)

SPLIT = "all"


def export(
    work: Work,
    out: str | Path,
    wanted: Wanted | None = None,
    *,
    by_round: bool = False,
    pictures: Pictures = Pictures.link,
    force: bool = False,
    keep_ids: bool = True,
) -> dict[str, Any]:
    """Write the data set and its manifest; what was written and left out, as counts.

    With `by_round` every round becomes a data set of its own, OUT/r1, OUT/r2, …, so that rounds
    can be compared. `keep_ids` is as in `build`.

    Raises:
        StateError: nothing is to be exported yet.
        UnknownNameError: an object category is named that the work does not have.
        OutputExistsError: the folder holds files, and `force` is off; or it holds the work.
        SchemaError: a file name points outside the data set.
    """
    wanted, out = wanted or Wanted(), Path(out)
    if by_round:
        last = max((batch.round for batch in work.batches()), default=0)
        parts = {
            f"r{n}": build(work, wanted, round=n, keep_ids=keep_ids) for n in range(1, last + 1)
        }
        found = {name: built for name, built in parts.items() if built.rounds}
    else:
        found = {"": build(work, wanted, keep_ids=keep_ids)}
    _need_something(found, wanted)
    with new_folder(out, force=force, inputs=[work.folder]) as new:
        told = {name: _write(work, built, new / name, pictures) for name, built in found.items()}
    for built in found.values() if keep_ids else ():
        note_export(work, out, built.rounds)
    return {"out": str(out), "rounds": told} if by_round else {"out": str(out), **told[""]}


def _need_something(found: dict[str, Built], wanted: Wanted) -> None:
    if any(built.dataset.images for built in found.values()):
        return
    touched = sum(built.touched for built in found.values())
    if touched:
        images = "the only image" if touched == 1 else f"all {touched} images"
        raise StateError(f"a model helped with {images}; none is left (D-05)")
    states = Counter(state for built in found.values() for state in built.waiting.values())
    waiting = ", ".join(f"{count} {state}" for state, count in states.most_common())
    none = f"none of {', '.join(wanted.objects)}" if wanted.objects else "no object category"
    raise StateError(
        f"{none} is accepted yet" + (f": {waiting}" if waiting else ""),
        hint=None if wanted.include_open else "--include-open also takes what is not accepted",
    )


def _write(
    work: Work,
    built: Built,
    out: Path,
    how: Pictures,
) -> dict[str, Any]:
    dataset = built.dataset
    file = write_coco(dataset, out / "annotations" / f"{SPLIT}.json")
    records = [*dataset.images, *dataset.discards]
    missing = place(pictures_for(work, records, out), how) if records else 0
    counts = {**counts_of(built), "missing_pictures": missing}
    files = {file.relative_to(out).as_posix(): sha256_file(file)}
    top = dataset.top[schema.OURS]
    write_json(out / "manifest.json", {**top, "counts": counts, "sha256": files})
    return counts


def counts_of(built: Built) -> dict[str, Any]:
    """What is in it and what is left out, as counts; `waiting` and `without_new_parts` say why."""
    dataset = built.dataset
    return {
        "images": len(dataset.images),
        "masks": len(dataset.annotations),
        "categories": len(dataset.categories),
        "objects": len(built.rounds),
        "discards": len(dataset.discards),
        "waiting": built.waiting,
        "without_new_parts": built.older,
        "left_out_model_helped": built.touched,
        "left_out_failed": built.excluded,
        "failed_but_in_it": built.failed - built.excluded,
        "left_out_being_corrected": built.correcting,
        "left_out_not_drawn": built.undone,
        "left_out_unknown_part": built.gone,
        "left_out_not_named": built.unnamed,
    }


_OUT = (
    ("waiting", "object category that is not accepted", "object categories that are not accepted"),
    ("left_out_model_helped", "image that a model helped with", "images that a model helped with"),
    ("left_out_failed", "image that failed inspection", "images that failed inspection"),
    (
        "left_out_being_corrected",
        "image that was sent back and has not passed since",
        "images that were sent back and have not passed since",
    ),
    ("left_out_not_drawn", "image not drawn yet", "images not drawn yet"),
    (
        "left_out_unknown_part",
        "mask of a part that the vocabulary no longer has",
        "masks of parts that the vocabulary no longer has",
    ),
    (
        "left_out_not_named",
        "object category that was not named",
        "object categories that were not named",
    ),
)


def left_out(counts: Mapping[str, Any]) -> list[str]:
    """What is not in it, a phrase for each reason: `3 images not drawn yet`."""
    found = ((_size(counts[key]), one, many) for key, one, many in _OUT)
    return [counted(number, one, many) for number, one, many in found if number]


def _size(value: Any) -> int:
    return value if isinstance(value, int) else len(value)


def pictures_for(
    work: Work,
    records: Sequence[Any],
    out: Path,
) -> Iterator[tuple[Path, Path]]:
    """(source, target) of every picture of these records, targets below OUT/images.

    Raises:
        SchemaError: a file name points outside the data set.
    """
    for record in track(records, "pictures", len(records)):
        if not is_safe_name(record.file_name):
            raise SchemaError(
                f"image {record.raw['id']} has the file name {record.file_name!r}, outside the "
                "data set"
            )
        yield picture_file(work, work.image(record.raw["id"])), out / "images" / record.file_name


def picture_file(work: Work, image: Image) -> Path:
    """The picture in the size of its masks; a path that does not exist where there is none."""
    found = []
    for find in (original_picture, shown_picture):
        if find is original_picture or list(image.shown) == [image.width, image.height]:
            with suppress(NotFoundError):
                found.append(find(work.folder, image))
    for path in found:
        if image.sha256 is None or sha256_file(path) == image.sha256:
            return path
    if found and found[-1].is_relative_to(work.folder):
        return found[-1]  # turned upright or written anew for the browser, at the same size
    if found:
        log.warning("%s was changed since it was drawn on", found[0])
    return found[0] if found else work.folder / "images" / "missing" / image.file_name
