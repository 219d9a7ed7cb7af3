"""The part data set: COCO records, each with our own fields under one key `partlab`.

A record keeps the JSON object it was read from, so unknown keys, key order and number
formats survive a round trip. The classes below only give the known keys names and types.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from reprlib import Repr
from typing import Any, Generic, Self, TypeVar

import orjson

from partlab.errors import NotFoundError
from partlab.inclusions import Inclusions
from partlab.parts import Parts, folded, join_name, split_name
from partlab.pictures import STATED, PictureFinder
from partlab.spelling import whole

T = TypeVar("T")
OURS = "partlab"
Raw = dict[str, Any]
_SHORT = Repr()
_SHORT.maxstring = 60


class Field(Generic[T]):
    """A named, typed view of one JSON key; `ours` looks under the key `partlab`."""

    def __init__(self, key: str, *, ours: bool = False, default: Any = None) -> None:
        self.key, self.ours, self.default = key, ours, default

    def __get__(self, record: "Record", owner: type) -> T:
        raw = record.raw.get(OURS, {}) if self.ours else record.raw
        value: T = raw.get(self.key, self.default)
        return value


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON object of a COCO file."""

    raw: Raw

    def __repr__(self) -> str:
        """The plain values; a mask would fill the screen."""
        plain = [(k, v) for k, v in self.raw.items() if isinstance(v, str | int | float)]
        shown = (f"{key}={_SHORT.repr(value)}" for key, value in plain[:6])
        return f"{type(self).__name__}({', '.join(shown)})"

    def changed(self, **values: Any) -> Self:
        """A copy with these fields set (by their Python names); the original stays as it is."""
        raw = dict(self.raw)
        for name, value in values.items():
            view = _view(type(self), name)
            if view.ours:
                raw[OURS] = {**raw.get(OURS, {}), view.key: value}
            else:
                raw[view.key] = value
        return type(self)(raw)


def _view(kind: type, name: str) -> Field[Any]:
    for base in kind.__mro__:
        if isinstance(found := base.__dict__.get(name), Field):
            return found
    raise AttributeError(f"{kind.__name__} has no field {name!r}")


class Category(Record):
    """A part category, known by (object, part); `id` is local to its file (requirement C1)."""

    __slots__ = ()
    id = Field[int]("id")
    wnid = Field[str | None]("wnid", ours=True)
    qid = Field[str | None]("qid", ours=True)
    supercategory = Field[str | None]("supercategory")

    @classmethod
    def new(cls, id: int, object: str, part: str, **ours: Any) -> Self:
        """A category named `object:part`; keyword values go under `partlab`."""
        raw: Raw = {"id": id, "name": f"{object}:{part}", "supercategory": object, "part": part}
        return cls({**raw, OURS: ours} if ours else raw)

    @property
    def object(self) -> str:
        """Name of the object category: what stands before the colon, else the supercategory.

        A supercategory that says no more than that there is none (`none`, PACO's `PART`) does
        not count; a name that stands alone then is an object itself.
        """
        return self._split[0]

    @property
    def part(self) -> str:
        """Name of the part within its object."""
        return self._split[1]

    @property
    def name(self) -> str:
        """`object:part`, whatever the file calls it."""
        return join_name(*self._split)

    @property
    def whole_object(self) -> bool:
        """Whether its masks show the whole object, by its flag or by its name."""
        stated: bool | None = self.raw.get(OURS, {}).get("whole_object")
        return folded(self.object) == folded(self.part) if stated is None else stated

    @property
    def stands_alone(self) -> bool:
        """Whether the file names neither an object beside it nor that it is a whole one."""
        name = _trimmed(self.raw.get("name", ""))
        both = bool(self.raw.get("part") and self._super)
        said = both or ":" in name or "whole_object" in self.raw.get(OURS, {})
        return not said and folded(self._super or name) == folded(name)

    @property
    def _super(self) -> str:
        stated = self.raw.get("supercategory")
        known = isinstance(stated, str) and folded(stated) not in _NO_OBJECT
        return _trimmed(stated) if known else ""

    @property
    def _split(self) -> tuple[str, str]:
        """Both without spaces around; a colon in an object's name would end it, so it is a space.

        An empty side of a colon is none: `bird:` and `:bird` are `bird`.
        """
        name, owner = _trimmed(self.raw.get("name", "")), self._super
        part = str(self.raw.get("part") or "").strip()
        if owner and not part and name.startswith(f"{owner}:"):
            part = name.removeprefix(f"{owner}:").strip()
        elif ":" in name and not (owner and part):  # both stated, as in our own files, count first
            owner, part = (side.strip() for side in split_name(name))
        return (owner or name).replace(":", " "), part or name


