"""The rules of drawing: handed out, drawn, submitted."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from annotate.work.change import DONE, HINTS, Change, Rules, in_correction
from annotate.work.tables import About, Answer, Batch, Flag, Image, Task
from partlab.counts import counted
from partlab.errors import StateError

rules = Rules()


@rules("started")
def _started(change: Change) -> None:
    """{work, name, vocabulary_version, vocabulary_hash}: the first event of every work."""
    for key, value in change.data.items():
        change.session.merge(About(key=key, value=str(value)))


@rules("images")
def _images(change: Change) -> None:
    """{images: [row, …]}: pictures that belong to the work."""
    change.session.add_all(Image(**row) for row in change.data["images"])


@rules("planned")
def _planned(change: Change) -> None:
    """{images, assignee, vocabulary_version, start_from?, because?}: a round is handed out.

    One that is being drawn ends `because` the vocabulary changed; one that was accepted stays so.
    """
    rounds = change.session.scalars(select(Batch).filter_by(object=change.event.object)).all()
    latest = max(rounds, key=lambda batch: batch.round, default=None)
    if latest is not None and latest.state in _DUE_AFTER_A_CHANGE and _has_changed(change, latest):
        latest.state = "accepted" if latest.state == "accepted" else "abandoned"
    elif latest is not None and latest.state not in ("rejected", "abandoned"):
        raise StateError(
            f"{latest.object} round {latest.round} is {latest.state}: no new round is due",
            hint=HINTS.get(latest.state),
        )
    if change.event.round != (latest.round if latest else 0) + 1:
        raise StateError(f"the next round of {change.event.object} is not {change.event.round}")
    batch = Batch(
        **change.key,
        state="planned",
        assignee=change.data["assignee"],
        vocabulary_version=change.data["vocabulary_version"],
        start_from=change.data.get("start_from"),
    )
    change.session.add(batch)
    change.hand_out()


_DUE_AFTER_A_CHANGE = ("planned", "annotating", "submitted", "accepted")


def _has_changed(change: Change, latest: Batch) -> bool:
    version: int = change.data["vocabulary_version"]
    return bool(change.data.get("because")) and version > latest.vocabulary_version


@rules("extended")
def _extended(change: Change) -> None:
    """{images}: more pictures for a round that is being drawn, in place of discarded ones."""
    batch = change.batch("planned", "annotating", "submitted")
    batch.state, batch.manifest_hash = "annotating" if batch.project_id else "planned", None
    change.hand_out()


@rules("opened")
def _opened(change: Change) -> None:
    """{project_id, config_hash, labels?: "ids"}: the project is in Label Studio."""
    batch = change.batch("planned", "annotating")
    if batch.project_id not in (None, change.data["project_id"]):
        _settle(change)  # nobody can do anything about tasks of a project that is gone
    batch.state, batch.project_id = "annotating", change.data["project_id"]
    batch.config_hash = change.data["config_hash"]


@rules("tasks")
def _tasks(change: Change) -> None:
    """{project_id, tasks: {image id: task id}}: images are in the project."""
    change.batch("annotating")
    for image_id, task_id in change.data["tasks"].items():
        task = change.task(image_id)
        if task.task_id == task_id:
            _settle(change, task_id=task_id, kind="task-gone")
        elif task.task_id is not None:
            _settle(change, task_id=task.task_id)
        task.project_id, task.task_id = change.data["project_id"], task_id


def _settle(change: Change, **which: Any) -> None:
    """Pictures of deleted tasks are handed out again: what was said of the old ones is over."""
    for flag in change.session.scalars(select(Flag).filter_by(**change.key, **which)):
        flag.settled = True


@rules("pushed")
def _pushed(change: Change) -> None:
    """{model, tasks: {image id: content hash}}: suggestions are in Label Studio (D-05).

    Those that Label Studio got from a connected model have "fetched" in place of a hash.
    """
    change.batch("annotating")
    for image_id, content in change.data["tasks"].items():
        change.task(image_id).pushed = f"{change.data['model']}:{content}"


@rules("reassigned")
def _reassigned(change: Change) -> None:
    """{to}: the whole category changes hands before its first answer (M-05).

    What was seen so far is read again: it may be the new annotator's.
    """
    batch = change.batch("planned", "annotating")
    if change.session.scalar(select(func.count()).select_from(Answer).filter_by(**change.key)):
        raise StateError(
            f"{batch.object} round {batch.round} already has answers of {batch.assignee}; "
            "one annotator draws a whole category",
            hint="with --force the round is begun afresh; its answers stay in the exports",
        )
    batch.assignee, batch.cursor = change.data["to"], None
    for task in change.session.scalars(select(Task).filter_by(**change.key)):
        task.seen = None


@rules("abandoned")
def _abandoned(change: Change) -> None:
    """{reason}: the round is given up and stays in the history."""
    change.batch("planned", "annotating", "submitted", "sampled").state = "abandoned"


@rules("pulled")
def _pulled(change: Change) -> None:
    """{file?, sha256?, cursor?, seen?: {image id: time}} and answers, flags: one ingest.

    A round that is not being drawn any more takes no answers, only flags; but an accepted one
    those of images that were sent back.
    """
    states = ("annotating", "submitted", "sampled", "accepted", "rejected", "abandoned")
    batch = change.batch(*states)
    for answer in change.answers:
        change.task(answer.image_id)
        if batch.state == "accepted" and in_correction(change.find(Answer, answer.image_id)):
            continue
        batch = change.batch("annotating", "submitted")
        batch.state, batch.manifest_hash = "annotating", None
    for row in (*change.answers, *change.flags):
        change.session.merge(row)
    for image_id, time in change.data.get("seen", {}).items():
        change.task(image_id).seen = time
    batch.cursor = change.data.get("cursor") or batch.cursor


@rules("told")
def _told(change: Change) -> None:
    """{project_id, todo: {image id: words}}: what its tasks say is to be done; a note, no more."""
    change.batch()


@rules("flagged")
def _flagged(change: Change) -> None:
    """{reason, flags: [row, …], gone?: [image id, …]}: something seen that no answer came of.

    `gone` are images whose task is no longer in Label Studio; flags may be known ones, settled.
    """
    change.batch()
    for row in change.data.get("flags", ()):
        change.session.merge(Flag(**change.key, **row))
    for image_id in change.data.get("gone", ()):
        change.task(image_id).project_id = None


@rules("submitted")
def _submitted(change: Change) -> None:
    """{manifest_hash, images, masks, discards}: every image is drawn or discarded (M-08)."""
    batch = change.batch("annotating")
    open_ = open_images(change.session, batch)
    if open_:
        are = counted(len(open_), "image is", "images are")
        raise StateError(f"{batch.object} round {batch.round}: {are} not done")
    batch.state, batch.manifest_hash = "submitted", change.data["manifest_hash"]


def open_images(session: Session, batch: Batch) -> list[int]:
    """Ids of the images of a round that have neither masks nor a discard."""
    key = {"object": batch.object, "round": batch.round}
    done = select(Answer.image_id).filter_by(**key).where(Answer.kind.in_(DONE))
    wanted = select(Task.image_id).filter_by(**key).where(Task.image_id.not_in(done))
    return list(session.scalars(wanted.order_by(Task.image_id)))
