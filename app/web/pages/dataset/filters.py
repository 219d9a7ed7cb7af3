"""The controls above the pictures: filters, order, what stands beside, and what each offers."""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from app.web.pages.dataset.asking import VIEWS, Ask
from app.web.pages.dataset.looking import DataSet
from app.web.toolkit import gr

if TYPE_CHECKING:
    from app.web.pages.dataset.sources import Source

NAMES = tuple(each.name for each in fields(Ask))
SELDOM = ("provenance", "annotator", "round", "verdict", "inclusion", "finding", "score", "area")
LISTED = ("object", "part", "provenance", "annotator", "round", "verdict", "inclusion", "finding")
_ORDERS = {
    "file": "as in the file",
    "suspicion": "likely wrong first",
    "score": "lowest score first",
    "small": "smallest mask first",
    "large": "largest mask first",
    "masks": "most masks first",
}


@dataclass(frozen=True, slots=True)
class Controls:
    """Components by the names of `Ask`, in its order."""

    named: dict[str, Any]
    more: Any  # where those stand that are seldom wanted

    @property
    def all(self) -> list[Any]:
        """As inputs of an event."""
        return [self.named[name] for name in NAMES]


def make_controls() -> Controls:
    """A component for each word of the address."""
    made: dict[str, Any] = {}

    def choice(name: str, label: str, **more: Any) -> None:
        made[name] = gr.Dropdown(
            [], label=label, allow_custom_value=True, min_width=150, elem_id=f"dataset-{name}",
            **more,
        )  # fmt: skip

    with gr.Row(elem_classes="pd-controls"):
        choice("data", "Data set")
        choice("object", "Object category")
        choice("part", "Part")
        choice("order", "Order")
        choice("store", "Pseudo labels beside it", visible=False)
    more = gr.Accordion("More filters", open=False, elem_id="dataset-more")
    with more, gr.Row(elem_classes="pd-controls"):
        for name in SELDOM[:-2]:
            choice(name, name.capitalize())
        for name, label, such in (
            ("score", "Score, 0 to 1", "0.1-0.5"),
            ("area", "Area of a mask, px", "100-5000"),
        ):
            made[name] = gr.Textbox("", label=label, placeholder=such, min_width=120)
    made["view"] = gr.Radio(
        [(name.capitalize(), name) for name in VIEWS], value=VIEWS[0], show_label=False,
        container=False, elem_id="dataset-view",
    )  # fmt: skip
    for name in ("page", "image", "masks", "wanted"):
        made[name] = gr.Textbox("", visible=False)
    return Controls(made, more)


# --- what they offer ---------------------------------------------------------------------------


def values_of(page: DataSet, ask: Ask) -> list[Any]:
    """The values that the address names, in the order of `Ask`; nothing large is read yet."""
    names = page.sources.names()
    if not names:
        return [gr.skip() for _ in NAMES]
    ask = replace(ask, data=ask.data or names[0])
    stores = list(page.site.given.stores)
    orders = [(words, name) for name, words in _ORDERS.items()]
    lists: dict[str, list[Any]] = {"data": names, "order": orders, "store": [("none", ""), *stores]}
    found = []
    for name in NAMES:
        more: dict[str, Any] = {"choices": lists[name]} if name in lists else {}
        more |= {"visible": bool(stores)} if name == "store" else {}
        more |= {"choices": [("all", "")]} if name in LISTED else {}
        found.append(gr.update(value=getattr(ask, name), **more))
    return found


def offered(page: DataSet, data: str, object: str) -> list[Any]:
    """The choices of the filters, in the order of `LISTED`."""
    if not data:
        return [gr.skip() for _ in LISTED]
    lists = _lists(page.sources.open(data), object or "")
    return [gr.update(choices=lists[name]) for name in LISTED]


def _lists(source: "Source", object: str) -> dict[str, list[Any]]:
    """What each filter can be set to."""
    from annotate.data.checks.kinds import KINDS
    from annotate.data.choosing import ANY_INCLUSION, choices

    there = choices(source.index, object if object in source.index.objects.names else "")
    every = ("all", "")
    found: dict[str, list[Any]] = {
        "object": [(f"{name} ({n:,})", name) for name, n in there.objects.items()],
        "part": [(name.partition(":")[2] or name if object else name, name)
                 for name in there.parts],
        "provenance": list(there.provenance),
        "annotator": list(there.annotators),
        "round": list(there.rounds),
        "verdict": [("not looked at" if name == "none" else name, name)
                    for name in there.verdicts],
        "inclusion": [("any", ANY_INCLUSION), *there.inclusions] if there.inclusions else [],
        "finding": [(kind.meaning, kind.name) for kind in KINDS.values()],
    }  # fmt: skip
    return {name: [every, *values] for name, values in found.items()}


def narrowed(page: DataSet, data: str, object: str, part: str, inclusion: str) -> list[Any]:
    """Parts and inclusions of an object category; a value of another goes."""
    lists = _lists(page.sources.open(data), object or "")
    found = []
    for name, value in (("part", part), ("inclusion", inclusion)):
        known = {one[1] if isinstance(one, tuple) else one for one in lists[name]}
        kept = value if value in known else ""
        found.append(gr.update(choices=lists[name], value=kept))
    return found
