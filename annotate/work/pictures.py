"""The pictures of a work, prepared for Label Studio, and how its server gets to them.

WORK/images/<object>/<image id>.jpg     as annotators see it: EXIF applied, long side bounded
WORK/images/_examples/<object>/1.png    for the instructions
WORK/images/sources.json                where the originals lie, and where more pictures are
WORK/honeypots.json                     where the originals of honeypots lie; never shown
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image as PillowImage

from annotate.work import Image, safe_name
from partlab.config import Config, load_config
from partlab.errors import ConfigError, NotFoundError, SchemaError
from partlab.files import copy_file, read_json, replacing, write_json
from partlab.images import image_size, load_image
from partlab.progress import track

FOLDER, EXAMPLES = "images", "_examples"
_SHOWN = "shown.json"  # beside examples: the ids of the parts they show
_SOURCES, HONEYPOTS = f"{FOLDER}/sources.json", "honeypots.json"
# What every browser shows and Label Studio need not convert: suffix for each Pillow format.
_SHOWABLE = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
_PLAIN_MODES = frozenset({"1", "L", "P", "RGB", "RGBA"})
_QUALITY = 95

Size = tuple[int, int]


def prepare_picture(
    source: Path, folder: Path, image_id: int, long_side: int, kind: str | None = None
) -> Size:
    """Put one picture where Label Studio can show it; (width, height) as shown, in pixels.

    A picture that is small enough and needs no turning is linked (or copied) as it is, unless
    it is to be of another `kind` (JPEG, PNG or WEBP). Done already, it is left alone.

    Raises:
        DatasetError: it cannot be read.
    """
    if (there := find_picture(folder, image_id)) is not None:
        return image_size(there)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    size = image_size(source)
    suffix = _suffix_if_showable(source)
    if suffix and max(size) <= long_side and kind in (None, _kind_of(suffix)):
        copy_file(source.resolve(), folder / f"{image_id:06d}{suffix}", link=True)
        return size
    picture = PillowImage.fromarray(load_image(source))
    shown = shown_size(size, long_side)
    if shown != picture.size:
        picture = picture.resize(shown, PillowImage.Resampling.LANCZOS)
    if kind is None:
        jpeg = suffix != ".png" and source.suffix.lower() in (".jpg", ".jpeg")
        kind = "JPEG" if jpeg else "PNG"
    with replacing(folder / f"{image_id:06d}{_SHOWABLE[kind]}") as scratch:
        picture.save(scratch, kind, quality=_QUALITY, subsampling=0, compress_level=3)
    return shown


def shown_size(size: Size, long_side: int) -> Size:
    """(width, height) with the long side bounded; never enlarged, never below one pixel."""
    scale = min(1.0, long_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def find_picture(folder: Path, image_id: int) -> Path | None:
    """The prepared picture in its category's folder, if it is there."""
    for suffix in _SHOWABLE.values():
        if (path := folder / f"{image_id:06d}{suffix}").is_file():
            return path
    return None


def shown_picture(work: Path, image: Image) -> Path:
    """The picture of a work's image as annotators see it.

    Raises:
        NotFoundError: it is not in the work's folder.
    """
    folder = work / FOLDER / safe_name(image.object)
    if (found := find_picture(folder, image.id)) is None:
        raise NotFoundError(
            f"the picture of image {image.id} ({image.file_name}) is not in {folder}",
            hint="run `partlab studio create` on the work with --images to make it again",
        )
    return found


def original_picture(work: Path, image: Image) -> Path:
    """The picture as the data set has it, in full size.

    Raises:
        NotFoundError: it is no longer where it was when the work began.
    """
    listed = _SOURCES if image.truth is None else HONEYPOTS
    for root in _sources(work, listed).get("roots", ()):
        if (path := Path(root) / image.file_name).is_file():
            return path
    raise NotFoundError(
        f"the original of image {image.id} ({image.file_name}) is in none of the work's sources",
        hint="run `partlab studio create` on the work with --images to say where they are now",
    )


def remember_source(
    work: Path, root: Path, *, honeypots: bool = False, pool: Mapping[str, Any] | None = None
) -> None:
    """Note a folder of originals, first the newest; `pool` is what `read_pool` reads."""
    listed = HONEYPOTS if honeypots else _SOURCES
    known, newest = _sources(work, listed), str(root.absolute())
    known["roots"] = [newest, *(other for other in known.get("roots", ()) if other != newest)]
    write_json(work / listed, {**known, **({"pool": pool} if pool else {})})


def begin_pictures(work: Path, choice: str, numbers: Mapping[str, Sequence[int]]) -> None:
    """Note the choice (a hash) that pictures are prepared for, and their first and last number.

    Pictures prepared for another one by a `create` that was cut off go: their numbers mean
    other pictures now. `numbers` is by object.
    """
    known = _sources(work, _SOURCES)
    if (before := known.get("begun")) is not None and before["choice"] != choice:
        for folder, (first, last) in before["numbers"].items():
            for number in range(first, last + 1):
                if (path := find_picture(work / FOLDER / folder, number)) is not None:
                    path.unlink()
    ours = {safe_name(owner): [min(ids), max(ids)] for owner, ids in numbers.items()}
    write_json(work / _SOURCES, {**known, "begun": {"choice": choice, "numbers": ours}})


