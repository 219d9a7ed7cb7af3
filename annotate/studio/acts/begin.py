"""Beginning a work: pictures and vocabulary are matched, chosen by a seed, prepared, recorded."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotate.data.sample import Chosen, ImageSource, choose_images, open_images
from annotate.studio.acts.honeypots import Known, choose_known, mixed
from annotate.studio.spelling.labelconfig import label_config
from annotate.vocabulary import Vocabulary
from annotate.work import Image, Work, safe_name
from annotate.work.pictures import (
    FOLDER,
    HONEYPOTS,
    begin_pictures,
    find_picture,
    original_picture,
    pictures_begun,
    pool_of,
    prepare,
    remember_source,
    shown_size,
    usual_kind,
)
from annotate.work.settings import WorkSettings
from partlab import schema
from partlab.counts import few
from partlab.errors import (
    BusyError,
    ConfigError,
    NotFoundError,
    UnknownNameError,
)
from partlab.files import exclusive, sha256_json
from partlab.folders import need_own
from partlab.schema import OURS, Dataset

log = logging.getLogger(__name__)

_OWN_FILES = frozenset(
    {
        FOLDER,
        HONEYPOTS,
        "exports",
        "vocabulary.yaml",
        ".lock",
        "partlab.db",
        "partlab.db-wal",
        "partlab.db-shm",
    }
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a work is to be made of: for each object category how many pictures there are.

    `images` and `split` name the pictures as they were given.
    """

    source: ImageSource
    objects: Mapping[str, int]
    vocabulary: Vocabulary
    images: Path
    split: str | None = None


def plan_work(
    vocabulary: Vocabulary,
    images: str | Path,
    *,
    objects: Sequence[str] = (),
    split: str | None = None,
) -> Plan:
    """Match pictures with the vocabulary; opens no picture.

    A category of the pictures is found by name, wnid, QID or alias. `objects` (names in the
    vocabulary) restricts the work.

    Raises:
        UnknownNameError: a category of the pictures, or of `objects`, is not in the vocabulary.
        ConfigError: a category has no parts, or a part cannot be a label.
        NotFoundError: there are no pictures.
    """
    for name in objects:
        vocabulary.object(name)
    found = open_images(images, split)
    found.say_others()
    names: dict[str, list[str]] = {}
    owners = vocabulary.by_any_name
    unmatched = [category for category in found.names if category not in owners]
    if unmatched and not objects:
        raise _unmatched(unmatched, vocabulary)
    for category, files in found.names.items():
        owner = owners.get(category)
        if owner is not None and (not objects or owner in objects):
            names.setdefault(owner, []).extend(files)
    missing = [name for name in (objects or vocabulary.names) if name not in names]
    if missing and (objects or not names):
        raise NotFoundError(f"{images} has no pictures of {few(missing, 10)}")
    if missing:
        log.warning("no pictures of %s: left out", few(missing, 10))
    for name in names:
        label_config(vocabulary.object(name))
    names = {name: names[name] for name in sorted(names)}
    counts = {name: len(files) for name, files in names.items()}
    return Plan(replace(found, names=names), counts, vocabulary, Path(images), split)


def _unmatched(categories: Sequence[str], vocabulary: Vocabulary) -> UnknownNameError:
    """All of them are named; what is near is suggested where there is one."""
    first, *others = categories
    error = UnknownNameError("object category", first, () if others else vocabulary.names)
    named, them = few([repr(name) for name in categories], 10), "them" if others else "it"
    error.message = f"there are pictures of {named}, but the vocabulary does not have {them}"
    if others:
        error.hint = f"it has {few(vocabulary.names, 10)}" if vocabulary.names else None
    error.args = (error.message,)
    error.hint = f"{error.hint or 'the vocabulary is empty'}; or name the categories to annotate"
    return error


