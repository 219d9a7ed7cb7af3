"""The part data set: COCO records, each with our own fields under one key `partlab`.

A record keeps the JSON object it was read from, so unknown keys, key order and number
formats survive a round trip. The classes below only give the known keys names and types.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from partlab.errors import NotFoundError, UnknownNameError
from partlab.parts import Inclusions, Parts

T = TypeVar("T")
OURS = "partlab"
Raw = dict[str, Any]


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
    whole_object = Field[bool]("whole_object", ours=True, default=False)
    supercategory = Field[str | None]("supercategory")

    @classmethod
    def new(cls, id: int, object: str, part: str, **ours: Any) -> Self:
        """A category named `object:part`; keyword values go under `partlab`."""
        raw: Raw = {"id": id, "name": f"{object}:{part}", "supercategory": object, "part": part}
        return cls({**raw, OURS: ours} if ours else raw)

    @property
    def object(self) -> str:
        """Name of the object category: the supercategory, else what stands before the colon."""
        name = str(self.raw.get("name", ""))
        return str(self.raw.get("supercategory") or name.partition(":")[0])

    @property
    def part(self) -> str:
        """Name of the part within its object."""
        name = str(self.raw.get("name", ""))
        return str(self.raw.get("part") or name.removeprefix(f"{self.object}:"))

    @property
    def name(self) -> str:
        """`object:part`, whatever the file calls it."""
        return f"{self.object}:{self.part}"


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
        """The one foreground object category (D-03), if the file says it."""
        found: str | None = self.raw.get(OURS, {}).get("object") or self.raw.get("class")
        return found


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

    `severity` is "error" (training or evaluation would be wrong) or "warning".
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

    @property
    def broken(self) -> Sequence[Raw]:
        """Records set aside while reading: which list or file, reason, and the record itself."""
        found: Sequence[Raw] = (self.top.get(OURS) or {}).get("broken", [])
        return found

    @cached_property
    def incomplete_images(self) -> frozenset[int]:
        """Ids of images of which a mask without pixels was taken away (`partlab.dropped`)."""
        dropped = (self.top.get(OURS) or {}).get("dropped", [])
        records = [entry.get("record") for entry in dropped if isinstance(entry, dict)]
        return frozenset(r["image_id"] for r in records if isinstance(r, dict) and "image_id" in r)

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
        return tuple(dict.fromkeys(category.object for category in self.categories))

    @cached_property
    def parents(self) -> Mapping[int, int]:
        """Label of an included part -> label of the part around it."""
        return self.parts.parents

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
        if image.object is not None:
            return image.object
        owners = {
            self.category_by_id[a.category_id].object
            for a in self.annotations_of(image)
            if a.category_id in self.category_by_id
        }
        return owners.pop() if len(owners) == 1 else None

    def image_path(self, image: Image) -> Path:
        """Where the picture lies on this machine."""
        return self.image_root / image.file_name

    def labels_of(self, object: str) -> list[int]:
        """Labels of an object category's parts.

        Raises:
            UnknownNameError: the data set has no such object category.
        """
        labels = [i for i, c in enumerate(self.categories) if c.object == object]
        if not labels:
            raise UnknownNameError("object category", object, self.objects)
        return labels

    def find_image(self, file_name: str) -> Image:
        """The image of this file name.

        Raises:
            NotFoundError: the data set has none.
        """
        for image in self.images:
            if image.file_name == file_name:
                return image
        raise NotFoundError(f"no image {file_name} in {self.path or 'the data set'}")

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
            self.top,
        )
