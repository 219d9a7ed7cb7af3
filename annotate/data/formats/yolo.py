"""YOLO-seg: a text file beside each picture's folder, one polygon a line, in shares of its sides.

    data.yaml                    names, and where the pictures of each split are
    images/train/a.jpg           Ultralytics; Roboflow and carparts-seg: train/images/a.jpg
    labels/train/a.txt           the same path with labels for images: `class x y x y x y …`

A label is the number of its class. Without data.yaml the names come from classes.txt, as
makesense, Label Studio and CVAT write it. Boxes (four numbers) have no inside and are passed over.
A polygon has neither holes nor pieces: both are written into one outline that goes there and back
along the same line (`annotate.data.formats.outlines`), which covers nothing.
"""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotate.data.formats import Source
from annotate.data.formats.gather import Gathered
from annotate.data.formats.layout import Holds, Layout
from annotate.data.formats.outlines import joined, outlines
from annotate.data.formats.pictures import Pictures, place
from partlab.errors import DatasetError, MaskError, NotFoundError, SchemaError
from partlab.files import read_lines, write_lines
from partlab.images import image_size, is_image_name
from partlab.layouts import family_name
from partlab.masks import Rle, decode, from_segmentation
from partlab.progress import track
from partlab.schema import Dataset, Image
from partlab.truth import drawn_masks

log = logging.getLogger(__name__)

_NAMES = ("classes.txt", "labels/classes.txt", "obj.names", "names.txt")
_SPLITS = ("train", "val", "valid", "validation", "test")
_OTHER = frozenset({"names", "nc", "path", "download", "channels", "kpt_shape", "flip_idx"})
_ROUND = 1e-3  # outlines drawn to the very edge are a little over it


class YoloLayout(Layout):
    """Format of YOLO's polygons."""

    title = "YOLO-seg"
    one_split = False
    holds = Holds(
        attributes="are left out: who drew a mask, its object's number, its score, crowd regions, "
        "inclusions and discards"
    )

    def fits(self, path: Path) -> bool:
        """data.yaml, or a folder with it, or with labels/ full of text files."""
        if path.is_file():
            return path.suffix in (".yaml", ".yml") and bool(_settings(path))
        return _yaml_in(path) is not None or any(_bare(path))

    def read(self, source: Source) -> dict[str, Dataset]:
        """The splits that data.yaml names; without it the folders of labels/."""
        file = source.path if source.path.is_file() else _yaml_in(source.path)
        top = file.parent if file else source.path
        settings = _settings(file) if file else {}
        names = _names(settings, file, top)
        found: dict[str, Dataset] = {}
        for split, root, pictures in _splits(settings, file, top, source.images):
            gathered = Gathered(source, "YOLO-seg")
            for picture in track(pictures, "pictures", total=len(pictures)):
                _read(picture, root, names, gathered)
            gathered.pass_over("label file", "without a picture", _lonely(root, pictures))
            gathered.say()
            found[split] = gathered.dataset(file or top, root)
        if not any(data.images for data in found.values()):
            raise NotFoundError(
                f"{file or top}: none of its pictures is there, without which no label has a size",
                hint="put the folder images beside labels, or name it with --images",
            )
        return found

    def write(self, dataset: Dataset, out: Path, split: str, pictures: Pictures) -> None:
        """images/<split>, labels/<split> and data.yaml; splits written before stay in it.

        Raises:
            SchemaError: two pictures would have the same file of labels.
            MaskError: a mask cannot be drawn.
        """
        dataset = dataset.settled()
        names, splits = _written(out / "data.yaml")
        number = {name: names.setdefault(name, len(names)) for name in dataset.names}
        seen: dict[Path, str] = {}
        for image in track(dataset.images, "pictures", total=len(dataset.images)):
            file = (out / "labels" / split / image.file_name).with_suffix(".txt")
            if (other := seen.setdefault(file, image.file_name)) != image.file_name:
                raise SchemaError(
                    f"the pictures {other} and {image.file_name} would share the labels {file.name}"
                )
            write_lines(file, list(_lines(dataset, image, number)))
            place([(dataset.image_path(image), out / "images" / split / image.file_name)], pictures)
        _write_settings(out / "data.yaml", names, dict.fromkeys([*splits, split]))


def _yaml_in(folder: Path) -> Path | None:
    files = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*.yml"))]
    return next((file for file in files[:5] if _settings(file)), None)


