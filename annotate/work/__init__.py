"""An annotation work: who draws what in which round, what came back, and its history."""

from annotate.work.machine import (
    discard_state,
    final_discards,
    honeypots,
    open_images,
    reviews_of,
    same_person,
    unsettled_discards,
)
from annotate.work.settings import WorkSettings
from annotate.work.store import MovedOnError, Work, safe_name
from annotate.work.tables import (
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
    "honeypots",
    "open_images",
    "reviews_of",
    "safe_name",
    "same_person",
    "unsettled_discards",
]