def pictures_begun(work: Path) -> bool:
    """Whether `begin_pictures` left its mark in WORK/images, so that what lies there is ours.

    Raises:
        SchemaError: the mark is damaged.
    """
    return "begun" in _sources(work, _SOURCES)


def pool_of(images: str | Path, split: str | None) -> dict[str, Any]:
    """The folder or data set that pictures are chosen from, as it is noted."""
    return {"images": str(Path(images).absolute()), "split": split}


def read_pool(work: Path) -> tuple[Path, str | None]:
    """Where pictures were chosen from: folder or data set, and split.

    Raises:
        NotFoundError: it was not noted, or is no longer there.
    """
    pool = _sources(work, _SOURCES).get("pool")
    if pool is None or not Path(pool["images"]).exists():
        gone = f"no longer in {pool['images']}" if pool else "in a place that was not noted"
        raise NotFoundError(
            f"the pictures that {work} was begun with are {gone}",
            hint="say with --images where they are now",
        )
    return Path(pool["images"]), pool["split"]


class _Pool(Config):
    images: str
    split: str | None


class _Begun(Config):
    choice: str
    numbers: dict[str, tuple[int, int]]


class _Sources(Config):
    """What `_SOURCES` and `HONEYPOTS` hold."""

    roots: tuple[str, ...] = ()
    begun: _Begun | None = None
    pool: _Pool | None = None


def _sources(work: Path, listed: str) -> dict[str, Any]:
    path = work / listed
    if not path.is_file():
        return {}
    try:
        return load_config(_Sources, path).model_dump(mode="json", exclude_unset=True)
    except ConfigError as error:
        raise SchemaError(
            f"{path} is damaged: {error.message}",
            hint="move it away; `partlab studio create` on the work with --images writes it anew",
        ) from error


def prepare(
    work: Path,
    pictures: Sequence[tuple[int, str, Path]],
    long_side: int,
    kinds: Mapping[str, str | None] | None = None,
) -> list[Size]:
    """Prepare (image id, object, original) for a work; sizes as shown, in the same order.

    `kinds` is the file format for the pictures of an object, where it matters.
    """
    return [
        prepare_picture(
            path, work / FOLDER / safe_name(owner), image_id, long_side, (kinds or {}).get(owner)
        )
        for image_id, owner, path in track(pictures, "preparing pictures", len(pictures))
    ]


def usual_kind(work: Path, owner: str, image_ids: Iterable[int]) -> str | None:
    """The file format that most of these prepared pictures of an object have."""
    folder = work / FOLDER / safe_name(owner)
    found = (find_picture(folder, id) for id in image_ids)
    kinds = Counter(_kind_of(path.suffix) for path in found if path is not None)
    return kinds.most_common(1)[0][0] if kinds else None


def _kind_of(suffix: str) -> str:
    return next(kind for kind, known in _SHOWABLE.items() if known == suffix)


def save_examples(
    work: Path,
    owner: str,
    pictures: Iterable[PillowImage.Image],
    shown: Iterable[str] | None = None,
) -> list[str]:
    """Keep example pictures, if any, in place of older ones; their paths below WORK/images.

    `shown` are the ids of the parts they show, if that is known.
    """
    paths = []
    folder = work / FOLDER / EXAMPLES / safe_name(owner)
    for number, picture in enumerate(pictures, 1):
        paths.append(_save(work, f"{EXAMPLES}/{safe_name(owner)}/{number}.png", picture))
    for old in folder.glob("*.png") if paths else ():
        if old.relative_to(work / FOLDER).as_posix() not in paths:
            old.unlink()
    if paths:
        write_json(folder / _SHOWN, sorted(shown) if shown is not None else None)
    return paths


def shown_in_examples(work: Path, owner: str) -> list[str] | None:
    """Ids of the parts that the example pictures show; None where that is not known."""
    try:
        found = read_json(work / FOLDER / EXAMPLES / safe_name(owner) / _SHOWN)
    except NotFoundError:
        return None
    return found if isinstance(found, list) else None


def save_part_picture(work: Path, owner: str, part: str, picture: PillowImage.Image) -> None:
    """Keep the example picture of one part (its id) in place of an older one."""
    _save(work, _part_picture(owner, part), picture)


def part_picture(work: Path, owner: str, part: str) -> str | None:
    """The path below WORK/images of a part's example picture, if it has one."""
    path = _part_picture(owner, part)
    return path if (work / FOLDER / path).is_file() else None


def _part_picture(owner: str, part: str) -> str:
    return f"{EXAMPLES}/{safe_name(owner)}/parts/{safe_name(part)}.png"


def _save(work: Path, path: str, picture: PillowImage.Image) -> str:
    (work / FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(work / FOLDER / path) as scratch:
        picture.save(scratch, "PNG")
    return path


def url_path(path: Path | str) -> str:
    """A relative path as it stands in an address."""
    return quote(Path(path).as_posix())


def _suffix_if_showable(path: Path) -> str | None:
    """The suffix to show a picture under as it is; None when it has to be written anew."""
    with PillowImage.open(path) as opened:
        turned = opened.getexif().get(0x0112, 1) not in (0, 1)
        plain = opened.mode in _PLAIN_MODES and getattr(opened, "n_frames", 1) == 1
        return _SHOWABLE.get(opened.format or "") if plain and not turned else None
