"""Masks of a network for people: what annotators begin with, and what an audit compares with.

`annotate` knows no networks and `pseudolabel` no Label Studio; this brings them together.
Suggestions come of a trained segmenter, or of a data set of predictions.
"""

import logging
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from annotate.data.formats.pictures import Pictures
from annotate.studio.acts.push import Suggest, Suggestion, need_model_help
from annotate.studio.spelling.uniting import PartMask
from annotate.vocabulary import ObjectParts
from annotate.work import Image, Work
from annotate.work.pictures import shown_picture
from partlab.coco import find_splits, read_coco, read_dataset
from partlab.errors import DatasetError, MaskError, NotFoundError, StateError, UnknownNameError
from partlab.files import sha256_file, sha256_json
from partlab.masks import Rle, from_segmentation
from partlab.parts import split_name
from partlab.schema import Annotation, Dataset
from partlab.schema import Image as Record

if TYPE_CHECKING:
    from pseudolabel.engine import Labeller
    from pseudolabel.settings import Settings
    from pseudolabel.store import Row, Store
    from segmenter.origin import Origin

log = logging.getLogger(__name__)
LOWEST_SCORE = 0.05  # of what an audit looks at
_HASH = 12  # hex digits of provenance that annotators and exports show


@dataclass(frozen=True, slots=True)
class Source:
    """Suggestions and the name they go under, `name@hash`."""

    model: str
    suggest: Suggest


@dataclass(frozen=True, slots=True)
class Known:
    """What the other side calls an object category, and the part id for each of its parts."""

    name: str
    parts: dict[str, str]


def _matched(
    work: Work, objects: Sequence[str], theirs: dict[str, list[str]], whose: str
) -> dict[str, Known]:
    """Object categories of the work that the other side knows, by name, wnid, QID or alias.

    Raises:
        UnknownNameError: the work was not given one that is named in `objects`, or the other
            side does not know it, or knows none.
    """
    for name in objects:
        work.batch(name)
    found: dict[str, Known] = {}
    drawn = {batch.object for batch in work.batches()}
    for ours in work.vocabulary.objects:
        if (named := ours.name in objects) or (not objects and ours.name in drawn):
            keys = (ours.name, ours.wnid, ours.qid, *ours.aliases)
            known_as = next((key for key in keys if key in theirs), None)
            if known_as is not None:
                found[ours.name] = Known(known_as, _part_ids(ours, theirs[known_as], whose))
            elif named:
                raise UnknownNameError(f"object category of {whose}", ours.name, theirs)
            else:
                log.warning("%s does not know %s: no suggestions for it", whose, ours.name)
    if drawn and not found:
        raise UnknownNameError(f"object category of {whose}", min(drawn), theirs)
    return found


def _part_ids(ours: ObjectParts, theirs: Sequence[str], whose: str) -> dict[str, str]:
    ids = {part.id: part.id for part in ours.parts} | {part.name: part.id for part in ours.parts}
    if foreign := [name for name in theirs if name not in ids]:
        log.warning(
            "%s: %s has parts that the vocabulary has not, left out: %s",
            *(ours.name, whose, ", ".join(foreign)),
        )
    return {name: ids[name] for name in theirs if name in ids}


# -- a segmenter ------------------------------------------------------------------------------


def from_segmenter(
    work: Work,
    run: "Path | Origin",
    settings: "Settings",
    *,
    objects: Sequence[str] = (),
    device: str | None = None,
) -> Source:
    """Suggestions of a trained segmenter, which sees the pictures as annotators do.

    `run` is its folder, or a served model (`segmenter.remote.connect`).

    The object category is known, so the category filter keeps foreign parts away (P-02). The
    network is loaded when the first suggestion is asked for.

    Raises:
        StateError: the work forbids model help (D-05).
        NotFoundError: there is no such run, or it has no checkpoint.
        UnknownNameError: it does not know the object categories, or a threshold names no part.
    """
    from segmenter.origin import origin_of
    from segmenter.tuning.file import with_own

    need_model_help(work)
    origin = origin_of(run)
    description = origin.description()
    settings = with_own(settings, description, settings.checkpoint)
    names = tuple(description["names"])
    settings.thresholds.of(names)
    weights = origin.weights_sha256(settings.checkpoint)
    known = known_to(work, names, objects)
    about = [weights, description["config"], settings.model_dump(mode="json")]
    about += [description["tuning"]["sha256"]] if "tuning" in description else []
    model = f"{origin.name}@{sha256_json(about)[:_HASH]}"
    return Source(model, _Segmenter(work, origin, settings, known, names, device))