def _trimmed(name: Any) -> str:
    return str(name).strip().strip(":").strip()


_NO_OBJECT = frozenset(
    {"", "n a", "none", "null", "nan", "undefined", "unknown", "default", "root", "background"}
    | {"object", "objects", "common objects", "part", "parts", "thing", "things"}
)
BACKGROUND = frozenset({"background", "bg"})
"""Folded names of categories that are neither object nor part."""


class Image(Record):
    """One picture; width and height are in pixels, EXIF orientation applied."""

    __slots__ = ()
    id = Field[int]("id")
    file_name = Field[str]("file_name")
    width = Field[int]("width")
    height = Field[int]("height")
    sha256 = Field[str | None]("sha256", ours=True)
    origin_split = Field[str | None]("origin_split", ours=True)  # D-01
    source = Field[str | None]("source", ours=True)  # D-04
    license = Field[str | None]("license", ours=True)  # D-06
    provenance = Field[str | None]("provenance", ours=True)  # D-05, also where no mask says it

    @classmethod
    def new(cls, id: int, file_name: str, size: tuple[int, int], **ours: Any) -> Self:
        """An image of `size` (width, height); keywords such as `object` go under `partlab`."""
        raw: Raw = {"id": id, "file_name": file_name, "width": size[0], "height": size[1]}
        return cls({**raw, OURS: ours} if ours else raw)

    @property
    def object(self) -> str | None:
        """The one foreground object category (D-03), if the file says it; see `Category.object`."""
        found = self.raw.get(OURS, {}).get("object") or self.raw.get("class")
        return _trimmed(found).replace(":", " ") if isinstance(found, str) else None


class Annotation(Record):
    """One mask of one part of one object instance; layers are never flattened (M-03)."""

    __slots__ = ()
    id = Field[int]("id")
    image_id = Field[int]("image_id")
    category_id = Field[int]("category_id")
    segmentation = Field[Any]("segmentation")
    bbox = Field[list[float] | None]("bbox")  # x, y, width, height in pixels
    area = Field[float | None]("area")  # in pixels
    iscrowd = Field[int]("iscrowd", default=0)
    object_id = Field[int | None]("object_id", ours=True)  # groups the parts of one object
    provenance = Field[str]("provenance", ours=True, default="human")  # D-05
    score = Field[float]("score", ours=True, default=1.0)
    review = Field[str | None]("review", ours=True)

    @classmethod
    def new(
        cls, id: int, image_id: int, category_id: int, segmentation: Any, **fields: Any
    ) -> Self:
        """An annotation; `bbox` and `area` are COCO's, other keywords go under `partlab`."""
        raw: Raw = {"id": id, "image_id": image_id, "category_id": category_id}
        raw["segmentation"] = segmentation
        raw |= {key: fields.pop(key) for key in ("bbox", "area") if key in fields}
        raw["iscrowd"] = 0
        return cls({**raw, OURS: fields} if fields else raw)


