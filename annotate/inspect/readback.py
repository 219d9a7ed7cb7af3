"""What inspectors said in Label Studio, read back (Q-01, Q-02, Q-04).

    told = read_inspection(inspection, studio, "ram")

The server knows no roles, so who may say what is checked here: the annotator's own words are
refused, and so are words of an account that is gone, and words that somebody else changed; each
with a sentence.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotate.inspect.desk import Desk
from annotate.inspect.discards import find_cases, review_discard
from annotate.inspect.project import FAIL, NOTE, PASS, REASON, RESTORE, UPHOLD, VERDICT
from annotate.inspect.service import Inspection
from annotate.studio.acts.wall import DISCARDS, INSPECT, THIRD, tidy_wall
from annotate.studio.api.client import Studio
from annotate.studio.api.projects import find_projects
from annotate.work import Batch, Work, same_person
from partlab.errors import NotFoundError, PartlabError


@dataclass(slots=True)
class ReadBack:
    """What came of reading a project: words taken, and those refused, a sentence each.

    `known` stand already, or the plan decided without them; `waiting` come after an image that
    has no word yet.
    """

    object: str
    taken: int = 0
    known: int = 0
    waiting: int = 0
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Word:
    """One person's answer to one task."""

    image_id: int
    who: str
    at: str
    known: bool  # whether the server still has this account
    verdict: str | None
    reason: str | None
    note: str | None
    minutes: float | None
    changed_by: str | None
    where: str


def read_inspection(inspection: Inspection, studio: Studio, object: str) -> ReadBack:
    """Take the verdicts given in Label Studio, in the order that the plan asks for them.

    Read again, nothing is taken twice. Verdicts after the plan's decision are not needed.

    Raises:
        NotFoundError: the round has no inspection project.
    """
    desk, told = inspection.cards(object), ReadBack(object)
    words = _verdicts(inspection.work, studio, desk, told)
    while (word := _turn(desk, words)) is not None:
        words.remove(word)
        _take_verdict(inspection, desk, word, told)
        desk = inspection.cards(object, desk.round)
    told.waiting = len(words)
    tidy_wall(inspection.work, studio)
    return told


def foresee_inspection(inspection: Inspection, studio: Studio, object: str) -> Desk:
    """What `read_inspection` would lead to; nothing is recorded.

    Raises:
        NotFoundError: the round has no inspection project.
        StateError: it is not being inspected.
    """
    desk = inspection.being_inspected(object)
    words = _verdicts(inspection.work, studio, desk, ReadBack(object))
    return inspection.foresee(object, {word.image_id: word.verdict == PASS for word in words})


def _verdicts(work: Work, studio: Studio, desk: Desk, told: ReadBack) -> list[_Word]:
    """The words on drawn images in the order of the draw; those refused are told."""
    (project,) = _projects(work, studio, (INSPECT,), desk.object, desk.round)
    place = {card.image_id: card.position for card in desk.cards}
    words = [word for word in _words(studio, project) if word.image_id in place]
    words.sort(key=lambda word: place[word.image_id])
    return [word for word in words if not _refused(word, desk.annotator, told, "decide")]


def _turn(desk: Desk, words: Sequence[_Word]) -> _Word | None:
    """The next word that can be looked at: any once the round is closed."""
    for word in words:
        card = desk.card(word.image_id)
        if card.due or card.passed is not None or desk.state != "sampled":
            return word
    return None


def _take_verdict(inspection: Inspection, desk: Desk, word: _Word, told: ReadBack) -> None:
    card = desk.card(word.image_id)
    passed = word.verdict == PASS
    reason = None if passed else word.reason
    said = (card.passed, card.reason, card.note)
    if card.inspector is not None and not same_person(card.inspector, word.who):
        told.refused.append(f"{word.where}: {card.inspector} was first")
    elif said == (passed, reason, word.note) or desk.state != "sampled":
        told.known += 1
    else:
        _try(
            lambda: inspection.decide(
                desk.object,
                word.image_id,
                passed,
                word.who,
                reason=reason,
                note=word.note,
                minutes=word.minutes,
            ),
            word,
            told,
        )


def read_discards(
    inspection: Inspection, studio: Studio, object: str, *, anyone: bool = False
) -> ReadBack:
    """Take the reviews of refused images given in Label Studio; nothing is taken twice.

    Words of those who draw another category count with `anyone` alone.

    Raises:
        NotFoundError: the round has no project for them.
    """
    work, batch = inspection.work, inspection.work.batch(object)
    told = ReadBack(object)
    for project in _projects(work, studio, (DISCARDS, THIRD), object, batch.round):
        for word in _words(studio, project):
            _take_review(inspection, object, batch, word, told, anyone=anyone)
    tidy_wall(work, studio)
    return told


