"""Which images an ask wants to see, in which order, and which of them stand on the page."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from annotate.data.choosing import Chosen, Order, choose, ordered
from app.web.pages.dataset.asking import Ask
from app.web.pages.dataset.sources import Source
from partlab.errors import NotFoundError

PER_PAGE = 24


@dataclass(frozen=True, slots=True)
class Seen:
    """The images that fit, in their order, and which of them stand on the page."""

    chosen: Chosen
    rows: NDArray[np.int64]
    page: int
    here: tuple[int, ...]

    @property
    def pages(self) -> int:
        """How many there are; at least one."""
        return max(-(-len(self.rows) // PER_PAGE), 1)


def seen(source: Source, ask: Ask) -> Seen:
    """What an ask wants to see.

    Raises:
        ConfigError, UnknownNameError: as `choose` and `ordered`.
    """
    found = findings_of(source)
    chosen = choose(source.index, ask.filters, found)
    audit = source.audits.get(ask.store)
    order = cast("Order", ask.order or "file")  # `ordered` refuses others
    rows = ordered(source.index, chosen, order, audit.suspicion if audit else None)
    last = max(-(-len(rows) // PER_PAGE), 1)
    page = min(max(int(ask.page) if ask.page.isdecimal() else 1, 1), last)
    here = rows[(page - 1) * PER_PAGE : page * PER_PAGE]
    return Seen(chosen, rows, page, tuple(map(int, here)))


def findings_of(source: Source) -> dict[str, set[int]] | None:
    """Kind -> image ids; None before the data set was checked."""
    if source.report is None:
        return None
    return {
        kind: {one.image_id for one in found if one.image_id is not None}
        for kind, found in source.report.by_kind.items()
    }


def row_of(source: Source, ask: Ask) -> int:
    """The row of the image that is asked for.

    Raises:
        NotFoundError: there is none of this id.
    """
    wanted = int(ask.image) if ask.image.lstrip("-").isdecimal() else None
    if wanted is None or wanted not in source.index.row_of:
        hint = "a work shows what is drawn in its newest rounds" if source.is_work else None
        raise NotFoundError(f"no image {ask.image} in {source.name}", hint=hint)
    return source.index.row_of[wanted]
