"""Which pictures of a work to draw next, asked of the version that is served."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotate.work import Image, Work
from annotate.work.change import DONE
from annotate.work.pictures import shown_picture
from partlab.errors import DatasetError, NotFoundError, StateError
from partlab.images import load_image
from partlab.parts import join_name
from partlab.progress import track
from segmenter.loop.choose import Choice, Features, Look, choose, look
from segmenter.loop.lessons import is_held_out, key_of
from segmenter.loop.versions import CHECKPOINT, Version, current, whole_run
from segmenter.origin import RunFolder
from segmenter.protocol import Pixels, Segmenter

_TOGETHER = 8  # pictures that are looked at in one go


@dataclass(frozen=True, slots=True)
class Next:
    """A picture to draw, and what it was chosen for."""

    image_id: int
    object: str
    file_name: str
    choice: Choice


@dataclass(frozen=True)
class Ordered:
    """The pictures to draw next, best first, of all categories that are being drawn.

    `held_out` pictures are for the exam, which is a fair sample: they keep their place.
    """

    version: int
    images: Sequence[Next]
    looked_at: int
    held_out: int
    unreadable: Sequence[str] = ()
    objects: Sequence[str] = field(default=())

    @property
    def orders(self) -> dict[str, list[int]]:
        """The image ids of each object category, best first; of one that has none, none."""
        return {
            owner: [one.image_id for one in self.images if one.object == owner]
            for owner in self.objects
        }

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        rows = [
            {"image_id": one.image_id, "object": one.object, "file_name": one.file_name,
             "why": one.choice.words, "uncertainty": round(one.choice.uncertainty, 4),
             "rarity": round(one.choice.rarity, 4), "distance": round(one.choice.distance, 4)}
            for one in self.images
        ]  # fmt: skip
        counts = {"looked_at": self.looked_at, "held_out": self.held_out}
        return {"version": self.version, **counts, "unreadable": [*self.unreadable], "images": rows}


def next_images(
    work: Work, n: int, objects: Sequence[str] = (), *, device: str | None = None
) -> Ordered:
    """Choose `n` pictures among those that are handed out and not drawn.

    Honeypots are looked at like every picture: one that stayed behind would give itself away.

    Raises:
        StateError: no version is served yet, or nothing is being drawn.
        UnknownNameError: no such category was handed out.
    """
    version = current(work)
    if version is None:
        raise StateError(
            f"{work.folder} has no segmenter that could choose",
            hint=f"partlab loop start {work.folder} makes the first; --run takes one of yours",
        )
    drawn_now = _being_drawn(work, objects)
    segmenter = RunFolder(whole_run(work.folder, version)).load(CHECKPOINT, device)
    left, done, masks = _sorted(work, drawn_now, version)
    seed = work.settings.seed
    exam = {i.id for i in left if is_held_out(seed, key_of(i))}
    asked = [image for image in left if image.id not in exam]
    unreadable: list[str] = []
    looks = list(_looks(work, segmenter, asked, unreadable))
    seen: list[Features] = []
    if hasattr(segmenter, "features"):
        shown = _looks(work, segmenter, done, [])
        seen = [one.features for one in shown if one.features is not None]
    chosen = choose(looks, n, drawn=seen, masks=masks)
    by_id = {image.id: image for image in asked}
    found = [(by_id[one.image_id], one) for one in chosen]
    return Ordered(
        version.number,
        [Next(image.id, image.object, image.file_name, one) for image, one in found],
        len(looks),
        len(exam),
        unreadable,
        drawn_now,
    )


def _being_drawn(work: Work, objects: Sequence[str]) -> list[str]:
    named = [work.batch(name) for name in objects] or work.batches()
    found = [batch.object for batch in named if batch.state == "annotating"]
    if objects and len(found) < len(named):
        other = next(batch for batch in named if batch.state != "annotating")
        raise StateError(f"{other.object} round {other.round} is {other.state}, not being drawn")
    if not found:
        raise StateError(
            f"nothing is being drawn in {work.folder}", hint="run `partlab studio create` first"
        )
    return found


def _sorted(
    work: Work, objects: Sequence[str], version: Version
) -> tuple[list[Image], list[Image], Counter[str]]:
    """Pictures that are not drawn, those that are, and the masks of each part in these."""
    left, done = list[Image](), list[Image]()
    masks: Counter[str] = Counter(dict.fromkeys(version.parts, 0))
    for owner in objects:
        batch = work.batch(owner)
        names = {id: name for name, id in version.parts.items() if name.startswith(f"{owner}:")}
        images = {image.id: image for image in work.images(owner, with_honeypots=True)}
        answered = set()
        for answer in work.answers(owner, batch.round, with_honeypots=True):
            if answer.kind in DONE:
                answered.add(answer.image_id)
            if answer.kind == "masks":
                parts = (mask["part"] for mask in answer.masks)
                masks.update(names.get(part, join_name(owner, part)) for part in parts)
                done.append(images[answer.image_id])
        tasks = work.tasks(owner, batch.round)
        left += [images[t.image_id] for t in tasks if t.image_id not in answered]
    return left, done, masks


def _looks(
    work: Work, segmenter: Segmenter, images: Sequence[Image], unreadable: list[str]
) -> Iterator[Look]:
    """What the segmenter makes of pictures as annotators see them; a few at a time."""
    loaded = defaultdict[str, list[tuple[int, Pixels]]](list)
    for image in track(images, "looking at pictures", len(images)):
        try:
            pixels = load_image(shown_picture(work.folder, image))
        except (NotFoundError, DatasetError):
            unreadable.append(image.file_name)
            continue
        waiting = loaded[image.object]
        waiting.append((image.id, pixels))
        if len(waiting) == _TOGETHER:
            yield from _look(segmenter, image.object, loaded.pop(image.object))
    for owner, waiting in loaded.items():
        yield from _look(segmenter, owner, waiting)


def _look(segmenter: Segmenter, owner: str, some: list[tuple[int, Pixels]]) -> list[Look]:
    if owner not in segmenter.objects:  # it knows nothing of it: as unsure as can be
        return [Look(id, {}) for id, _ in some]
    ids, pixels = zip(*some, strict=True)
    return look(segmenter, ids, pixels, [owner] * len(ids))