def _take_review(
    inspection: Inspection,
    object: str,
    batch: Batch,
    word: _Word,
    told: ReadBack,
    *,
    anyone: bool,
) -> None:
    cases = [c for c in find_cases(inspection.work, object) if c.round == batch.round]
    case = next((c for c in cases if c.image_id == word.image_id), None)
    if case is None or _refused(word, case.annotator, told, "discards"):
        return
    own = next((one for one in case.reviews if same_person(one.inspector, word.who)), None)
    if own is not None and own.uphold != (word.verdict == UPHOLD):
        before = UPHOLD if own.uphold else RESTORE
        told.refused.append(f"{word.where}: they said {before!r} before, and a review stands")
    elif own is not None:
        told.known += 1
    elif word.at < (case.refused_at or ""):
        told.refused.append(f"{word.where}: the image was refused anew since; look at it again")
    elif not case.open:
        told.refused.append(f"{word.where}: the review of this image is closed")
    else:
        _try(
            lambda: review_discard(
                inspection.work,
                object,
                word.image_id,
                word.verdict == UPHOLD,
                word.who,
                note=word.note,
                minutes=word.minutes,
                anyone=anyone,
            ),
            word,
            told,
        )


def _refused(word: _Word, annotator: str, told: ReadBack, command: str) -> bool:
    if not word.known:
        gone = f"the account is gone; say it with `partlab inspect {command} --by`"
        told.refused.append(f"{word.where}: {gone}")
    elif same_person(word.who, annotator):
        told.refused.append(f"{word.where}: nobody inspects their own work")
    elif word.changed_by is not None:
        told.refused.append(f"{word.where}: {word.changed_by} changed it")
    elif word.verdict not in (PASS, FAIL, UPHOLD, RESTORE):
        told.refused.append(f"{word.where}: it says neither yes nor no")
    else:
        return False
    return True


def _try(action: Callable[[], Any], word: _Word, told: ReadBack) -> None:
    try:
        action()
        told.taken += 1
    except PartlabError as error:
        then = f"; {error.hint}" if error.hint else ""
        told.refused.append(f"{word.where}: {error.message}{then}")


def _projects(
    work: Work, studio: Studio, kinds: Sequence[str], object: str, round: int
) -> list[int]:
    """Those of these kinds that are there: at least one."""
    found = (find_projects(studio, work, kind).get((object, round)) for kind in kinds)
    there = [project for project in found if project is not None]
    if not there:
        command = "sample WORK --studio" if INSPECT in kinds else "discards WORK --studio"
        raise NotFoundError(
            f"{object} round {round} has no such project in Label Studio",
            hint=f"make it with `partlab inspect {command}`",
        )
    return there


def _words(studio: Studio, project: int) -> Iterator[_Word]:
    """The last word of each person on each image, oldest first."""
    people: dict[int | None, str] = {id: email for email, id in studio.users().items()}
    found: dict[tuple[int, str], _Word] = {}
    for task in studio.pages("/api/tasks", key="tasks", size=100, project=project, fields="all"):
        image_id = (task.get("data") or {}).get("image_id")
        annotations: Iterable[Any] = task.get("annotations") or ()
        for one in sorted(annotations, key=lambda one: str(one.get("updated_at"))):
            if isinstance(image_id, int) and not one.get("was_cancelled"):
                word = _word(image_id, one, people, project)
                found[image_id, word.who] = word
    yield from found.values()


def _word(
    image_id: int, one: Mapping[str, Any], people: Mapping[int | None, str], project: int
) -> _Word:
    by = _id(one.get("completed_by"))
    who = people.get(by, "somebody" if by is None else f"user {by}")
    editor = _id(one.get("updated_by"))
    said, lead = _said(one.get("result")), one.get("lead_time")
    return _Word(
        image_id=image_id,
        who=who,
        at=str(one.get("updated_at") or ""),
        known=by in people,
        verdict=said.get(VERDICT),
        reason=said.get(REASON),
        note=said.get(NOTE),
        minutes=round(lead / 60, 3) if isinstance(lead, int | float) else None,
        changed_by=None if editor in (None, by) else people.get(editor, f"user {editor}"),
        where=f"the word of {who} on image {image_id} (project {project}) was not taken",
    )


def _id(by: Any) -> int | None:
    id = by.get("id") if isinstance(by, dict) else by
    return id if isinstance(id, int) else None


def _said(result: Any) -> dict[str, str]:
    found = {}
    for item in result if isinstance(result, list) else ():
        value = item.get("value") if isinstance(item, dict) else None
        if not isinstance(value, dict):
            continue
        words = value.get("choices") or value.get("text") or []
        words = [words] if isinstance(words, str) else words
        found[str(item.get("from_name"))] = " ".join(map(str, words))
    return found
