"""N images of each object category, chosen by a seed, with a manifest (requirement D-02)."""

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

from annotate.data.split import category_rng, placed
from partlab.coco import find_splits, read_dataset, write_coco
from partlab.counts import counted, few
from partlab.errors import (
    ConfigError,
    DatasetError,
    NotFoundError,
    PartlabError,
    SchemaError,
)
from partlab.files import copy_file, read_json, sha256_file, write_json
from partlab.folders import new_folder
from partlab.images import is_image_name, is_litter, load_image, not_read
from partlab.progress import track
from partlab.schema import Dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chosen:
    """One image of the sample; `file_name` is relative to the images' folder."""

    file_name: str
    object: str
    width: int
    height: int
    sha256: str
    origin_split: str | None = None


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where images come from: file names by object category, relative to `root`.

    `others` are files beside them that are no pictures by their names.
    """

    root: Path
    names: dict[str, list[str]]
    origins: dict[str, str | None]
    dataset: Dataset | None = None
    others: tuple[str, ...] = ()

    def say_others(self) -> None:
        """Warn of files that will not be looked at."""
        if self.others:
            log.warning("%s", not_read(self.others))


def sample_images(
    source: str | Path,
    out: str | Path,
    *,
    per_object: int,
    seed: int = 0,
    split: str | None = None,
    origin_split: str | None = None,
    copy: bool = False,
    force: bool = False,
) -> list[Chosen]:
    """Choose `per_object` images of every object category and write OUT/manifest.json.

    `source` is a folder with one sub-folder of images for each category, or a part data set
    (then OUT/annotations/sample.json keeps the masks). Unreadable images are passed over and
    named in the manifest. `copy` also copies the pictures to OUT/images.

    Raises:
        ConfigError: `per_object` is below 1.
        DatasetError: a category has too few readable images; all such are named.
        NotFoundError: there are no images, or no such split.
        OutputExistsError: the folder holds files, and `force` is off; or it holds the source.
    """
    if per_object < 1:
        raise ConfigError(f"cannot choose {per_object} images per object category")
    found = open_images(source, split)
    found.say_others()
    chosen, unreadable = choose_images(found, per_object, seed=seed, origin_split=origin_split)
    chosen.sort(key=lambda one: (one.object, one.file_name))
    manifest: dict[str, object] = {
        "source": str(source),
        "split": split,
        "per_object": per_object,
        "seed": seed,
    }
    manifest |= {"unreadable": unreadable, "images": [asdict(one) for one in chosen]}
    with new_folder(out, force=force, inputs=[source, found.root]) as folder:
        if copy:
            _copy(found.root, folder / "images", chosen)
        if found.dataset:
            root = Path(out) / "images" if copy else found.root
            kept = placed(_only(found.dataset, chosen), Path(out) / "annotations", root)
            write_coco(kept, folder / "annotations" / "sample.json")
        write_json(folder / "manifest.json", manifest)
    kinds = counted(len(found.names), "object category", "object categories")
    log.info("chose %s of %s", counted(len(chosen), "image"), kinds)
    return chosen


def open_images(source: str | Path, split: str | None = None) -> ImageSource:
    """Find images and their object categories; opens no picture.

    `source` is a folder with one sub-folder of images for each category, a part data set, or
    what `sample_images` wrote.

    Raises:
        NotFoundError: there are no images whose category is known, or no such split.
    """
    source = Path(source)
    if not source.exists():
        raise NotFoundError(f"no folder or data set {source}")
    try:
        find_splits(source)
    except NotFoundError:
        if split is not None:
            raise NotFoundError(
                f"no split {split!r}: {source} is a folder of pictures, not a data set",
                hint="leave --split out",
            ) from None
        if (source / "manifest.json").is_file():
            return _open_sample(source)
        return _open_folder(source)
    dataset = read_dataset(source, split).settled()
    names: dict[str, list[str]] = defaultdict(list)
    for image in dataset.images:
        if (owner := dataset.object_of(image)) is not None:
            names[owner].append(image.file_name)
    if not names:
        raise NotFoundError(f"{source} has no images whose object category is known")
    origins = {image.file_name: image.origin_split for image in dataset.images}
    return ImageSource(
        dataset.image_root, {name: names[name] for name in sorted(names)}, origins, dataset
    )


def _open_sample(source: Path) -> ImageSource:
    """A sample of plain folders: the pictures are copied beside the manifest, or elsewhere."""
    manifest = read_json(source / "manifest.json")
    try:
        listed = [Chosen(**one) for one in manifest["images"]]
        root = source / "images" if (source / "images").is_dir() else Path(manifest["source"])
    except (KeyError, TypeError) as error:
        raise SchemaError(f"{source / 'manifest.json'} is not the manifest of a sample") from error
    names: dict[str, list[str]] = defaultdict(list)
    for one in listed:
        names[one.object].append(one.file_name)
    origins = {one.file_name: one.origin_split for one in listed}
    return ImageSource(root, {name: names[name] for name in sorted(names)}, origins)


def _open_folder(source: Path) -> ImageSource:
    folders = sorted(path for path in source.glob("*") if path.is_dir() and path.name[0] != ".")
    files = {
        folder.name: sorted(
            path.relative_to(source).as_posix() for path in folder.rglob("*") if path.is_file()
        )
        for folder in folders
    }
    names = {owner: list(filter(is_image_name, listed)) for owner, listed in files.items()}
    rest = (n for listed in files.values() for n in listed if not is_image_name(n))
    others = tuple(name for name in rest if not is_litter(name))
    if not any(names.values()):
        hint = "name a folder with one sub-folder for each object category, or a part data set"
        raise NotFoundError(
            f"{source} has no images in sub-folders",
            hint=f"{not_read(others)}; else {hint}" if others else hint,
        )
    return ImageSource(source, names, {}, others=others)


def need_enough(
    counts: Mapping[str, int], wanted: int, source: str | Path, what: str = "images"
) -> None:
    """See that every category has as many images as are wanted (D-02).

    `what` is what was counted: files called like images, or images that were opened.

    Raises:
        DatasetError: some have fewer; they are named.
    """
    short = {name: count for name, count in counts.items() if count < wanted}
    if not short:
        return
    named = [f"{name} ({count})" for name, count in sorted(short.items())]
    raise DatasetError(
        f"{source} has fewer than {wanted} {what} of {few(named, 20)}",
        hint="ask for fewer with --per-object, or add images to these categories",
    )


def choose_images(
    source: ImageSource,
    wanted: int,
    *,
    seed: int = 0,
    origin_split: str | None = None,
) -> tuple[list[Chosen], list[str]]:
    """`wanted` readable images of every category in seeded order, and the unreadable ones.

    Raises:
        DatasetError: a category has too few readable images; all such are named.
    """
    need_enough({name: len(files) for name, files in source.names.items()}, wanted, source.root)
    chosen: list[Chosen] = []
    unreadable: list[str] = []
    for owner in track(source.names, "choosing", len(source.names)):
        one_by_one = in_seeded_order(source, owner, seed=seed, unreadable=unreadable)
        for one in islice(one_by_one, wanted):
            stated = origin_split or one.origin_split
            chosen.append(replace(one, origin_split=stated))
    counts = Counter(one.object for one in chosen)
    have = {name: counts[name] for name in source.names}
    need_enough(have, wanted, source.root, "readable images")
    return chosen, unreadable


def in_seeded_order(
    source: ImageSource,
    owner: str,
    *,
    seed: int = 0,
    without: Collection[str] = (),
    unreadable: list[str] | None = None,
) -> Iterator[Chosen]:
    """The readable images of one category, opened one by one in the order the seed gives them.

    Those named in `without` are left out and the others keep their order, so that a choice can
    be gone on with. Names of unreadable ones are added to `unreadable`.
    """
    ordered = sorted(source.names[owner])
    for position in category_rng(seed, owner).permutation(len(ordered)):
        if (name := ordered[position]) in without:
            continue
        try:
            height, width = load_image(source.root / name).shape[:2]
            sha256 = sha256_file(source.root / name)
        except PartlabError as error:
            log.warning("passed over: %s", error.message)
            if unreadable is not None:
                unreadable.append(name)
            continue
        yield Chosen(name, owner, width, height, sha256, source.origins.get(name))


def _copy(root: Path, target: Path, chosen: Sequence[Chosen]) -> None:
    for one in chosen:
        copy_file(root / one.file_name, target / one.file_name)


def _only(dataset: Dataset, chosen: Sequence[Chosen]) -> Dataset:
    names = {one.file_name for one in chosen}
    return dataset.subset(image.id for image in dataset.images if image.file_name in names)
