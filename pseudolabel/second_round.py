"""Self-training: pictures of a store join people's (`partlab segmenter train --pseudo STORE`)."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from annotate.data.duplicates import hashed, near_across
from partlab.counts import counted
from partlab.errors import BackendUnavailableError, DatasetError, PartlabError
from partlab.pictures import Placed
from partlab.schema import OURS, Annotation, Dataset, Image
from pseudolabel.export import provenance
from pseudolabel.source import StoreSource
from pseudolabel.store import Row, Store, StoredMask
from segmenter.leaks import leaks
from segmenter.runs import read_run

log = logging.getLogger(__name__)

_WHY = {
    "blank": "nothing was found in them",
    "unreadable": "they could not be read",
    "annotated": "people's masks of them are there",
    "held out": "they are held out",
    "like held out": "they look like held-out pictures",
    "no part known": "nothing was found in them that the data set has",
    "other parts": "the store knows not all parts of their object",
}


def adding(place: str | Path) -> Callable[[Dataset, Sequence[Dataset], float], Dataset]:
    """`with_pseudo` of the store at `place`, as `segmenter.train.train_segmenter` takes it.

    Raises:
        NotFoundError, SchemaError: there is no store, or it is damaged; before torch is loaded.
    """
    store = Store.open(place)
    return lambda train, apart, sure: with_pseudo(train, apart, store, sure)


def with_pseudo(train: Dataset, apart: Sequence[Dataset], store: Store, sure: float) -> Dataset:
    """The training set and, after it, the store's pictures with what was found in them.

    What was found with a score under `sure`, and parts that the data set does not have, become
    crowd regions: pixels of which nothing is learnt. Left out, counted and said: pictures in which
    nothing was found (that is no proof of background, B4.7), of which there are people's masks,
    that are in `apart` or look like a picture there. Where they come from is told under
    `partlab.pseudo` in the data set's `top`.

    Raises:
        DatasetError: the store is not finished, has no usable picture, has other parts, or its
            run was trained on pictures of `apart`.
    """
    _need_fit(train, apart, store)
    left = Counter[str]()
    rows = list(_usable(train, apart, store, left))
    _tell(store, rows, left)
    if not rows:
        raise DatasetError(
            f"{store.path} has no picture that can be trained on: {_reasons(left)}",
            hint="label pictures without masks: partlab pseudolabel IMAGES --segmenter RUN",
        )
    images, places = _images(train, store, rows)
    origin = {
        "store": str(store.path.resolve()),
        "fingerprint": StoreSource(store).fingerprint(),
        "image_root": str(store.image_root.resolve()),
        "run": store.manifest.run,
        "model_sha256": store.manifest.model_sha256,
        "images": len(images),
        "left_out": dict(left),
    }
    ours = {**(train.top.get(OURS) or {}), "pseudo": origin}
    found = _annotations(train, store, zip(images, rows, strict=True), sure)
    return replace(
        train,
        images=[*_others(train, store, rows), *images],
        annotations=[*train.annotations, *found],
        top={**train.top, OURS: ours},
        finder=Placed(places, train.pictures),
    )  # fmt: skip


def _need_fit(train: Dataset, apart: Sequence[Dataset], store: Store) -> None:
    if not store.finished:
        raise DatasetError(
            f"{store.path} is not finished", hint="run the same pseudolabel command to its end"
        )
    if not store.parts.matched(train.parts):
        raise DatasetError(
            f"{store.path} has none of the parts of {train.path or 'the data set'}",
            hint="label with a run that knows them: partlab pseudolabel IMAGES --segmenter RUN",
        )
    for data in apart:
        _need_unseen(data, store)


def _need_unseen(data: Dataset, store: Store) -> None:
    """Pictures that judge the new run must not have taught the one that labelled."""
    run = Path(store.manifest.run)
    try:
        read_run(run)
    except PartlabError:
        log.warning("%s: the run that labelled it, %s, is not there: whether it was trained on "
                    "pictures of %s cannot be seen", store.path, run, data.path)  # fmt: skip
        return
    found = leaks(run, data)
    if names := found.same_name:
        raise DatasetError(
            f"{store.path} was made by a run that was trained on {counted(len(names), 'picture')} "
            f"of {data.path} (first: {names[0]}): scores there would tell too much",
            hint="label with a run that was trained on the training pictures alone",
        )
    for sentence in found.sentences(len(data.images)):
        log.warning("%s: %s", store.path, sentence)


def _usable(
    train: Dataset, apart: Sequence[Dataset], store: Store, left: Counter[str]
) -> Iterator[Row]:
    """Rows to train on; why others are not is counted in `left`."""
    rules = _Rules(train, apart, store)
    for row in store.rows():
        if why := rules.against(row):
            left[why] += 1
        else:
            yield row


@dataclass
class _Rules:
    train: Dataset
    apart: Sequence[Dataset]
    store: Store
    own: set[Path] = field(init=False)
    held: set[Path] = field(init=False)
    alike: set[Path] = field(init=False)
    known: Mapping[int, int] = field(init=False)
    whole: set[str] = field(init=False)

    def __post_init__(self) -> None:
        drawn = [i.id for i in self.train.images if self.train.annotations_of(i)]
        self.own = _files([self.train.subset(drawn)])
        self.held = _files(self.apart)
        self.alike = _alike(self.apart, self.store)
        self.known = self.store.parts.matched(self.train.parts)
        names = set(self.store.names)
        self.whole = {
            owner
            for owner, labels in self.train.parts.by_object.items()
            if names >= {self.train.names[label] for label in labels}
        }

    def against(self, row: Row) -> str | None:
        """Why a picture is not trained on; None where it is."""
        if row.status != "labelled":
            return row.status
        place = self.store.image_path(row).resolve()
        shown = [mask.label for mask in row.masks if mask.label in self.known]
        owners = {self.store.names[label].partition(":")[0] for label in shown}
        checks = {
            "annotated": place in self.own,
            "held out": place in self.held,
            "like held out": place in self.alike,
            "no part known": not shown,
            "other parts": not owners <= self.whole,
        }
        return next((why for why, holds in checks.items() if holds), None)


def _files(each: Iterable[Dataset]) -> set[Path]:
    return {data.image_path(image).resolve() for data in each for image in data.images}


def _alike(apart: Sequence[Dataset], store: Store) -> set[Path]:
    """Pictures of the store that look like one held out, by perceptual hashes."""
    rows = [row for row in store.rows(["file_name", "status"]) if row.status == "labelled"]
    if not apart or not rows:
        return set()
    places = {str(n): store.image_path(row) for n, row in enumerate(rows)}
    images = [Image.new(n, name, (1, 1)) for n, name in enumerate(places)]
    try:
        mine = hashed(Dataset(images, [], [], finder=Placed(places)))
        found = {name for data in apart for name, _, _ in near_across(mine, hashed(data))}
    except BackendUnavailableError as error:
        log.warning("only files were compared with held-out pictures: %s (%s)",
                    error.message, error.hint)  # fmt: skip
        return set()
    return {places[name].resolve() for name in found}


def _others(train: Dataset, store: Store, rows: Iterable[Row]) -> Iterator[Image]:
    """The training set's images, but for those without masks that the store has some of."""
    labelled = {store.image_path(row).resolve() for row in rows}
    for image in train.images:
        if train.annotations_of(image) or train.image_path(image).resolve() not in labelled:
            yield image