class Discard(Record):
    """An image an annotator refused; kept for ever with its reasons (M-07, Q-04)."""

    __slots__ = ()
    file_name = Field[str]("file_name")
    object = Field[str | None]("object", ours=True)
    reason = Field[str | None]("reason", ours=True)
    annotator = Field[str | None]("annotator", ours=True)
    verdicts = Field[list[Raw] | None]("verdicts", ours=True)


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect of a data set, in words a person can act on.

    `severity` is "error" (training or evaluation would be wrong) or "warning". Where it is about
    two masks, `other_…` are those of the second: of the larger one, where they overlap.
    """

    kind: str
    severity: str
    message: str
    hint: str
    file: str | None = None
    image_id: int | None = None
    annotation_id: int | None = None
    category_id: int | None = None
    fixable: bool = False
    other_annotation_id: int | None = None
    other_category_id: int | None = None


@dataclass(frozen=True)
class Dataset:
    """Images, part masks and part categories of one COCO file, indexed on first use.

    `path` is the file it came from, `image_root` the folder `file_name` is relative to;
    `top` holds every other top-level key of the file, in order.
    """

    images: Sequence[Image]
    annotations: Sequence[Annotation]
    categories: Sequence[Category]
    inclusions: Inclusions = field(default_factory=dict)
    discards: Sequence[Discard] = ()
    path: Path | None = None
    image_root: Path = Path()
    top: Raw = field(default_factory=dict)
    finder: PictureFinder | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """A part of a data set keeps the finder of the whole, which knows all its names."""
        if self.finder is None or self.finder.root != self.image_root:
            finder = PictureFinder(self.image_root, self.path, self.images)
            object.__setattr__(self, "finder", finder)

    def __repr__(self) -> str:
        counts = f"{len(self.images):,} images, {len(self.annotations):,} masks"
        return f"Dataset({self.path or 'in memory'}, {counts}, {self.parts.summary})"

    @property
    def broken(self) -> Sequence[Raw]:
        """Records set aside while reading: which list or file, reason, and the record itself."""
        found: Sequence[Raw] = (self.top.get(OURS) or {}).get("broken") or []
        return found

    @property
    def dropped(self) -> Sequence[Raw]:
        """Masks that were taken away for good; of the same form as `broken`."""
        found: Sequence[Raw] = (self.top.get(OURS) or {}).get("dropped") or []
        return found

    @cached_property
    def incomplete(self) -> Mapping[int, str]:
        """Image id -> why something drawn there is in no annotation.

        A record was set aside while reading, or a mask without pixels was taken away
        (`partlab.dropped`). `partlab.truth.incomplete` also looks at the masks themselves.
        """
        lost = [*_lost(self.broken), *_lost(self.dropped)]
        return {id: why for id, why in reversed(lost) if id in self.image_by_id}

    @cached_property
    def image_by_id(self) -> Mapping[int, Image]:
        """Image for each image id."""
        return {image.id: image for image in self.images}

    @cached_property
    def category_by_id(self) -> Mapping[int, Category]:
        """Category for each category id."""
        return {category.id: category for category in self.categories}

    @cached_property
    def label_of(self) -> Mapping[int, int]:
        """Contiguous 0-based label (position in `categories`) for each category id."""
        return {category.id: label for label, category in enumerate(self.categories)}

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the content: images, annotations and categories in order, inclusions.

        Two data sets are the same if this is, wherever their files lie and however they are
        spelled; a subset has its own. `path` says where a data set came from, never what it is.
        Pictures count by the `sha256` that their records state, not by their bytes.
        """
        digest = hashlib.sha256(_canonical([self.inclusions, sorted(self.incomplete)]))
        for records in (self.categories, self.images, self.annotations):
            digest.update(b"\n")
            for record in records:
                digest.update(_canonical(record.raw) + b"\n")
        return digest.hexdigest()

    @cached_property
    def parts(self) -> Parts:
        """The part categories by label, and the inclusions among them."""
        return Parts(self.names, self.inclusions)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """`object:part` for each label."""
        return tuple(category.name for category in self.categories)

    @cached_property
    def objects(self) -> tuple[str, ...]:
        """Object categories, in the order their first part appears."""
        return self.parts.objects

    @cached_property
    def _by_image(self) -> Mapping[int, list[Annotation]]:
        grouped: defaultdict[int, list[Annotation]] = defaultdict(list)
        for annotation in self.annotations:
            grouped[annotation.image_id].append(annotation)
        return grouped

    def annotations_of(self, image: Image | int) -> list[Annotation]:
        """The masks of one image, in file order."""
        return self._by_image.get(image if isinstance(image, int) else image.id, [])

    def object_of(self, image: Image) -> str | None:
        """The image's object category: as stated, else the one its parts belong to."""
        owners = self.objects_of(image)
        return owners[0] if len(owners) == 1 else None

    def objects_of(self, image: Image) -> tuple[str, ...]:
        """The object categories in an image: the stated one, else those its parts belong to."""
        if image.object is not None:
            return (image.object,)
        ids = {a.category_id for a in self.annotations_of(image)} & self.category_by_id.keys()
        return tuple(sorted({self.category_by_id[id].object for id in ids}))

    @property
    def pictures(self) -> PictureFinder:
        """Finds pictures that are not where `file_name` says."""
        assert self.finder is not None
        return self.finder

    def image_path(self, image: Image) -> Path:
        """Where the picture lies on this machine (see `partlab.pictures` for the rules)."""
        return self.pictures.find(image.file_name).path

    def settled(self) -> "Dataset":
        """The same data set, every `file_name` as the picture was found under `image_root`.

        Names of pictures that are nowhere stay as they are. Where all are as stated, it is this.
        """
        found = [self.pictures.find(image.file_name) for image in self.images]
        if all(one.rule in (STATED, None) for one in found):
            return self
        inside = all(one.base == self.image_root for one in found)
        root = self.image_root if inside else self.pictures.home
        images = [
            image.changed(file_name=one.path.relative_to(root).as_posix()) if one.rule else image
            for image, one in zip(self.images, found, strict=True)
        ]
        return replace(self, images=images, image_root=root)

    def find_image(self, file_name: str) -> Image:
        """The image of this file name.

        Raises:
            NotFoundError: the data set has none.
        """
        for image in self.images:
            if image.file_name == file_name:
                return image
        raise NotFoundError(f"no image {file_name} in {self.path or 'the data set'}")

    def find_id(self, image_id: int) -> Image:
        """The image of this id.

        Raises:
            NotFoundError: the data set has none.
        """
        if image_id not in self.image_by_id:
            raise NotFoundError(f"no image with id {image_id} in {self.path or 'the data set'}")
        return self.image_by_id[image_id]

    def subset(self, image_ids: Iterable[int]) -> "Dataset":
        """The same data set with only these images and their masks."""
        keep = set(image_ids)
        return Dataset(
            [image for image in self.images if image.id in keep],
            [a for a in self.annotations if a.image_id in keep],
            self.categories,
            self.inclusions,
            self.discards,
            self.path,
            self.image_root,
            self._top_of(keep),
            self.finder,
        )

    def _top_of(self, keep: set[int]) -> Raw:
        """The rest of the file, without the masks set aside of images that are not kept."""
        others, ours = self.image_by_id.keys() - keep, dict(self.top.get(OURS) or {})
        for key in ("broken", "dropped"):
            kept = [entry for entry in ours.pop(key, None) or () if _image_of(entry) not in others]
            ours |= {key: kept} if kept else {}
        return {**self.top, OURS: ours} if ours or OURS in self.top else self.top


def _canonical(value: Any) -> bytes:
    """JSON with sorted keys, a fifth of the time that reading it took."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # numbers beyond 64 bits, broken surrogates, keys that are no strings
        return json.dumps(value, sort_keys=True, default=str).encode()


def _lost(entries: Iterable[Raw]) -> Iterator[tuple[int, str]]:
    """(image id, reason) of annotations set aside that still say where they belong."""
    for entry in entries:
        if (image_id := _image_of(entry)) is not None:
            yield image_id, f"{entry.get('list')}[{entry.get('position')}] {entry.get('reason')}"


def _image_of(entry: Any) -> int | None:
    """The image that an annotation set aside says it is of."""
    record = entry.get("record") if isinstance(entry, dict) else None
    image_id = whole(record.get("image_id")) if isinstance(record, dict) else None
    return image_id if type(image_id) is int else None
