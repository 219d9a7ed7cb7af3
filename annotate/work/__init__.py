"""An annotation work: who draws what in which round, what came back, and its history."""

from annotate.work.change import in_correction, waits_for_a_look
from annotate.work.discards import (
    discard_state,
    final_discards,
    refusal_of,
    reviews_of,
    unsettled_discards,
)
from annotate.work.drawing import open_images
from annotate.work.inspecting import images_in_correction, same_person
from annotate.work.queries import select_answers
from annotate.work.rebuild import rebuild_work
from annotate.work.settings import WorkSettings
from annotate.work.store import MovedOnError, Work, safe_name
from annotate.work.tables import (
    HONEYPOT,
    PICTURE,
    Answer,
    Batch,
    CategoryId,
    DiscardReview,
    Draw,
    Event,
    Flag,
    Image,
    Task,
    Verdict,
)

__all__ = [
    "HONEYPOT",
    "PICTURE",
    "Answer",
    "Batch",
    "CategoryId",
    "DiscardReview",
    "Draw",
    "Event",
    "Flag",
    "Image",
    "MovedOnError",
    "Task",
    "Verdict",
    "Work",
    "WorkSettings",
    "discard_state",
    "final_discards",
    "images_in_correction",
    "in_correction",
    "open_images",
    "rebuild_work",
    "refusal_of",
    "reviews_of",
    "safe_name",
    "same_person",
    "select_answers",
    "unsettled_discards",
    "waits_for_a_look",
]
