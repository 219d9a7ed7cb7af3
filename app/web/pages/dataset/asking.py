"""What is asked of the page: what stands in its address, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from annotate.data.choosing import Chosen, Filters, Order, choose, ordered
from app.web.pages.dataset.sources import Source
from partlab.config import validate
from partlab.errors import ConfigError, NotFoundError

VIEWS = ("pictures", "findings", "statistics", "export")
PER_PAGE = 24
WANTED = ("include_open", "human_only", "exclude_failed")
"""What may be said of a work's export, as `annotate.inspect.build.Wanted` calls it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The page's state, as texts; "" is what nobody chose.

    `image` is an id, "" for the sheet; `masks` are ids of those that are lit on it, with spaces
    between; `wanted` is what an export of a work takes, of `WANTED`.
    """

    data: str = ""
    view: str = "pictures"
    object: str = ""
    part: str = ""
    order: str = "file"
    provenance: str = ""
    annotator: str = ""
    round: str = ""
    verdict: str = ""
    inclusion: str = ""
    finding: str = ""
    score: str = ""
    area: str = ""
    store: str = ""
    page: str = ""
    image: str = ""
    masks: str = ""
    wanted: str = ""

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> "Ask":
        """From an address; words of others are passed over."""
        known = {each.name: str(words[each.name] or "") for each in fields(cls)
                 if words.get(each.name)}  # fmt: skip
        return cls(**known)

    @property
    def filters(self) -> Filters:
        """Those of `annotate.data.choosing`.

        Raises:
            ConfigError: a value that none can have.
        """
        names = set(Filters.model_fields) - {"score", "area"}
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        values |= {name: read_span(getattr(self, name), name) for name in ("score", "area")}
        return validate(Filters, values, "the filters")


def read_span(text: str, what: str) -> tuple[float | None, float | None]:
    """`0.1-0.5`, `-0.5`, `100-` or one number, which is the least.

    Raises:
        ConfigError: it is none of these.
    """
    words = text.replace("–", "-").replace(" ", "")
    if not words:
        return None, None
    low, dash, high = words.partition("-")
    try:
        span = (float(low) if low else None), (float(high) if high else None)
    except ValueError:
        raise ConfigError(f"{text!r} is no {what}", hint="write from-to, such as 0.1-0.5") from None
    if span == (None, None) and not dash:
        return None, None
    return span


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
        raise NotFoundError(f"no image {ask.image} in {source.name}")
    return source.index.row_of[wanted]
