"""The rules of what is not a round's course: vocabulary changes, numbers for ever, notes."""

from sqlalchemy import select

from annotate.work.change import Change, Rules, is_drawn
from annotate.work.complaints import PART_GONE, problem
from annotate.work.tables import About, Answer, CategoryId
from partlab.errors import StateError
from partlab.parts import join_name

rules = Rules()


@rules("migrated")
def _migrated(change: Change) -> None:
    """{vocabulary_version, config_hash?, labels?, parts: {old id: new id or None}, …}.

    A round gets the interface of another version of the vocabulary; `labels` are ids from then
    on. That is all today: `parts` and `redraw` are empty. Earlier versions moved answers, too:
    a mask whose part is gone is taken from the answer; one answer's masks that end under one part
    stay separate layers until the next export. `redraw`, where it stands, is
    {image id: why} of the answers that count as not done from now on; without it they are those
    that lost a mask. `updated` is {image id: time} of the drawings that the change itself gave
    new labels in Label Studio. A round that is being inspected, or was accepted, cannot be
    opened again.
    """
    batch = change.batch("planned", "annotating", "submitted", "sampled", "accepted")
    moves: dict[str, str | None] = change.data["parts"]
    redraw: dict[str, str] | None = change.data.get("redraw")
    updated: dict[str, str] = change.data.get("updated", {})
    batch.vocabulary_version = change.data["vocabulary_version"]
    batch.config_hash = change.data.get("config_hash") or batch.config_hash
    for answer in change.session.scalars(select(Answer).filter_by(**change.key)):
        moved = [{**mask, "part": moves.get(mask["part"], mask["part"])} for mask in answer.masks]
        lost = sorted(
            {m["part"] for m, n in zip(answer.masks, moved, strict=True) if not n["part"]}
        )
        if moved != answer.masks:
            answer.masks = [mask for mask in moved if mask["part"]]
        answer.updated_at = updated.get(str(answer.image_id), answer.updated_at)
        words = f"the part {', '.join(lost)} is no longer in the vocabulary: draw it afresh"
        why = (words if lost else None) if redraw is None else redraw.get(str(answer.image_id))
        if why is not None and is_drawn(answer):
            change.batch("planned", "annotating", "submitted")
            answer.kind, batch.state, batch.manifest_hash = "broken", "annotating", None
            answer.problems = [*answer.problems, problem(PART_GONE, why)]


@rules("vocabulary")
def _vocabulary(change: Change) -> None:
    """{version, hash}: the work's own copy of the vocabulary was replaced."""
    for key in ("version", "hash"):
        change.session.merge(About(key=f"vocabulary_{key}", value=str(change.data[key])))


@rules("categories")
def _categories(change: Change) -> None:
    """{ids: [[object, part id, category id], …]}: numbers in exported files, for ever."""
    for owner, part, number in change.data["ids"]:
        taken = select(CategoryId).where(CategoryId.id == number)
        if change.session.get(CategoryId, (owner, part)) or change.session.scalar(taken):
            raise StateError(
                f"the category number of {join_name(owner, part)} was given by another process",
                hint="run the same command again",
            )
        change.session.add(CategoryId(object=owner, part=part, id=number))


@rules("logged")
def _logged(change: Change) -> None:
    """{anything}: a note for the record, such as honeypots or hours worked elsewhere (Q-03)."""