def _settings(file: Path) -> dict[str, Any]:
    """What a YAML file says, if it is one of YOLO's; else nothing."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe").load(file.read_text("utf-8-sig"))
    except (YAMLError, OSError, UnicodeDecodeError, ValueError):
        return {}
    known = isinstance(found, dict) and "names" in found and found.keys() & {*_SPLITS, "nc", "path"}
    return found if known else {}


def _bare(folder: Path) -> Iterator[Path]:
    """Files of labels of a folder without data.yaml."""
    yield from (f for f in (folder / "labels").glob("**/*.txt") if f.name != "classes.txt")


def _names(settings: dict[str, Any], file: Path | None, top: Path) -> dict[int, str]:
    said = settings.get("names")
    if file is None:
        path = next((top / name for name in _NAMES if (top / name).is_file()), None)
        if path is None:
            raise NotFoundError(
                f"{top} has neither data.yaml nor classes.txt: its labels are numbers only",
                hint=f"write {top / 'classes.txt'} with the name of a class in each line, "
                "the first for number 0",
            )
        said = [line.strip() for line in read_lines(path) if line.strip()]
    pairs = said.items() if isinstance(said, dict) else enumerate(said or ())
    try:
        return {int(number): str(name) for number, name in pairs}
    except (TypeError, ValueError):
        raise SchemaError(f"{file}: its names are neither a list nor numbers with names") from None


def _splits(
    settings: dict[str, Any], file: Path | None, top: Path, images: Path | None
) -> Iterator[tuple[str, Path, list[Path]]]:
    """Name, folder that file names are relative to, and pictures of each split."""
    if images is not None or file is None:
        for split, folder in _folders(images or top / "images").items():
            yield split, folder, _pictures(folder)
        return
    for name in (key for key in settings if key not in _OTHER):
        said = settings[name]
        for entry in said if isinstance(said, list) else [said]:
            place_ = next(_places(top, settings.get("path"), str(entry)), None)
            if place_ is None and name in _SPLITS and entry:
                log.warning("%s: the split %s is left out, there is no %s", file, name, entry)
            elif place_ is None:
                continue
            elif place_.is_file():
                listed = [top / line.strip() for line in read_lines(place_) if line.strip()]
                yield family_name(name), top, [one for one in listed if one.is_file()]
            else:
                yield family_name(name), place_, _pictures(place_)


def _folders(images: Path) -> dict[str, Path]:
    inside = {family_name(f.name): f for f in sorted(images.glob("*/")) if f.name in _SPLITS}
    return inside or {"all": images}


def _places(top: Path, stated: Any, entry: str) -> Iterator[Path]:
    """Where an entry of data.yaml may be: as stated, or where its folder was copied to."""
    roots = [top / str(stated or ""), top]
    names = [entry, entry.removeprefix("../"), entry.removeprefix("./")]
    tried = (root / name for root in roots for name in names)
    return (one for one in tried if one.exists() and one.resolve().is_relative_to(top.resolve()))


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if is_image_name(path) and path.is_file())


def _labels_of(picture: Path) -> Path:
    """Ultralytics' rule: the last folder `images` of the path is `labels` instead."""
    parts = list(picture.with_suffix(".txt").parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "images":
            parts[at] = "labels"
            return Path(*parts)
    beside = picture.with_suffix(".txt")
    return beside if beside.is_file() else picture.parent / "labels" / beside.name


def _lonely(root: Path, pictures: list[Path]) -> int:
    """How many files of labels of a folder of pictures have none there."""
    folder = _labels_of(root / "x.jpg").parent
    if folder == root or not folder.is_dir():
        return 0
    labels = {file for file in folder.rglob("*.txt") if file.name != "classes.txt"}
    return len(labels - {_labels_of(picture) for picture in pictures})


def _read(picture: Path, root: Path, names: dict[int, str], gathered: Gathered) -> None:
    try:
        size = image_size(picture)
    except (NotFoundError, DatasetError):
        gathered.pass_over("picture", "that cannot be opened")
        return
    image = gathered.image(picture.relative_to(root).as_posix(), size)
    file = _labels_of(picture)
    for line in read_lines(file) if file.is_file() else ():
        if not (words := line.split()):
            continue
        label = names.get(int(words[0]), words[0]) if words[0].isdecimal() else words[0]
        try:
            known = words[0].isdecimal() and int(words[0]) in names
            rle = _rle(words, known, *size)
        except (ValueError, MaskError) as error:
            gathered.pass_over("line", "that cannot be drawn")
            gathered.set_aside(image, label, f"cannot be drawn: {error}")
            log.warning("%s: %s", file, error)
            continue
        if rle is None:
            gathered.pass_over("line", "of a box")
            gathered.set_aside(image, label, "is a box")
            continue
        gathered.mask(image, label, rle, provenance="human")


def _rle(words: list[str], known: bool, width: int, height: int) -> Rle | None:
    """The mask of one line; None of a box."""
    if not known:
        raise ValueError(f"the class {words[0]!r} has no name")
    shares = [float(word) for word in words[1:]]
    if len(shares) in (4, 5):  # the fifth is a score
        return None
    if len(shares) % 2:
        raise ValueError(f"{len(shares)} numbers are no pairs x y")
    if max(shares, default=0) > 1 + _ROUND or min(shares, default=0) < -_ROUND:
        raise ValueError("its points are in pixels, YOLO has shares of the picture's sides")
    points = [share * (height if at % 2 else width) for at, share in enumerate(shares)]
    return from_segmentation([points], height, width)


def _lines(dataset: Dataset, image: Image, number: dict[str, int]) -> Iterator[str]:
    for annotation, rle in drawn_masks(dataset, image).masks:
        name = dataset.names[dataset.label_of[annotation.category_id]]
        ring = joined(outlines(decode(rle)))
        shares = [c / (image.height, image.width)[n == 0] for xy in ring for n, c in enumerate(xy)]
        yield " ".join([str(number[name]), *(f"{share:.8g}" for share in shares)])


def _written(file: Path) -> tuple[dict[str, int], list[str]]:
    """Names with their numbers, and splits, of what an earlier split of this export wrote."""
    settings = _settings(file) if file.is_file() else {}
    names = {name: number for number, name in settings.get("names", {}).items()}
    return names, [key for key in settings if key not in ("names", "path")]


def _write_settings(file: Path, names: dict[str, int], splits: dict[str, None]) -> None:
    paths = [f"{json.dumps(split)}: images/{split}" for split in splits]
    listed = [f"  {number}: {json.dumps(name)}" for name, number in names.items()]
    write_lines(file, ["path: .", *paths, "names:", *listed])


layout = YoloLayout()
