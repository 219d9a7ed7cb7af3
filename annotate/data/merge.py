"""Several part data sets as one: ids, names and pictures joined, conflicts named.

Categories are the same if object and part are. A picture is known by its name and its bytes: the
same picture in two data sets is one image with the masks of both, another picture of the same
name gets a new one. Nothing is chosen between two statements: what disagrees is refused by name.
"""

import filecmp
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from annotate.data.about import joined, said_of_itself
from annotate.data.accepted import Pairs, accepted_overlaps, with_accepted
from annotate.data.convert import counts_of
from annotate.data.formats.pictures import Pictures, is_safe_name, place
from annotate.data.renaming import renamed
from annotate.data.stale import marked
from partlab.coco import find_splits, read_coco, write_coco
from partlab.counts import counted
from partlab.errors import ConfigError, MaskError, SchemaError
from partlab.folders import new_folder
from partlab.inclusions import Inclusions, merged, outers_of
from partlab.masks import from_segmentation
from partlab.objects import name_key, require_ids
from partlab.parts import join_name
from partlab.progress import track
from partlab.schema import OURS, Annotation, Category, Dataset, Discard, Image, Raw
from partlab.spelling import whole

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "valid", "validation", "test", "heldout", "all")


def merge_folders(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    split: str | None = None,
    unite: bool = False,
    pictures: Pictures = Pictures.link,
    dry_run: bool = False,
    force: bool = False,
) -> Raw:
    """Join data sets, split by split, into a new one; returns counts and what was done.

    A lone file joins the split it is called after (train, val, …), else `train`; `split` puts
    everything into one. `unite` takes categories that differ in case or signs for one.

    Raises:
        ConfigError: there is nothing to join.
        NotFoundError: no data set at one of the paths.
        SchemaError: two data sets disagree about a category, an image or an inclusion, or one
            of them has an id that is two images.
        OutputExistsError: `out` holds files, and `force` is off.
    """
    paths = [Path(path) for path in sources]
    read = [
        (split or name, str(file), marked(read_coco(file)))
        for path in paths
        for name, file in _splits_of(path).items()
    ]
    if len(read) < 2:
        raise ConfigError("there is only one data set", hint="name two or more to join")
    merge = _Merge(unite=unite)
    found = merge.join(read)
    if not dry_run:
        with new_folder(out, force=force, inputs=paths) as folder:
            for name, dataset in found.items():
                write_coco(dataset, folder / "annotations" / f"{name}.json")
            images = track(merge.pictures.items(), "pictures", total=len(merge.pictures))
            place(((source, folder / "images" / name) for name, source in images), pictures)
    told = {"splits": counts_of(found), "renamed": merge.renamed, **merge.done}
    return {"out": str(out), "sources": [str(path) for path in paths], **told}


def _splits_of(path: Path) -> dict[str, Path]:
    """The splits of a folder; a lone file's name counts only if it is that of a split."""
    found = find_splits(path)
    if len(found) > 1:
        return found
    ((name, file),) = found.items()
    return {name if name in SPLITS else "train": file}


@dataclass
class _Joined:
    """One split as it grows."""

    images: list[Image] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    discards: list[Discard] = field(default_factory=list)
    broken: list[Raw] = field(default_factory=list)
    dropped: list[Raw] = field(default_factory=list)
    said: list[tuple[str, Raw]] = field(default_factory=list)  # of each source: what it is
    sources: list[Dataset] = field(default_factory=list)
    at: dict[str, int] = field(default_factory=dict)  # file name -> position in `images`
    objects: int = 0  # highest object id so far


