"""Beginning a work: pictures and vocabulary are matched, chosen by a seed, prepared, recorded."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotate.sample import Chosen, ImageSource, choose_images, open_images
from annotate.studio.images import (
    FOLDER,
    find_picture,
    original_picture,
    prepare,
    remember_source,
)
from annotate.studio.labelconfig import label_config
from annotate.vocabulary import Vocabulary
from annotate.work import Image, Work, safe_name
from annotate.work.settings import WorkSettings
from partlab.errors import (
    NotFoundError,
    OutputExistsError,
    StateError,
    UnknownNameError,
)
from partlab.progress import Progress, silent
from partlab.schema import OURS

log = logging.getLogger(__name__)

_OWN_FILES = frozenset(
    {
        FOLDER,
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
    """What a work is to be made of: for each object category how many pictures there are."""

    source: ImageSource
    objects: Mapping[str, int]
    vocabulary: Vocabulary


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
    names: dict[str, list[str]] = {}
    owners = _owners(vocabulary)
    for category, files in found.names.items():
        owner = owners.get(category)
        if owner is None and not objects:
            raise _unmatched(category, vocabulary)
        if owner is not None and (not objects or owner in objects):
            names.setdefault(owner, []).extend(files)
    missing = [name for name in (objects or vocabulary.names) if name not in names]
    if missing and (objects or not names):
        raise NotFoundError(f"{images} has no pictures of {', '.join(missing)}")
    if missing:
        log.warning("no pictures of %s: left out", ", ".join(missing))
    for name in names:
        label_config(vocabulary.object(name))
    names = {name: names[name] for name in sorted(names)}
    counts = {name: len(files) for name, files in names.items()}
    return Plan(replace(found, names=names), counts, vocabulary)


def _owners(vocabulary: Vocabulary) -> dict[str, str]:
    """Object name by everything it is called; its own name goes before others' aliases."""
    owners: dict[str, str] = {}
    for one in vocabulary.objects:
        for key in (one.wnid, one.qid, *one.aliases):
            if key:
                owners.setdefault(key, one.name)
    return owners | {name: name for name in vocabulary.names}


def _unmatched(category: str, vocabulary: Vocabulary) -> UnknownNameError:
    error = UnknownNameError("object category", category, vocabulary.names)
    error.message = f"there are pictures of {category!r}, but the vocabulary does not have it"
    error.args = (error.message,)
    error.hint = (
        f"{error.hint or 'the vocabulary is empty'}; or name what to annotate with --object"
    )
    return error


def begin_work(
    folder: str | Path,
    plan: Plan,
    *,
    name: str,
    per_object: int = 100,
    seed: int = 0,
    progress: Progress = silent,
    **settings: Any,
) -> Work:
    """Choose and prepare the pictures and begin the work; cut off, it is begun again.

    `settings` are those of WorkSettings: model_help, image_url, long_side, ….

    Raises:
        DatasetError: a category has too few readable pictures.
        OutputExistsError: the folder holds something else.
        PartlabError: the disk is full, or the like.
    """
    folder = Path(folder)
    _need_own_folder(folder)
    chosen, _ = choose_images(plan.source, per_object, seed=seed, progress=progress)
    root, long_side = plan.source.root, settings.get("long_side", _default("long_side"))
    pictures = [(id, one.object, root / one.file_name) for id, one in enumerate(chosen, 1)]
    shown = prepare(folder, pictures, long_side, progress)
    remember_source(folder, root)
    ours = _facts(plan.source)
    ranks: defaultdict[str, int] = defaultdict(int)
    rows = []
    for (id, owner, _), one, size in zip(pictures, chosen, shown, strict=True):
        rows.append(_row(id, one, size, ranks[owner], ours.get(one.file_name, {})))
        ranks[owner] += 1
    given = {"seed": seed, "per_object": per_object, **settings}
    return Work.create(folder, name, plan.vocabulary, rows, **given)


def reopen_work(
    folder: str | Path,
    vocabulary: Vocabulary | None = None,
    images: str | Path | None = None,
    progress: Progress = silent,
) -> Work:
    """Open a work; with `images`, note where the originals are and prepare missing pictures.

    Raises:
        StateError: `vocabulary` is not the work's own.
        NotFoundError: `images` does not have an image of the work.
    """
    work = Work.open(folder)
    if vocabulary is not None and vocabulary.hash != work.vocabulary.hash:
        raise StateError(
            f"the work in {folder} goes by version {work.vocabulary.version} of its own vocabulary",
            hint="change it with `partlab vocabulary migrate`; leave --vocabulary out here",
        )
    if images is not None:
        refresh_pictures(work, images, progress)
    return work


def refresh_pictures(work: Work, images: str | Path, progress: Progress = silent) -> int:
    """Note where the originals are now, and prepare pictures that are missing; how many.

    Raises:
        NotFoundError: the folder does not have an image of the work.
    """
    root = open_images(images).root
    remember_source(work.folder, root)
    missing = []
    for image in work.images():
        if find_picture(work.folder / FOLDER / safe_name(image.object), image.id) is None:
            missing.append((image.id, image.object, original_picture(work.folder, image)))
    prepare(work.folder, missing, work.settings.long_side, progress)
    return len(missing)


def _default(setting: str) -> Any:
    return WorkSettings.model_fields[setting].default


def _need_own_folder(folder: Path) -> None:
    if not folder.exists():
        return
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in _OWN_FILES)
    if foreign:
        raise OutputExistsError(
            f"{folder} is not empty and holds no work ({', '.join(foreign[:3])})",
            hint="name a new folder",
        )


def _facts(source: ImageSource) -> dict[str, dict[str, Any]]:
    """What a data set says of its images: licence, source, origin split, provenance (D-01…D-06)."""
    if source.dataset is None:
        return {}
    skipped = {"object", "sha256"}
    return {
        image.file_name: {k: v for k, v in image.raw.get(OURS, {}).items() if k not in skipped}
        for image in source.dataset.images
    }


def _row(id: int, one: Chosen, shown: tuple[int, int], rank: int, ours: dict[str, Any]) -> Image:
    facts = {**ours, "origin_split": one.origin_split} if one.origin_split else ours
    return Image(
        id=id,
        object=one.object,
        file_name=one.file_name,
        width=one.width,
        height=one.height,
        shown=list(shown),
        rank=rank,
        sha256=one.sha256,
        ours=facts,
    )