def _images(
    train: Dataset, store: Store, rows: Sequence[Row]
) -> tuple[list[Image], dict[str, Path]]:
    """The rows as images with ids and names of their own, and where each picture lies."""
    taken = {image.file_name for image in train.images if train.annotations_of(image)}
    first = max((image.id for image in train.images), default=0) + 1
    images, places = [], {}
    for id, row in enumerate(rows, first):
        place = store.image_path(row)
        name = str(place.resolve()) if row.file_name in taken else row.file_name
        said = {"object": row.object} if row.object else {}
        size = (row.width, row.height)
        images.append(Image.new(id, name, size, provenance=provenance(store), **said))
        places[name] = place
    return images, places


def _annotations(
    train: Dataset, store: Store, pairs: Iterable[tuple[Image, Row]], sure: float
) -> Iterator[Annotation]:
    ids = count(max((a.id for a in train.annotations), default=0) + 1)
    known, made_by = store.parts.matched(train.parts), provenance(store)
    for image, row in pairs:
        for mask in row.masks:
            label = known.get(mask.label)
            category = train.categories[label or 0].id
            one = Annotation.new(next(ids), image.id, category, dict(mask.rle), area=mask.area,
                                 bbox=list(mask.bbox), provenance=made_by,
                                 score=round(mask.score, 6))  # fmt: skip
            yield one.changed(iscrowd=int(label is None or mask.score < sure))


def _tell(store: Store, rows: Sequence[Row], left: Mapping[str, int]) -> None:
    scores: list[StoredMask] = [mask for row in rows for mask in row.masks]
    log.info("%s joins with %s and %s", store.path, counted(len(rows), "picture"),
             counted(len(scores), "mask"))  # fmt: skip
    if left:
        log.warning("pictures of %s left out: %s", store.path, _reasons(left))


def _reasons(left: Mapping[str, int]) -> str:
    return (
        "; ".join(f"{number:,} since {_WHY[why]}" for why, number in left.items()) or "it is empty"
    )