class _Merge:
    """Joins data sets one after another and counts what it did."""

    def __init__(self, *, unite: bool) -> None:
        self.unite = unite
        self.categories: dict[tuple[str, str], tuple[Category, str]] = {}
        self.licenses: list[Raw] = []
        self.pictures: dict[str, Path] = {}  # new file name -> the picture it is
        self.kept: dict[str, tuple[Image, str]] = {}  # new file name -> its first record
        self.renamed: list[dict[str, str]] = []
        self.done: Counter[str] = Counter(shared_images=0, same_masks=0, not_compared=0)
        self.splits: dict[str, _Joined] = {}

    def join(self, read: Sequence[tuple[str, str, Dataset]]) -> dict[str, Dataset]:
        """The joined data sets by split; all have the same categories."""
        for _, _, data in read:
            require_ids(data)
        named = [(split, where, self._spelled(data, where)) for split, where, data in read]
        inclusions = self._inclusions([(where, data) for _, where, data in named])
        for split, where, data in named:
            self._add(self.splits.setdefault(split, _Joined()), where, data)
        self._tell()
        accepted = _accepted([(where, data) for _, where, data in named])
        return {
            name: with_accepted(self._dataset(one, inclusions), accepted)
            for name, one in self.splits.items()
        }

    def _spelled(self, data: Dataset, where: str) -> Dataset:
        """The data set with its categories called as the first data set calls them."""
        names = []
        for category in data.categories:
            first, there = self.categories.setdefault(name_key(category), (category, where))
            if first.name != category.name and not self.unite:
                raise SchemaError(
                    f"{first.name} in {there} and {category.name} in {where} share one name",
                    hint="pass --unite to make them one, or give each its own name",
                )
            self.categories[name_key(category)] = (_filled(first, category, there, where), there)
            names.append((first.object, first.part))
        same = all(
            name == (c.object, c.part) for name, c in zip(names, data.categories, strict=True)
        )
        return data if same else renamed(data, names)

    def _inclusions(self, read: Sequence[tuple[str, Dataset]]) -> Inclusions:
        together: Inclusions = {}
        for where, data in read:
            try:
                together = merged([together, data.inclusions])
            except SchemaError as error:
                raise SchemaError(f"{where}: {error.message}", hint=error.hint) from error
        for owner, around in together.items():
            for inner in around:
                said = [outers_of(inner, data.inclusions.get(owner, {})) for _, data in read]
                if len({frozenset(outers) for outers in said if outers}) > 1:
                    outers = ", ".join(outers_of(inner, around))
                    what = "%s:%s lies in %s now: the data sets name different ones, and all count"
                    log.warning(what, owner, inner, outers)
        return together

    def _add(self, split: _Joined, where: str, data: Dataset) -> None:
        split.said.append((where, said_of_itself(data)))
        split.sources.append(data)
        licenses = self._licenses(data)
        names = {
            image.id: self._image(split, where, data, image, licenses) for image in data.images
        }
        positions = {id: split.at[name] for id, name in names.items()}
        self._masks(split, where, data, positions)
        files = {image.file_name: names[image.id] for image in data.images}
        for discard in data.discards:
            discard = discard.changed(file_name=files.get(discard.file_name, discard.file_name))
            if discard not in split.discards:
                split.discards.append(discard)
        for entries, kept in ((data.broken, split.broken), (data.dropped, split.dropped)):
            kept += [{**_at_new_image(entry, positions, split), "from": where} for entry in entries]

    def _image(
        self, split: _Joined, where: str, data: Dataset, image: Image, licenses: Mapping[int, int]
    ) -> str:
        """Add one image, or find it there; its file name in the joined data set."""
        if not is_safe_name(image.file_name):
            raise SchemaError(
                f"{where}: image {image.id} has the file name {image.file_name!r}, "
                "outside the data set",
                hint="rename it",
            )
        path = data.image_path(image)
        name = self._name(image, path, where)
        stated = image.raw.get("license")
        if type(stated) is int and stated in licenses:
            image = Image({**image.raw, "license": licenses[stated]})
        if name in split.at:
            first = split.images[split.at[name]]
            split.images[split.at[name]] = _agreed(first, image, self.kept[name][1], where)
            self.done["shared_images"] += 1
            return name
        new = image.changed(id=len(split.images) + 1, file_name=name)
        if name != image.file_name:
            new = Image(
                {**new.raw, OURS: {**new.raw.get(OURS, {}), "renamed_from": image.file_name}}
            )
        split.at[name] = len(split.images)
        split.images.append(new)
        return name

    def _name(self, image: Image, path: Path, where: str) -> str:
        """The image's own name; another one if a different picture has that already."""
        for name in _candidates(image.file_name, where):
            if name not in self.kept:
                self.kept[name], self.pictures[name] = (image, where), path
                if name != image.file_name:
                    self.renamed.append({"from": where, "file_name": image.file_name, "to": name})
                return name
            if self._same_picture(self.kept[name][0], self.pictures[name], image, path):
                return name
        raise AssertionError("the candidates never end")

    def _same_picture(self, first: Image, its: Path, other: Image, path: Path) -> bool:
        if its.is_file() and path.is_file():
            return its.samefile(path) or filecmp.cmp(its, path, shallow=False)
        if first.sha256 and other.sha256:
            return first.sha256 == other.sha256
        self.done["not_compared"] += 1
        return (first.width, first.height) == (other.width, other.height)

    def _masks(
        self, split: _Joined, where: str, data: Dataset, positions: Mapping[int, int]
    ) -> None:
        ids = {key: at for at, key in enumerate(self.categories, 1)}
        category_of = {c.id: ids[name_key(c)] for c in data.categories}
        before = _by_image(split.annotations)
        highest = split.objects
        for position, annotation in enumerate(data.annotations):
            image_at = positions.get(annotation.image_id)
            category = category_of.get(annotation.category_id)
            if image_at is None or category is None:
                lacks = "image" if image_at is None else "category"
                reason = f"belongs to no {lacks} of its file"
                lost: Raw = {"list": "annotations", "position": position, "reason": reason}
                lost["record"] = annotation.raw
                split.broken.append({**_at_new_image(lost, positions, split), "from": where})
                continue
            image = split.images[image_at]
            new = annotation.changed(
                id=len(split.annotations) + 1, image_id=image.id, category_id=category
            )
            if any(_same_mask(new, old, image) for old in before.get(image.id, ())):
                self.done["same_masks"] += 1
                continue
            if new.object_id is not None:
                if type(stated := whole(new.object_id)) is not int:
                    raise SchemaError(
                        f"{where}: annotation {annotation.id} has the object_id {stated!r}, "
                        "which is no number",
                        hint="give the parts of one object the same number",
                    )
                new = new.changed(object_id=stated + highest)
                split.objects = max(split.objects, new.object_id or 0)
            split.annotations.append(new)

    def _licenses(self, data: Dataset) -> dict[int, int]:
        """Id in the file -> id in the joined list, by what the licence says."""
        found = {}
        listed = data.top.get("licenses")
        for stated in listed if isinstance(listed, list) else ():
            if not isinstance(stated, dict) or type(stated.get("id")) is not int:
                continue
            bare = {key: value for key, value in stated.items() if key != "id"}
            if bare not in self.licenses:
                self.licenses.append(bare)
            found[stated["id"]] = self.licenses.index(bare) + 1
        return found

    def _tell(self) -> None:
        for one in self.renamed[:3]:
            what = "%s: %s is another picture than the one of that name; it is now %s"
            log.info(what, one["from"], one["file_name"], one["to"])
        if count := self.done["not_compared"]:
            pairs = counted(count, "pair")
            log.warning("%s of pictures of one name not compared: taken for the same", pairs)
        owners = Counter(name for split in self.splits.values() for name in split.at)
        if twice := [name for name, count in owners.items() if count > 1]:
            are = counted(len(twice), "picture is", "pictures are")
            log.warning("%s in two splits: %s", are, ", ".join(twice[:3]))

    def _dataset(self, split: _Joined, inclusions: Inclusions) -> Dataset:
        ours = joined(split.said)
        ours |= {"broken": split.broken} if split.broken else {}
        ours |= {"dropped": split.dropped} if split.dropped else {}
        licenses = [{"id": id, **one} for id, one in enumerate(self.licenses, 1)]
        categories = [
            category.changed(id=new)
            for new, (category, _) in enumerate(self.categories.values(), 1)
        ]
        top: Raw = {"licenses": licenses} if licenses else {}
        lists = split.images, split.annotations, categories
        whole = Dataset(*lists, inclusions, split.discards, top={**top, OURS: ours})
        return marked(whole, split.sources)


