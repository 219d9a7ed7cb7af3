"""A work that was begun: opened again, with what it was begun with, and its pictures seen to."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import exists, select

from annotate.data.sample import open_images
from annotate.studio.acts.begin import need_apart, prepare_images
from annotate.studio.acts.honeypots import read_known
from annotate.studio.acts.rounds import named_objects
from annotate.vocabulary import Vocabulary
from annotate.work import Task, Work
from annotate.work.pictures import pool_of, remember_source
from partlab.errors import StateError
from partlab.files import write_json
from partlab.folders import WORK


def reopen_work(
    folder: str | Path,
    vocabulary: Vocabulary | None = None,
    images: str | Path | None = None,
    *,
    split: str | None = None,
    honeypots: str | Path | None = None,
    objects: Sequence[str] = (),
    dry_run: bool = False,
    **settings: Any,
) -> Work:
    """Open a work; with `images`, note where the originals are and prepare missing pictures.

    `honeypots` says the same of the pictures whose masks are known. `settings` are what the
    work is thought to go by; only `image_url` may be another one, as long as no task shows a
    picture from the old one. `objects` are some of its categories. `dry_run` only looks whether
    all that fits.

    Raises:
        StateError: `vocabulary` or `settings` are not the work's own, or the work was begun
            without honeypots.
        UnknownNameError: the work has not one of `objects`.
        NotFoundError: `images` does not have an image of the work.
    """
    work = Work.open(folder)
    named_objects(work, objects)
    _need_same(work, settings)
    if vocabulary is not None and vocabulary.hash != work.vocabulary.hash:
        raise StateError(
            f"the work in {folder} goes by version {work.vocabulary.version} of its own vocabulary",
            hint="change it with `partlab vocabulary migrate`; leave --vocabulary out here",
        )
    if honeypots is not None and not work.honeypots():
        raise StateError(
            f"the work in {folder} was begun without honeypots",
            hint="they are mixed in when a work begins; leave --honeypots out here",
        )
    if not dry_run:
        if (image_url := settings.get("image_url")) is not None:
            _change_address(work, image_url)
        if honeypots is not None:
            remember_source(work.folder, read_known(honeypots).image_root, honeypots=True)
        if images is not None:
            refresh_pictures(work, images, split=split)
    return work


def _need_same(work: Work, settings: Mapping[str, Any]) -> None:
    """What a work was begun with does not change silently; a mistyped address may."""
    for name, value in settings.items():
        before = getattr(work.settings, name)
        if value != before and (name != "image_url" or _is_shown(work)):
            before = before["name"] if isinstance(before, dict) else before
            words = {True: "on", False: "off"}.get(before, before)
            option = f"--{name.replace('_', '-')}"
            raise _begun_with(work, name.replace("_", " "), words, option)


def _is_shown(work: Work) -> bool:
    """Whether a task in Label Studio has the address of its picture."""
    with work.read() as session:
        return bool(session.scalar(select(exists().where(Task.task_id.is_not(None)))))


def _change_address(work: Work, image_url: str) -> None:
    if work.settings.image_url == image_url:
        return
    work.settings = work.settings.model_copy(update={"image_url": image_url})
    write_json(work.folder / WORK, work.settings.model_dump(mode="json"))


def _begun_with(work: Work, what: str, before: object, option: str) -> StateError:
    return StateError(
        f"the work in {work.folder} was begun with {what}: {before}",
        hint=f"that holds for the whole work; leave {option} out",
    )


def refresh_pictures(work: Work, images: str | Path, *, split: str | None = None) -> int:
    """Note where the originals are now, and prepare pictures that are missing; how many.

    Raises:
        NotFoundError: the folder does not have an image of the work.
        ConfigError: it lies in the work's folder, or around it.
    """
    root = open_images(images, split).root
    need_apart(work.folder, root)
    remember_source(work.folder, root, pool=pool_of(images, split))
    rows = work.images(with_honeypots=True)
    return prepare_images(work.folder, rows, work.settings.long_side)
