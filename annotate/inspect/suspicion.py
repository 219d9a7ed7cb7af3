"""Scores of an audit: for plans that begin with the likely wrong images, and for inspectors.

The audit of a work is kept in it, WORK/audit.json, so that whoever inspects sees which images are
likely wrong, and why. It never changes which images are drawn: the error rates of a plan hold for
random images. Only a plan that says so begins with the suspects.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from annotate.inspect.audit import Audit, Reason, Suspect
from annotate.inspect.desk import Desk
from annotate.inspect.overlays import overlay_folder, render_sheet
from annotate.work import Answer, Image, Work
from partlab.errors import NotFoundError, SchemaError
from partlab.files import read_json, sha256_json, write_json

AUDIT = "audit.json"
MANY = 10  # likely wrong images that are shown of a category


@dataclass(frozen=True, slots=True)
class Doubt:
    """One image that is likely wrong, and why; `drawn` says that it is in the sample."""

    image_id: int
    file_name: str
    suspicion: float
    why: str
    drawn: bool


def keep_audit(work: Work, told: Audit) -> Path:
    """Keep an audit of a work's newest rounds in it, with which masks it saw; the file."""
    masks = {
        str(answer.image_id): _hash(answer)
        for batch in work.batches()
        for answer in work.answers(batch.object, batch.round)
    }
    write_json(work.folder / AUDIT, {**told.as_json(), "masks": masks})
    return work.folder / AUDIT


@dataclass(frozen=True, slots=True)
class KeptAudit:
    """The audit that is kept in a work: when it was made (seconds since 1970), and what it says
    of images as they are now; `changed` counts those that were drawn again or anew since."""

    made: float
    audit: Audit
    changed: int


def kept_audit(work: Work) -> KeptAudit | None:
    """The kept audit of a work's newest rounds; None without one.

    Raises:
        SchemaError: the file is damaged.
    """
    file = work.folder / AUDIT
    if not file.is_file():
        return None
    now = dict(_masks(work))
    with _undamaged(file):
        found = read_json(file)
        same = {id for id, hash in now.items() if found["masks"].get(id) == hash}
        suspects = [_suspect(one) for one in found["images"] if str(one["image_id"]) in same]
        return KeptAudit(file.stat().st_mtime, Audit(suspects), len(now) - len(suspects))


def _suspect(one: dict[str, Any]) -> Suspect:
    reasons = tuple(Reason(**why) for why in one["reasons"])
    score = float(one["suspicion"])
    return Suspect(one["image_id"], one["file_name"], one["object"], score, reasons)


def _masks(work: Work) -> Iterator[tuple[str, str]]:
    """Image id and hash of its masks, of the newest rounds."""
    for batch in work.batches():
        for answer in work.answers(batch.object, batch.round):
            if answer.kind == "masks":
                yield str(answer.image_id), _hash(answer)


@contextmanager
def _undamaged(file: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SchemaError(
            f"{file} is damaged ({type(error).__name__}: {error})",
            hint="make it again with `partlab inspect audit`, or delete it",
        ) from error


def likely_wrong(work: Work, desk: Desk) -> list[Doubt]:
    """What the kept audit says of a round's images, most likely wrong first; none without one.

    Images that were drawn again since, and those that already have a verdict, are left out.

    Raises:
        SchemaError: the file is damaged.
    """
    try:
        found = read_json(work.folder / AUDIT)
    except NotFoundError:
        return []
    with _undamaged(work.folder / AUDIT):
        return sorted(_doubts(work, desk, found), key=lambda doubt: -doubt.suspicion)


def _doubts(work: Work, desk: Desk, found: dict[str, Any]) -> Iterator[Doubt]:
    answers = {a.image_id: a for a in work.answers(desk.object, desk.round)}
    names = {image.file_name: image.id for image in work.images(desk.object)}
    drawn = {card.image_id: card for card in desk.cards}
    for one in found["images"]:
        image = names.get(one["file_name"])
        answer = answers.get(image) if image is not None else None
        if answer is None or not one["reasons"]:
            continue
        if found["masks"].get(str(image)) != _hash(answer) or answer.kind != "masks":
            continue
        card = drawn.get(answer.image_id)
        if card is None or card.passed is None:
            reason = one["reasons"][0]
            why = f"{reason['part'].partition(':')[2]}: {reason['message']}"
            about = (answer.image_id, one["file_name"], float(one["suspicion"]), why)
            yield Doubt(*about, drawn=card is not None)


def _hash(answer: Answer) -> str:
    return sha256_json(answer.masks)


def show_doubts(work: Work, desk: Desk, doubts: list[Doubt]) -> Path:
    """The likely wrong images on one sheet, with the reason of each: WORK/overlays/…/doubts.png."""
    path = overlay_folder(work, desk.object, desk.round) / "doubts.png"
    path.unlink(missing_ok=True)  # another audit may have been made since
    answers = {a.image_id: a for a in work.answers(desk.object, desk.round)}
    rows = [(work.image(one.image_id), answers[one.image_id]) for one in doubts]
    render_sheet(work, rows, path, why={one.image_id: one.why for one in doubts})
    return path


def read_suspicion(path: Path, images: Iterable[Image]) -> dict[int, float]:
    """Image id -> suspicion (higher: more likely wrong), from what an audit wrote.

    Images are matched by file name; those the audit did not see have none.

    Raises:
        NotFoundError: there is no such file.
        SchemaError: it is not an audit's file, or of none of these images.
    """
    found = read_json(path)
    try:
        scores = {one["file_name"]: float(one["suspicion"]) for one in found["images"]}
        if not all(map(isfinite, scores.values())):
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError):
        raise SchemaError(
            f"{path} is not the file of an audit", hint="`partlab inspect audit --out` writes it"
        ) from None
    known = {i.id: scores[i.file_name] for i in images if i.file_name in scores}
    if not known:
        raise SchemaError(f"{path} is an audit of none of these images")
    return known