def known_to(work: Work, names: Sequence[str], objects: Sequence[str] = ()) -> dict[str, Known]:
    """The work's object categories that a segmenter with these part names knows.

    Raises:
        UnknownNameError: it does not know one that is named in `objects`, or knows none.
    """
    theirs: dict[str, list[str]] = defaultdict(list)
    for owner, part in map(split_name, names):
        theirs[owner].append(part)
    return _matched(work, objects, theirs, "the segmenter")


@dataclass(slots=True)
class _Segmenter:
    work: Work
    origin: "Origin"
    settings: "Settings"
    known: dict[str, Known]
    names: tuple[str, ...]
    device: str | None
    labeller: "Labeller | None" = None

    def __call__(self, images: Sequence[Image]) -> Iterator[Suggestion]:
        from pseudolabel.engine import Labeller
        from pseudolabel.inputs import Entry
        from pseudolabel.loading import batches, plan

        if self.labeller is None:
            self.labeller = Labeller.load(self.origin, self.settings, self.device)
        root = self.work.folder
        entries = [
            Entry(image.id, self._path(image), self.known[image.object].name, "dataset")
            for image in images
            if image.object in self.known
        ]
        objects = {image.id: image.object for image in images}
        seconds = self.settings.picture_seconds
        for batch in batches(plan(entries, root, self.settings), root, 0, seconds):
            for row in self.labeller(batch):
                if row.status == "unreadable":
                    log.warning("%s: %s", row.file_name, row.reason)
                else:
                    yield self._suggestion(row, self.known[objects[row.image_id]])

    def _path(self, image: Image) -> str:
        return shown_picture(self.work.folder, image).relative_to(self.work.folder).as_posix()

    def _suggestion(self, row: "Row", known: Known) -> Suggestion:
        found = [(split_name(self.names[mask.label])[1], mask) for mask in row.masks]
        kept = [(known.parts[part], mask) for part, mask in found if part in known.parts]
        masks = tuple(PartMask(id, 1, mask.rle, "prediction") for id, mask in kept)
        score = fmean(mask.score for _, mask in kept) if kept else 0.0
        return Suggestion(row.image_id, masks, round(score, 4))


# -- beside drawn masks -----------------------------------------------------------------------


def found_by(run: "str | Path | Origin", data: str | Path, split: str | None = None) -> Dataset:
    """Every mask that a run's network or a served one finds, instances apart, down to a low score.

    Raises:
        NotFoundError: no such run or data set.
        DatasetError: the images cannot be labelled.
    """
    from pseudolabel.engine import label_images
    from pseudolabel.settings import Settings, Thresholds
    from pseudolabel.store import Store

    settings = Settings(thresholds=Thresholds(default=LOWEST_SCORE), unite=False)
    with tempfile.TemporaryDirectory() as scratch:
        store = Path(scratch) / "store"
        label_images(data, run, store, settings, split=split, workers=0)
        return as_dataset(Store.open(store))


def as_dataset(store: "Store") -> Dataset:
    """The masks of a store as a data set without pictures; errors are those of `export_coco`."""
    from pseudolabel.export import export_coco

    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch) / "found"
        export_coco(store, found, pictures=Pictures.none)
        return read_coco(found / "annotations" / "pseudo.json")


# -- a data set of predictions ----------------------------------------------------------------


def from_dataset(
    work: Work, path: Path, *, split: str | None = None, objects: Sequence[str] = ()
) -> Source:
    """Suggestions that stand in a part data set, as `partlab pseudolabel export` writes it.

    Its images are those of the work by file name; a bare name counts where it is unique, but
    not for honeypots, which have to be the very pictures. The data set is held in memory, at
    three times the size of its file (20,000 images with 4 masks each: 180 MB).

    Raises:
        StateError: the work forbids model help (D-05), or only its honeypots would go without.
        NotFoundError: there is no such data set, or it has none of the work's images.
        UnknownNameError: it has no parts of the object categories.
        SchemaError: it is not a part data set.
    """
    need_model_help(work)
    dataset = read_dataset(path, split)
    theirs: dict[str, list[str]] = defaultdict(list)
    for category in dataset.categories:
        theirs[category.object].append(category.part)
    known = _matched(work, objects, theirs, "the data set")
    file = dataset.path or next(iter(find_splits(path).values()))
    by_name = _by_name(dataset)
    drawn = [image for name in known for image in work.images(name)]
    if drawn and not any(_found(by_name, image) for image in drawn):
        raise NotFoundError(
            f"{path} has none of the work's images, for example {drawn[0].file_name}",
            hint="predictions are matched by file name",
        )
    stored = _Stored(dataset, by_name, known)
    _need_honeypots(work, stored, path)
    name = path.resolve().name if path.is_dir() else path.stem
    return Source(f"{name}@{sha256_file(file)[:_HASH]}", stored)


