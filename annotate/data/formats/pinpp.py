"""The PartImageNet++ release: one COCO file per object category, ids local to each file.

    json/<wnid>.json        images, annotations, categories (named by the part alone)
    including/<wnid>.txt    one `small:large` per line; a part in several has several lines
    discarded_data.json     refused pictures
    category_name.json      object and part names of each file

Reading gives one data set with ids of its own: categories in the order of the sorted file
names and then of each file (requirements B3, C1). Part names repeat between objects, so a
category is known by (wnid, part). What a record lacks or breaks is kept, never repaired:
records that cannot be represented at all go to `Dataset.broken`, the rest is for
`partlab data check`. Keys we do not know survive; the release holds no pictures.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotate.data.accepted import (
    OVERLAPS,
    Pairs,
    accepted_overlaps,
    stated_overlaps,
    with_accepted,
)
from annotate.data.formats import Source
from annotate.data.formats.layout import Layout
from annotate.data.formats.names import WNID, display_names, object_folders
from annotate.data.formats.pictures import Pictures, in_folder, place
from partlab.coco import lists_of, with_sizes, write_coco
from partlab.counts import counted
from partlab.errors import NotFoundError, SchemaError
from partlab.files import read_json, read_lines, sha256_json, write_json, write_lines
from partlab.inclusions import Inclusions, Outer, pairs_of, spelled
from partlab.progress import track
from partlab.records import read_records
from partlab.schema import (
    OURS,
    Annotation,
    Category,
    Dataset,
    Discard,
    Image,
    Raw,
)

log = logging.getLogger(__name__)

_ORIGIN = {"origin_split": "train", "source": "pinpp"}  # requirements D-01, D-04
RELEASES = {452_749: "first", 406_364: "second"}  # known by their number of masks


class PinppLayout(Layout):
    """Format of the PIN++ release."""

    title = "the PartImageNet++ release"

    def fits(self, path: Path) -> bool:
        """A folder with json/*.json in it."""
        return any((path / "json").glob("*.json"))

    def read(self, source: Source) -> dict[str, Dataset]:
        """The release as one split named `all`."""
        return {"all": _Reader(source).read()}

    def write(
        self,
        dataset: Dataset,
        out: Path,
        split: str,
        pictures: Pictures,
    ) -> None:
        """The four parts of the release; pictures, if wanted, under `images/`.

        Provenance, scores and other fields of ours stay in each record under `partlab`.
        """
        dataset = dataset.settled()
        folders = object_folders(dataset)
        shares = _shares(dataset)
        for name, folder in track(folders.items(), "object categories", total=len(folders)):
            part = _one_object(dataset, name, shares[name])
            write_coco(part, out / "json" / f"{folder}.json")
            if pictures is not Pictures.none:
                place(in_folder(replace(dataset, images=part.images), out / "images"), pictures)
            if pairs := dataset.inclusions.get(name):
                lines = [f"{inner}:{outer}" for inner, outer in pairs_of(pairs)]
                write_lines(out / "including" / f"{folder}.txt", lines)
        write_json(out / "category_name.json", _name_table(dataset, folders))
        write_json(out / "discarded_data.json", [_without_ours(d.raw) for d in dataset.discards])


class _Reader:
    """Gathers the files of one release into one data set."""

    def __init__(self, source: Source) -> None:
        self.root = source.path
        self.images_at = source.images or self.root / "images"
        self.broken: list[Raw] = []
        self.respelled = 0
        self.accepted: Pairs = {}
        self.images: list[Image] = []
        self.annotations: list[Annotation] = []
        self.categories: list[Category] = []
        self.next = dict.fromkeys(("images", "annotations", "categories"), 1)

    def read(self) -> Dataset:
        files = sorted((self.root / "json").glob("*.json"))
        if not files:
            raise NotFoundError(f"{self.root} has no json/*.json", hint="name the release's folder")
        names = display_names([file.stem for file in files], self._object_names())
        inclusions: Inclusions = {}
        for file in track(files, "object categories", total=len(files)):
            self._one_file(file, names[file.stem])
            if pairs := self._inclusions(file.stem, names[file.stem]):
                inclusions[names[file.stem]] = pairs
        discards = self._discards(names)
        if self.broken:
            log.warning("%s cannot be read; kept aside", counted(len(self.broken), "record"))
        if self.respelled:
            log.info(
                "%s not spelled as COCO has it, read all the same",
                counted(self.respelled, "record"),
            )
        return with_sizes(
            Dataset(
                self.images,
                self.annotations,
                self.categories,
                inclusions,
                discards,
                self.root,
                self.images_at,
                {OURS: self._top()},
            )
        )

    def _top(self) -> Raw:
        masks = len(self.annotations)
        table = [category.raw for category in self.categories]
        version = RELEASES.get(masks, sha256_json([masks, len(self.images), table])[:12])
        origin = {"format": "pinpp", "version": version, "masks": masks}
        ours = {"origin": origin} | ({"broken": self.broken} if self.broken else {})
        return ours | ({OVERLAPS: self.accepted} if self.accepted else {})

    def _one_file(self, file: Path, name: str) -> None:
        loaded = read_json(file, share_floats=True)
        if not isinstance(loaded, dict):
            raise SchemaError(f"{file} is not a COCO file: its top level is not an object")
        for pairs in stated_overlaps(loaded.get(OURS), file).values():
            self.accepted[name] = pairs
        raws = self._lists(loaded, file)
        new = {kind: self._new_ids(raws[kind], kind) for kind in ("images", "categories")}
        wnid = {"wnid": file.stem} if WNID.fullmatch(file.stem) else {}
        only = {"whole_object": True} if len(raws["categories"]) == 1 else {}
        for raw in raws["categories"]:
            part = str(raw["name"])
            known = {**raw.get(OURS, {}), **wnid, **only}
            raw |= {"id": new["categories"](raw["id"]), "name": f"{name}:{part}"}
            raw |= {"supercategory": name, "part": part} | ({OURS: known} if known else {})
            self.categories.append(Category(raw))
        for raw in raws["images"]:
            ours = {"object": name, **_ORIGIN, **raw.get(OURS, {})}
            self.images.append(Image({**raw, "id": new["images"](raw["id"]), OURS: ours}))
        ids = self._new_ids(raws["annotations"], "annotations")
        for raw in raws["annotations"]:
            raw |= {
                "id": ids(raw["id"]),
                "image_id": new["images"](raw["image_id"]),
                "category_id": new["categories"](raw["category_id"]),
            }
            self.annotations.append(Annotation(raw))

    def _lists(self, loaded: Raw, file: Path) -> dict[str, list[Raw]]:
        """The records that can be read, by list; the others are set aside."""
        found = read_records(lists_of(loaded, file))
        for entry in found.broken:
            self.broken.append({**entry, "list": f"json/{file.name} {entry['list']}"})
        self.respelled += len(found.respelled)
        return {kind: getattr(found, kind) for kind in self.next}

    def _set_aside(self, where: str, position: int, reason: str, record: Any) -> None:
        entry = {"list": where, "position": position, "reason": reason, "record": record}
        self.broken.append(entry)

    def _new_ids(self, raws: list[Raw], kind: str) -> Callable[[int], int]:
        """Local id -> global id. Equal ids stay equal, and an id nobody has stays nobody's."""
        start = self.next[kind]
        known = {raw["id"]: 0 for raw in raws}
        known = {local: start + position for position, local in enumerate(known)}
        self.next[kind] = start + len(known)

        def new(local: int) -> int:
            return known[local] if local in known else -(start * 1_000_000 + abs(local))

        return new

    def _object_names(self) -> dict[str, str]:
        path = self.root / "category_name.json"
        return _names_in(read_json(path)) if path.is_file() else {}

    def _inclusions(self, stem: str, name: str) -> dict[str, Outer]:
        path = self.root / "including" / f"{stem}.txt"
        parts = {c.part for c in self.categories if c.object == name} if path.is_file() else set()
        pairs: list[tuple[str, str]] = []
        for position, line in enumerate(read_lines(path) if path.is_file() else []):
            inner, outer = _relation(line, parts)
            if not inner or not outer:
                self._set_aside(f"including/{path.name}", position, "is not small:large", line)
            else:
                pairs.append((inner, outer))
        return spelled(pairs)

    def _discards(self, names: dict[str, str]) -> list[Discard]:
        path = self.root / "discarded_data.json"
        found = read_json(path) if path.is_file() else []
        if not isinstance(found, list):
            raise SchemaError(f"{path} is not a list of discarded images")
        discards = []
        for position, raw in enumerate(found):
            if not isinstance(raw, dict) or not isinstance(raw.get("file_name"), str):
                self._set_aside(path.name, position, "has no 'file_name'", raw)
                continue
            name = names.get(raw["file_name"].partition("/")[0])
            ours = {OURS: {"object": name, **raw.get(OURS, {})}} if name else {}
            discards.append(Discard({**raw, **ours}))
        return discards


def _relation(line: str, parts: set[str]) -> tuple[str, str]:
    """Split `small:large` at the colon that leaves two known parts, else at the first."""
    pieces = line.split(":")
    cuts = [
        (":".join(pieces[:at]).strip(), ":".join(pieces[at:]).strip())
        for at in range(1, len(pieces))
    ]
    known = [cut for cut in cuts if cut[0] in parts and cut[1] in parts]
    return (known or cuts or [("", "")])[0]


def _names_in(table: Any) -> dict[str, str]:
    """File stem -> object name, from whatever shape category_name.json has.

    Entries are a name, an object with a name, or a list that holds a name beside the list
    of parts; the key is the file name with or without `.json`.
    """
    entries: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(table, dict):
        entries = iter(table.items())
    elif isinstance(table, list):
        keys = ("wnid", "file", "file_name")
        entries = ((next((e[k] for k in keys if k in e), ""), e) for e in table if type(e) is dict)
    found = {}
    for key, entry in entries:
        if name := _name_of(entry):
            found[Path(str(key)).name.removesuffix(".json")] = name
    return found


_NAME_KEYS = ("object", "object_name", "object name", "category_name", "category", "class", "name")


def _name_of(entry: Any) -> str | None:
    if isinstance(entry, dict):
        entry = [entry[key] for key in _NAME_KEYS if key in entry]
    if isinstance(entry, str):
        return entry.strip() or None
    if isinstance(entry, list):
        return next(
            (item.strip() for item in entry if isinstance(item, str) and item.strip()), None
        )
    return None


_Shares = defaultdict[str, dict[int, list[Annotation]]]


def _shares(dataset: Dataset) -> _Shares:
    """Object -> position of each of its images -> the masks that go into its file.

    A part of a foreign object goes into that object's own file, together with the image.
    """
    shares: _Shares = defaultdict(dict)
    left_out = len(dataset.annotations)
    for position, image in enumerate(dataset.images):
        home = dataset.object_of(image)
        if home is not None:
            shares[home].setdefault(position, [])
        for annotation in dataset.annotations_of(image):
            category = dataset.category_by_id.get(annotation.category_id)
            owner = category.object if category else home
            if owner is not None:
                shares[owner].setdefault(position, []).append(annotation)
                left_out -= 1
    if left_out:
        log.warning("left out: %s of no known image and object", counted(left_out, "mask"))
    placed = {position for share in shares.values() for position in share}
    if lost := len(dataset.images) - len(placed):
        log.warning("left out: %s of no known object category", counted(lost, "image"))
    return shares


def _one_object(dataset: Dataset, name: str, share: dict[int, list[Annotation]]) -> Dataset:
    """One file of the release: ids from 1, categories named by their part alone."""
    categories = [c for c in dataset.categories if c.object == name]
    category_ids = {category.id: new for new, category in enumerate(categories, 1)}
    annotations = [
        a.changed(image_id=image_id, category_id=category_ids.get(a.category_id, 0))
        for image_id, position in enumerate(share, 1)
        for a in share[position]
    ]
    found = Dataset(
        [dataset.images[position].changed(id=new) for new, position in enumerate(share, 1)],
        [a.changed(id=new) for new, a in enumerate(annotations, 1)],
        [_local_category(category, category_ids[category.id]) for category in categories],
    )
    accepted = accepted_overlaps(dataset).get(name)
    return with_accepted(found, {name: accepted}) if accepted else found


def _local_category(category: Category, new: int) -> Category:
    return Category({**category.raw, "id": new, "name": category.part})


def _without_ours(raw: Raw) -> Raw:
    ours = {key: value for key, value in raw.get(OURS, {}).items() if key != "object"}
    rest = {key: value for key, value in raw.items() if key != OURS}
    return {**rest, OURS: ours} if ours else rest


def _name_table(dataset: Dataset, folders: dict[str, str]) -> Raw:
    return {
        f"{folder}.json": {
            "object": name,
            "parts": [c.part for c in dataset.categories if c.object == name],
        }
        for name, folder in folders.items()
    }


layout = PinppLayout()
