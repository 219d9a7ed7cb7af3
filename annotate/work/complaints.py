"""What may be wrong with a drawing, or with who drew it: each kind stands here, and here alone.

A problem is of one answer and is kept with it; a flag is of one annotation and breaks a rule of
the work. Both are of a kind, and say it in a sentence of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

ERROR, WARNING, NOTE = "error", "warning", "note"
"""It counts as not done; it looks wrong; it is only said."""

Ends = Literal["answer", "deleted", "never"]

Problem = dict[str, Any]
"""{kind, message, severity}; `gist` says the same of other images, `parts` are concerned."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of complaint.

    `gist` says it of many images at once, where the message is about one, `advice` what the
    annotator does about it. A flag of it `ends` with the next "answer", when what it is about is
    "deleted" in Label Studio, or "never": then it says what happened.
    """

    gist: str = ""
    advice: str = ""
    severity: str = ERROR
    ends: Ends = "answer"


_REDRAW = "draw it afresh in the picture as it is shown"
PART_GONE = "part-gone"
"""The problem of an answer that a change of the vocabulary opened again."""

SENT_BACK, REDRAWN = "sent-back", "redrawn"
"""The problems of an answer of an accepted round that is being corrected: an inspector sent it
back alone; its annotator drew it again, and nobody has looked at it since.
"""

KINDS = {
    # a region that gave no mask
    "broken-result": Kind(
        "the result is not a list of regions",
        "delete the annotation, and draw the picture afresh",
    ),
    "unknown-region": Kind(
        "a kind of region that is not part of the labelling interface", "delete it, and update"
    ),
    "no-label": Kind("a region without a part", "give it a label, and update"),
    "several-labels": Kind("a region with several parts", "leave it one label, and update"),
    "unknown-label": Kind(
        "the vocabulary has no such part",
        "choose one of its labels and update; `partlab vocabulary migrate` is the way to rename a "
        "label",
    ),
    "wrong-size": Kind("a region of a picture of another size", _REDRAW),
    "rotated": Kind("a region of a turned picture", _REDRAW),
    "broken-mask": Kind("a geometry that cannot be read", "delete it, draw it afresh, and update"),
    "empty-mask": Kind("a region without a pixel", severity=WARNING),  # nothing drawn, or lost
    "prompt-left": Kind(
        "a click or a box asked the model, and its answer was neither accepted nor refused",
        "accept or refuse it, or delete the click, and update",
    ),
    "wrong-object": Kind(
        "an object number that is not 1, 2, 3, …", "correct the number, and update"
    ),
    # an answer as a whole
    "model-help": Kind(),
    "discard-with-masks": Kind(),
    "nothing-drawn": Kind(),
    PART_GONE: Kind(),
    SENT_BACK: Kind(),
    REDRAWN: Kind(severity=NOTE),
    "made-anew": Kind(),
    "overlap": Kind(severity=WARNING),
    "note": Kind(severity=NOTE),
    "speck": Kind("specks, such as slips of the mouse, are dropped", severity=NOTE),
    # an annotation that does not count
    "foreign-annotation": Kind(ends="deleted"),
    "second-annotation": Kind(ends="deleted"),
    "unknown-task": Kind(ends="deleted"),
    "foreign-edit": Kind(),
    "cancelled": Kind(),
    "deleted": Kind(),
    "discard-after-restore": Kind(),
    "discard-after-sent-back": Kind(),
    "late-edit": Kind(ends="never"),
    "task-gone": Kind(ends="never"),
}


def ending(how: Ends) -> tuple[str, ...]:
    """The kinds whose flags end so."""
    return tuple(name for name, kind in KINDS.items() if kind.ends == how)


def problem(kind: str, message: str, *, gist: str = "", parts: Sequence[str] = ()) -> Problem:
    """One problem of an answer; its `gist` is that of the kind unless it is said."""
    about = KINDS[kind]
    said: Problem = {"kind": kind, "message": message, "severity": about.severity}
    said |= {"gist": gist or about.gist} if gist or about.gist else {}
    return said | ({"parts": list(parts)} if parts else {})