def _need_honeypots(work: Work, stored: "_Stored", path: Path) -> None:
    """A picture without a suggestion, where the others have one, gives itself away."""
    for batch in work.batches():
        if batch.object not in stored.known or batch.state != "annotating":
            continue
        images = work.images(batch.object, with_honeypots=True)
        bare = [i.file_name for i in images if i.truth and stored.record_of(i) is None]
        if bare and any(stored.record_of(i) for i in images if not i.truth):
            raise StateError(
                f"{path} has no suggestion for {len(bare)} of the honeypots of {batch.object}, "
                f"for example {bare[0]}: annotators would know them by that",
                hint="let the model look at these pictures too, under the file names they have "
                "in the data set of known masks; or push with --segmenter, which sees them all",
            )


def _by_name(dataset: Dataset) -> dict[str, Record | None]:
    """Images by file name and by bare name; None where several share a bare name."""
    bare: dict[str, Record | None] = {}
    for image in dataset.images:
        name = Path(image.file_name).name
        bare[name] = None if name in bare else image
    return bare | {image.file_name: image for image in dataset.images}


def _found(by_name: dict[str, Record | None], image: Image) -> Record | None:
    found = by_name.get(image.file_name)
    return found or (by_name.get(Path(image.file_name).name) if image.truth is None else None)


def _has_size(record: Record, image: Image) -> bool:
    sizes = ((image.width, image.height), tuple(image.shown))
    return (record.width, record.height) in sizes


@dataclass(frozen=True, slots=True)
class _Stored:
    dataset: Dataset
    by_name: dict[str, Record | None]
    known: dict[str, Known]

    def __call__(self, images: Sequence[Image]) -> Iterator[Suggestion]:
        for image in images:
            found = _found(self.by_name, image)
            if (record := self.record_of(image)) is not None:
                yield self._suggestion(image, record, self.known[image.object])
            elif image.object in self.known and found and not _has_size(found, image):
                log.warning("%s has another size in the predictions: left out", image.file_name)

    def record_of(self, image: Image) -> Record | None:
        """The record of this very picture: of its size and object, of a honeypot its bytes."""
        known, record = self.known.get(image.object), _found(self.by_name, image)
        if known is None or record is None or not _has_size(record, image):
            return None
        if image.truth is not None and not self._has_bytes(record, image):
            return None
        return record if self.dataset.object_of(record) in (None, known.name) else None

    def _has_bytes(self, record: Record, image: Image) -> bool:
        """Other pictures of the same name are common; where nothing is known the name counts."""
        path = self.dataset.image_path(record)
        there = record.sha256 or (sha256_file(path) if path.is_file() else image.sha256)
        return there == image.sha256

    def _suggestion(self, image: Image, record: Record, known: Known) -> Suggestion:
        masks, scores = [], []
        instances: dict[int | None, int] = {}
        for annotation in self.dataset.annotations_of(record):
            category = self.dataset.category_by_id.get(annotation.category_id)
            if category is None or category.object != known.name:
                continue
            if (part := known.parts.get(category.part)) is not None:
                number = instances.setdefault(annotation.object_id, len(instances) + 1)
                masks.append(PartMask(part, number, self._rle(annotation, record), "prediction"))
                scores.append(annotation.score)
        score = fmean(scores) if scores else 0.0
        return Suggestion(image.id, tuple(masks), round(score, 4))

    def _rle(self, annotation: Annotation, record: Record) -> Rle:
        try:
            return from_segmentation(annotation.segmentation, record.height, record.width)
        except MaskError as error:
            raise DatasetError(
                f"{self.dataset.path}: annotation {annotation.id} of {record.file_name}: "
                f"{error.message}",
                hint="see what is wrong with it: partlab data check",
            ) from error
