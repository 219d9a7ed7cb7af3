"""What an inspector has on the page, as plain values: a sheet of cards, and pictures with masks.

    sheet = sheet_of(work, "round", "ram", "ina@x.org")

A sheet is a round to inspect or decided, images that were drawn again, or images given up.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from annotate.inspect.again import drawn_again
from annotate.inspect.corrections import corrections
from annotate.inspect.desk import Card, Desk, caused
from annotate.inspect.discards import DiscardCase, find_cases, foresee_review
from annotate.inspect.pins import Pin, pins_of, typed
from annotate.inspect.queue import drew, may_review
from annotate.inspect.rounds import verdicts_of
from annotate.inspect.service import Inspection
from annotate.inspect.suspicion import likely_wrong
from annotate.studio.acts.instructions import drawing_rules
from annotate.studio.spelling.labelconfig import colours
from annotate.vocabulary import ObjectParts
from annotate.work import Batch, Work, safe_name, same_person
from annotate.work.pictures import EXAMPLES, FOLDER
from app.web.shown import Shown

Sheet = dict[str, Any]
_ELSEWHERE = 5  # likely wrong images that were not drawn, and count for nothing here


def round_sheet(work: Work, object: str, who: str) -> Sheet:
    """A round that is being inspected, or was decided."""
    inspection = Inspection(work)
    desk = inspection.cards(object)
    pins, outlook = pins_of(work, object, desk.round), inspection.outlook(object)
    doubts = {one.image_id: one for one in likely_wrong(work, desk)}
    back = {one.image_id: one for one in corrections(work, object)}
    cards = []
    for card in desk.cards:
        if desk.state == "sampled" and not card.due and card.passed is None:
            continue  # the plan may come to it, or not
        told = _card(card, pins.get(card.image_id, ()), who)
        if (doubt := doubts.get(card.image_id)) is not None:
            told |= {"doubt": doubt.why, "suspicion": doubt.suspicion}
        told["ahead"] = {
            str(k).lower(): str(v) for k, v in outlook.of.get(card.image_id, {}).items()
        }
        told["back"] = card.image_id in back
        cards.append(told)
    own = drew(work, work.batch(object), who)
    return {
        **_about(work, work.batch(object), "round", own=own),
        "plan": desk.plan,
        "rules": list(desk.rules),
        "cards": cards,
        "waiting": sum(card.due for card in desk.cards),
        "most": len(desk.cards),
        "summary": _summary(desk),
        "finish": _finish(desk),
        "rest": str(outlook.rest or ""),
        "doubts": sum(one.drawn for one in doubts.values()),
        "elsewhere": [asdict(one) for one in doubts.values() if not one.drawn][:_ELSEWHERE],
    }


def _card(card: Card, pins: Sequence[Pin], who: str) -> Sheet:
    return {
        "image": card.image_id,
        "file": card.file_name,
        "due": card.due,
        "passed": card.passed,
        "reason": card.reason,
        "note": typed(card.note, pins),
        "pins": [pin.model_dump() for pin in pins],
        "by": card.inspector,
        "mine": card.inspector is not None and same_person(card.inspector, who),
        "missing": list(card.missing),
        "problems": list(card.problems),
        "doubt": "",
    }


def _about(work: Work, batch: Batch, kind: str, *, own: bool) -> Sheet:
    parts = work.moves(batch).parts
    return {
        "kind": kind,
        "object": batch.object,
        "round": batch.round,
        "state": batch.state,
        "annotator": batch.assignee,
        "own": own,
        "reasons": list(work.settings.fail_reasons),
        "drawing": drawing_rules(parts),
        "note": parts.note,
        "parts": _parts(parts),
    }


def _parts(parts: ObjectParts) -> list[Sheet]:
    tints = colours(parts)
    return [
        {"name": part.name, "colour": colour, "about": part.definition}
        for part, colour in zip(parts.parts, tints, strict=True)
    ]


def _summary(desk: Desk) -> str:
    left = f", {len(desk.due)} to look at" if desk.due else ""
    return f"{desk.bad} of {desk.seen} inspected images bad{left}"


def _finish(desk: Desk) -> str:
    """What finishing causes, once the plan knows; else nothing."""
    if desk.state != "sampled" or desk.decision == "continue":
        return ""
    return caused(desk.decision, desk.seen, desk.bad)


def again_sheet(work: Work, object: str, who: str) -> Sheet:
    """Images of an accepted category that were sent back and drawn again."""
    batch = work.batch(object)
    back = drawn_again(work, [object])
    pins = pins_of(work, object, batch.round)
    cards = [
        {
            **_blank(one.image_id, one.file_name),
            "said": f"sent back by {one.inspector}: {one.reason}",
            "note": typed(one.note, pins.get(one.image_id, ())),
            "pins": [pin.model_dump() for pin in pins.get(one.image_id, ())],
            "ahead": {
                "true": "it passes, and is exported again",
                "false": f"it goes back to {one.annotator} once more",
            },
        }
        for one in back
    ]
    own = drew(work, batch, who)
    return {**_about(work, batch, "again", own=own), "cards": cards, **_plain(len(back))}


def discard_sheet(work: Work, object: str, who: str) -> Sheet:
    """Images that were given up, and that `who` may review."""
    cases = [c for c in find_cases(work, object) if c.open and may_review(work, c, who)]
    batch = work.batch(object, cases[0].round if cases else None)
    cards = [_case(case) for case in cases]
    return {**_about(work, batch, "discards", own=False), "cards": cards, **_plain(len(cases))}


def _case(case: DiscardCase) -> Sheet:
    reviews = [f"{r.inspector}: {_WORD[r.uphold]}" for r in case.reviews]
    said = f"given up by {case.annotator}: {case.reason or 'no reason'}"
    return {
        **_blank(case.image_id, case.file_name),
        "said": "; ".join((said, *reviews)),
        "ahead": {
            str(word).lower(): f"{_WORD[word]}: {foresee_review(case, word)}"
            for word in (True, False)
        },
    }


_WORD = {True: "rightly given up", False: "draw it after all"}


def _blank(image: int, file: str) -> Sheet:
    lists: Sheet = {name: [] for name in ("pins", "missing", "problems")}
    said: Sheet = dict.fromkeys(("passed", "reason", "by"))
    return {"image": image, "file": file, "due": True, "note": "", "doubt": "", **lists, **said}


def _plain(waiting: int) -> Sheet:
    """What only rounds have more to say of."""
    texts: Sheet = {"finish": "", "rest": "", "plan": "", "summary": f"{waiting} to look at"}
    return {**texts, "rules": [], "waiting": waiting, "most": waiting, "doubts": 0, "elsewhere": []}


def decided(work: Work) -> list[Sheet]:
    """Categories that were accepted or rejected and whose next round has not begun."""
    closed = [batch for batch in work.batches() if batch.state in ("accepted", "rejected")]
    return [{"object": b.object, "round": b.round, "state": b.state} for b in closed]


def example_of(work: Work, object: str, shown: Shown) -> Sheet | None:
    """An image of the category that passed, newest round first, else one of the instructions."""
    for batch in reversed(work.rounds(object)):
        passed = [v for v in verdicts_of(work, batch).values() if v.passed]
        if passed:
            one = max(passed, key=lambda verdict: verdict.at)
            return {
                "image": one.image_id,
                "round": batch.round,
                "words": f"passed by {one.inspector}",
            }
    folder = work.folder / FOLDER / EXAMPLES / safe_name(object)
    found = next(iter(sorted(folder.glob("*.png"))), None)
    if found is None:
        return None
    return {"src": shown.put(found.read_bytes(), found.name), "words": "of the instructions"}
