"""What is asked of the page: the words that stand in its address."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from partlab.config import validate
from partlab.errors import ConfigError

if TYPE_CHECKING:
    from annotate.data.choosing import Filters

VIEWS = ("pictures", "findings", "statistics", "export")
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
    def filters(self) -> "Filters":
        """Those of `annotate.data.choosing`.

        Raises:
            ConfigError: a value that none can have.
        """
        from annotate.data.choosing import Filters

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