def _accepted(read: Sequence[tuple[str, Dataset]]) -> Pairs:
    """Overlaps that an inspection of any of the data sets accepted; where others do not, said."""
    found: Pairs = {}
    for where, data in read:
        for owner, pairs in accepted_overlaps(data).items():
            known = found.setdefault(owner, [])
            known += [pair for pair in pairs if pair not in known and pair[::-1] not in known]
            for pair in pairs:
                others = [place for place, other in read if _lacks(other, owner, pair)]
                if others:
                    what = "%s: %s may lie over %s, as accepted in %s; joined, in %s too"
                    log.warning(what, owner, *pair, where, ", ".join(others))
    return found


def _lacks(data: Dataset, owner: str, pair: tuple[str, str]) -> bool:
    """Whether a data set has both parts, and nobody accepted that they overlap in it."""
    stated = accepted_overlaps(data).get(owner, [])
    names = {join_name(owner, part) for part in pair}
    return {*data.names} >= names and pair not in stated and pair[::-1] not in stated


def _candidates(file_name: str, where: str) -> Iterator[str]:
    """The name, then names with the source's before the suffix: `a-ben.png`."""
    path = PurePosixPath(file_name.replace("\\", "/"))
    yield file_name
    parts = [part for part in Path(where).with_suffix("").parts if part != "annotations"]
    label = "-".join(parts[-2:] if parts[-1] in SPLITS else parts[-1:]).strip("/.")
    number = 1
    while True:
        more = f"-{number}" if number > 1 else ""
        yield str(path.with_name(f"{path.stem}-{label}{more}{path.suffix}"))
        number += 1