@contextmanager
def handing_out(folder: Path) -> Iterator[None]:
    """Keep other processes from preparing pictures and making projects of the work in `folder`.

    Raises:
        BusyError: another one does.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder / FOLDER))
        except BusyError as error:
            raise BusyError(
                f"another partlab process is handing out {folder}",
                hint="wait for it to end, then run the same command again",
            ) from error
        yield


def begin_work(
    folder: str | Path,
    plan: Plan,
    /,
    *,
    name: str,
    per_object: int = 100,
    seed: int = 0,
    known: Known | None = None,
    **settings: Any,
) -> Work:
    """Choose and prepare the pictures and begin the work; cut off, it is begun again.

    `known` are pictures whose masks are known; they are mixed in among the others, to be drawn
    unawares. `settings` are those of WorkSettings: model_help, image_url, long_side, plan, ….

    Raises:
        DatasetError: a category has too few readable pictures.
        NotFoundError: no picture of `known` can be used.
        OutputExistsError: the folder holds something else.
        ConfigError: the pictures lie in the work's folder, or around it.
        BusyError: another process begins it.
        PartlabError: the disk is full, or the like.
    """
    folder = Path(folder)
    need_own_folder(folder, plan)
    with handing_out(folder):
        return _begin(folder, plan, name, per_object, seed, known, settings)


def _begin(
    folder: Path,
    plan: Plan,
    name: str,
    per_object: int,
    seed: int,
    known: Known | None,
    settings: dict[str, Any],
) -> Work:
    chosen, _ = choose_images(plan.source, per_object, seed=seed)
    long_side = settings.get("long_side", _default("long_side"))
    rows, secret = rows_of(plan.source, chosen, long_side), []
    if known is not None:
        taken = {one.sha256 for one in chosen}
        secret = choose_known(known, taken, seed=seed, long_side=long_side)
    rows = _numbered(mixed(rows, secret, seed))
    numbers = {owner: [r.id for r in rows if r.object == owner] for owner in plan.objects}
    begin_pictures(
        folder, sha256_json([[r.id, r.object, r.shown, r.sha256] for r in rows]), numbers
    )
    remember_source(folder, plan.source.root, pool=pool_of(plan.images, plan.split))
    if known is not None:
        remember_source(folder, known.dataset.image_root, honeypots=True)
    prepare_images(folder, rows, long_side)
    given = {"seed": seed, "per_object": per_object, **settings}
    return Work.create(folder, name, plan.vocabulary, rows, **given)


def prepare_images(
    folder: Path,
    images: Sequence[Image],
    long_side: int,
) -> int:
    """Prepare the pictures of a work that are missing; how many.

    Honeypots come last: they get the file format that most of the others have.

    Raises:
        NotFoundError: an original is not in the work's sources.
    """
    missing = [
        image
        for image in images
        if find_picture(folder / FOLDER / safe_name(image.object), image.id) is None
    ]
    plain = [image for image in images if image.truth is None]
    for secret in (False, True):
        due = [image for image in missing if (image.truth is not None) == secret]
        owners = {image.object for image in due} if secret else ()
        kinds = {o: usual_kind(folder, o, [i.id for i in plain if i.object == o]) for o in owners}
        pictures = [(i.id, i.object, original_picture(folder, i)) for i in due]
        prepare(folder, pictures, long_side, kinds)
    return len(missing)


def _default(setting: str) -> Any:
    return WorkSettings.model_fields[setting].default


def need_own_folder(folder: Path, plan: Plan) -> None:
    """See that a work may begin in a folder, before anything in it is changed.

    Raises:
        OutputExistsError: it holds something else.
        ConfigError: the pictures lie in it, or around it.
    """
    need_own(folder, "work", _OWN_FILES, hint="name a new folder")
    if not pictures_begun(folder):
        need_own(folder / FOLDER, "pictures of a work", {".lock"}, hint="name a new folder")
    need_apart(folder, plan.source.root)


def need_apart(folder: Path, originals: Path) -> None:
    """See that a work does not take what it makes for originals, nor originals for what it made.

    Raises:
        ConfigError: one of the two folders lies in the other.
    """
    ours, theirs = folder.resolve(), originals.resolve()
    if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
        raise ConfigError(
            f"the work {folder} and the pictures in {originals} lie one in the other",
            hint="a work makes pictures of its own: name another folder for one of the two",
        )


def _facts(source: ImageSource) -> dict[str, dict[str, Any]]:
    """What a data set says of its images: licence, source, origin split, provenance (D-01…D-06)."""
    if source.dataset is None:
        return {}
    skipped, licences = {"object", "sha256"}, _licences(source.dataset)
    return {
        image.file_name: _as_coco_says(image, licences)
        | {k: v for k, v in image.raw.get(OURS, {}).items() if k not in skipped}
        for image in source.dataset.images
    }


def _licences(dataset: Dataset) -> dict[Any, str]:
    """The names of COCO's licences by their ids, or their addresses."""
    listed = dataset.top.get("licenses")
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    named = {one.get("id"): one.get("name") or one.get("url") for one in found}
    return {id: name for id, name in named.items() if isinstance(name, str)}


def _as_coco_says(image: schema.Image, licences: Mapping[Any, str]) -> dict[str, str]:
    """Source and licence as they stand in other people's files."""
    stated = image.raw.get("license")
    said = {"source": image.raw.get("source")}
    said |= {"license": licences.get(stated) if isinstance(stated, int) else stated}
    return {key: value for key, value in said.items() if isinstance(value, str) and value}


def rows_of(source: ImageSource, chosen: Sequence[Chosen], long_side: int) -> list[Image]:
    """Rows of a work for chosen pictures, without id and rank."""
    ours = _facts(source)
    return [_row(one, ours.get(one.file_name, {}), long_side) for one in chosen]


def _numbered(images: Iterable[Image]) -> list[Image]:
    """Ids from 1 in this order, and ranks within each object."""
    rows, ranks = list(images), Counter[str]()
    for id, image in enumerate(rows, 1):
        image.id, image.rank = id, ranks[image.object]
        ranks[image.object] += 1
    return rows


def _row(one: Chosen, ours: dict[str, Any], long_side: int) -> Image:
    facts = {**ours, "origin_split": one.origin_split} if one.origin_split else ours
    return Image(
        id=0,
        object=one.object,
        file_name=one.file_name,
        width=one.width,
        height=one.height,
        shown=list(shown_size((one.width, one.height), long_side)),
        rank=0,
        sha256=one.sha256,
        ours=facts,
    )
