"""Single images of an accepted category that are sent back, drawn again and looked at again.

    send_back(work, "ram", 8, who="ina@x.org", reason="outline", note="all masks too low")

The category stays accepted. Until an inspector passes the image it is in no export; its annotator
reads in its task why it came back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from annotate.inspect.overlays import overlay_folder, render
from annotate.inspect.people import person
from annotate.inspect.pins import Pin, noted
from annotate.inspect.rules import check_reason
from annotate.work import Answer, Batch, Image, Verdict, Work, in_correction, waits_for_a_look
from annotate.work.change import HINTS
from partlab.errors import ConfigError, NotFoundError, StateError


@dataclass(frozen=True, slots=True)
class Correction:
    """An image that was sent back; `drawn` says that it waits for an inspector, not its annotator.

    `reason`, `note` and `inspector` are of whoever sent it back last, `at` is when its masks were
    drawn.
    """

    object: str
    round: int
    image_id: int
    file_name: str
    annotator: str
    drawn: bool
    reason: str | None
    note: str | None
    inspector: str
    at: str


def corrections(work: Work, object: str | None = None) -> list[Correction]:
    """The images of accepted rounds that were sent back and have not passed since.

    Raises:
        UnknownNameError: there is no such object category in the work.
    """
    batches = [work.batch(object)] if object is not None else work.batches()
    return [one for b in batches if b.state == "accepted" for one in _of(work, b)]


def _of(work: Work, batch: Batch) -> list[Correction]:
    key = {"object": batch.object, "round": batch.round}
    columns = select(Answer.image_id, Answer.kind, Answer.problems, Answer.updated_at)
    columns = columns.filter_by(**key)
    with work.read() as session:
        rows = session.execute(columns.order_by(Answer.image_id)).all()
        verdicts = {one.image_id: one for one in session.scalars(select(Verdict).filter_by(**key))}
    found = []
    for row in filter(in_correction, rows):
        said = verdicts[row.image_id]
        words = (said.reason, said.note, said.inspector, row.updated_at)
        name = work.image(row.image_id).file_name
        about = (batch.object, batch.round, row.image_id, name, batch.assignee)
        found.append(Correction(*about, waits_for_a_look(row), *words))
    return found


def send_back(
    work: Work,
    object: str,
    image: int | str,
    who: str,
    *,
    reason: str | None = None,
    note: str | None = None,
    pins: Sequence[Pin] = (),
) -> Correction:
    """Have one image of an accepted category drawn again; `image` is an id, a name or its end.

    Without a reason it is that of the verdict that failed the image.

    Raises:
        StateError: the category is not accepted, the image has no masks, or `who` drew it.
        ConfigError: there is no reason.
        UnknownNameError: the work has no such reason.
    """
    batch = work.batch(object)
    if batch.state != "accepted":
        raise StateError(
            f"{object} round {batch.round} is {batch.state}: single images are sent back once it "
            "is accepted",
            hint=HINTS.get(batch.state),
        )
    one = _image(work, object, image)
    with work.read() as session:
        said = session.get(Verdict, (object, batch.round, one.id))
    if reason is None and said is not None and not said.passed:
        reason, note = said.reason, note or said.note
    reason = check_reason(work, False, reason)
    data = _said(one.id, reason, note, pins)
    work.record("sent-back", who=person(who), object=object, round=batch.round, data=data)
    return find_correction(work, object, one.id)


def look_again(
    work: Work,
    object: str,
    image: int | str,
    passed: bool,
    who: str,
    *,
    reason: str | None = None,
    note: str | None = None,
    pins: Sequence[Pin] = (),
) -> None:
    """The word on an image that was sent back: it passes, or goes back once more.

    One that its annotator has not drawn again passes as it was.

    Raises:
        NotFoundError: the image is not being corrected.
        StateError: `who` drew it.
        ConfigError: a failure without a reason, or a reason without a failure.
    """
    found = find_correction(work, object, image)
    reason = check_reason(work, passed, reason)
    data = _said(found.image_id, reason, note, pins)
    what = "corrected" if passed else "sent-back"
    work.record(what, who=person(who), object=object, round=found.round, data=data)


def _said(
    image_id: int, reason: str | None, note: str | None, pins: Sequence[Pin]
) -> dict[str, Any]:
    data: dict[str, Any] = {"image_id": image_id, "reason": reason, "note": noted(note, pins)}
    return data | ({"pins": [pin.model_dump() for pin in pins]} if pins else {})


def find_correction(work: Work, object: str, image: int | str) -> Correction:
    """The image that is being corrected, by its id, its file name or the end of that.

    Raises:
        NotFoundError: it is not.
    """
    id = _image(work, object, image).id
    for one in corrections(work, object):
        if one.image_id == id:
            return one
    raise NotFoundError(f"image {id} of {object} is not being corrected")


def picture_of(work: Work, one: Correction) -> Path:
    """The image beside its masks as they are now, rendered afresh for each drawing."""
    with work.read() as session:
        answer = session.get_one(Answer, (one.object, one.round, one.image_id))
    at = "".join(filter(str.isdigit, one.at))
    folder = overlay_folder(work, one.object, one.round)
    path = folder / f"again-{one.image_id:06d}-{at}.png"
    render(work, work.image(one.image_id), answer, path)
    return path


def _image(work: Work, object: str, image: int | str) -> Image:
    images: Sequence[Image] = work.images(object)
    found = [one for one in images if str(one.id) == str(image)]
    found = found or [one for one in images if f"/{one.file_name}".endswith(f"/{image}")]
    if len(found) > 1:
        raise ConfigError(f"{len(found)} images of {object} end in {image!r}")
    if not found:
        raise NotFoundError(f"{object} has no image {image}")
    return found[0]