def _filled(first: Category, other: Category, there: str, where: str) -> Category:
    """The first record with what only the other one says of the same part."""
    _disagree(first.name, first.raw.get(OURS, {}), other.raw.get(OURS, {}), there, where)
    ours = {**other.raw.get(OURS, {}), **first.raw.get(OURS, {})}
    return Category({**first.raw, OURS: ours}) if ours != first.raw.get(OURS, {}) else first


def _agreed(first: Image, other: Image, there: str, where: str) -> Image:
    """One record of a picture that two data sets have."""
    said, says = ({"size": (i.width, i.height), **i.raw.get(OURS, {})} for i in (first, other))
    _disagree(first.file_name, said, says, there, where)
    ours = {**other.raw.get(OURS, {}), **first.raw.get(OURS, {})}
    return Image({**other.raw, **first.raw, **({OURS: ours} if ours else {})})


def _disagree(name: str, first: Raw, other: Raw, there: str, where: str) -> None:
    for key in ("size", "object", "wnid", "qid", "sha256"):
        if None not in (first.get(key), other.get(key)) and first[key] != other[key]:
            raise SchemaError(
                f"{name} has the {key} {first[key]} in {there} and {other[key]} in {where}",
                hint="make the two files agree, then join them",
            )


def _at_new_image(entry: Raw, positions: Mapping[int, int], split: _Joined) -> Raw:
    """A record set aside, at the image's new id; an id that was nobody's must not become one."""
    record = entry.get("record")
    if not isinstance(record, dict) or "image_id" not in record:
        return entry
    stated = record["image_id"]
    at = positions.get(whole(stated)) if isinstance(stated, int | float | str) else None
    new = None if at is None else split.images[at].id
    said = {"image_id": new} if new is not None else {"image_id": None, "stated_image_id": stated}
    return {**entry, "record": {**record, **said}}


def _by_image(annotations: Sequence[Annotation]) -> dict[int, list[Annotation]]:
    found: dict[int, list[Annotation]] = {}
    for annotation in annotations:
        found.setdefault(annotation.image_id, []).append(annotation)
    return found


def _same_mask(a: Annotation, b: Annotation, image: Image) -> bool:
    """Whether two annotations of one image are the same pixels of the same part."""
    if a.category_id != b.category_id or bool(a.iscrowd) != bool(b.iscrowd):
        return False
    if a.segmentation == b.segmentation:
        return True
    try:
        size = image.height, image.width
        return from_segmentation(a.segmentation, *size) == from_segmentation(b.segmentation, *size)
    except MaskError:
        return False
