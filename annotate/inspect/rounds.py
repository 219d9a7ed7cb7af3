"""A round as its inspection finds it: what was drawn, what was said, what the plan makes of it."""

from typing import Any

from sqlalchemy import select

from annotate.inspect.desk import Card, Desk
from annotate.inspect.overlays import overlay_folder, overlay_path
from annotate.inspect.plan import Plan, get_plan, in_words
from annotate.inspect.sampling import Sample
from annotate.work import Answer, Batch, Draw, Event, Image, Verdict, Work, select_answers
from annotate.work.change import is_drawn

_SAID = ("passed", "reason", "note", "inspector")


def lay_out(work: Work, batch: Batch) -> Desk:
    """What there is to look at, what was said so far, and what the plan makes of it."""
    sample, verdicts = sample_of(work, batch), verdicts_of(work, batch)
    plan = sample.plan if sample else get_plan(work.settings.plan)
    bad = {image: not verdict.passed for image, verdict in verdicts.items()}
    open_ = sample.due(bad) if sample and batch.state == "sampled" else []
    seen = sample.inspected(bad) if sample else {}
    cards = [
        _card(work, batch, position, image, answer, image.id in open_, verdicts.get(image.id))
        for position, (image, answer) in enumerate(drawn_rows(work, batch))
    ]
    return Desk(
        object=batch.object,
        round=batch.round,
        state=batch.state,
        annotator=batch.assignee,
        plan=plan.name,
        rules=tuple(in_words(plan, len(sample.order) if sample else 100)),
        seen=len(seen),
        bad=sum(seen.values()),
        decision=sample.decide(bad) if sample else "continue",
        cards=tuple(cards),
        sheet=overlay_folder(work, batch.object, batch.round) / "sheet.png",
    )


def _card(
    work: Work,
    batch: Batch,
    position: int,
    image: Image,
    answer: Answer,
    due: bool,
    verdict: Verdict | None,
) -> Card:
    parts = work.moves(batch).parts
    there = {mask["part"] for mask in answer.masks}
    said: dict[str, Any] = {}
    if verdict is not None:
        said = {name: getattr(verdict, name) for name in _SAID}
    return Card(
        image_id=image.id,
        file_name=image.file_name,
        position=position,
        due=due,
        overlay=overlay_path(work, answer.object, answer.round, position, image.id),
        drawn=tuple(part.name for part in parts.parts if part.id in there),
        missing=tuple(part.name for part in parts.parts if part.id not in there),
        problems=tuple(str(problem["message"]) for problem in answer.problems),
        **said,
    )


def drawn_rows(work: Work, batch: Batch) -> list[tuple[Image, Answer]]:
    """The drawn images of a round with their answers, in the order of the draw."""
    with work.read() as session:
        query = select(Image).join(Draw, Draw.image_id == Image.id).order_by(Draw.position)
        images = session.scalars(
            query.where(Draw.object == batch.object, Draw.round == batch.round)
        )
        drawn = list(images)
    answers = work.answers(batch.object, batch.round, images=[image.id for image in drawn])
    by_id = {answer.image_id: answer for answer in answers}
    return [(image, by_id[image.id]) for image in drawn if image.id in by_id]


def with_masks(work: Work, batch: Batch) -> list[int]:
    """The images that were drawn by the time of the draw: one that was sent back since is, too."""
    query = select_answers(Answer.image_id, Answer.kind, Answer.problems)
    query = query.filter_by(object=batch.object, round=batch.round)
    with work.read() as session:
        return [row.image_id for row in session.execute(query) if is_drawn(row)]


def sample_of(work: Work, batch: Batch) -> Sample | None:
    """The draw of a round, made again from its seed and the plan as it was."""
    if batch.seed is None:
        return None
    query = select(Event).filter_by(what="sampled", object=batch.object, round=batch.round)
    with work.read() as session:
        event = session.scalars(query).one()
    plan = Plan.model_validate(event.data["rules"])
    suspects = {int(image): score for image, score in event.data["suspects"].items()}
    return Sample.draw(plan, batch.seed, with_masks(work, batch), suspects)


def is_held(work: Work, object: str, round: int) -> bool:
    """Whether the last word of a round waits for somebody to say that it was the last."""
    query = select(Event).filter_by(object=object, round=round)
    query = query.where(Event.what.in_(("verdict", "unsaid"))).order_by(Event.id.desc())
    with work.read() as session:
        last = session.scalars(query.limit(1)).first()
    return last is not None and (last.what == "unsaid" or bool(last.data.get("hold")))


def verdicts_of(work: Work, batch: Batch) -> dict[int, Verdict]:
    """What inspectors said of the images of a round, by image id."""
    key = {"object": batch.object, "round": batch.round}
    with work.read() as session:
        found = session.scalars(select(Verdict).filter_by(**key))
        return {verdict.image_id: verdict for verdict in found}
