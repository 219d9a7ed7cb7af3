"""Data set: its pictures by filters, what is wrong with it, its numbers, and what an export takes.

The filters are `annotate.data.choosing` on an index that decodes nothing; a picture is read and
its masks are decoded when it is shown.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from app.web.page import Key, Page
from app.web.pages.dataset.asking import VIEWS, Ask
from app.web.shelf import Kept
from app.web.toolkit import asked, gr, markup, person
from partlab.errors import UnknownNameError

if TYPE_CHECKING:
    from app.web.pages.dataset.asking import Seen
    from app.web.pages.dataset.picture import Beside
    from app.web.pages.dataset.sources import Source, Sources
    from app.web.people import Person, Role
    from app.web.site import Site
    from partlab.schema import Image
    from pseudolabel.store import Store

_HEAD = "<h1>Data set</h1>"
_NOTE = '<p class="pl-note" role="status">{{ words }}</p>'
_NAMES = tuple(each.name for each in fields(Ask))
_ORDERS = {
    "file": "as in the file",
    "suspicion": "likely wrong first",
    "score": "lowest score first",
    "small": "smallest mask first",
    "large": "largest mask first",
    "masks": "most masks first",
}


@dataclass
class DataSet:
    """The page's functions, apart from what is on the screen."""

    site: "Site"
    _kept: Kept = field(default_factory=Kept)

    @property
    def sources(self) -> "Sources":
        """What was given."""
        from app.web.pages.dataset.sources import Sources

        found: Sources = self._kept.get(
            "sources", lambda: Sources(self.site.given, self.site.library)
        )
        return found

    def html(self, ask: Ask, who: "Person") -> tuple[str, dict[str, Any]]:
        """What the page shows, and the same for programs.

        Raises:
            PartlabError: no such data set, part, category or image; a filter that cannot be.
        """
        from app.web.pages.dataset.asking import seen as see

        source = self.sources.open(ask.data)
        if ask.view not in VIEWS:
            raise UnknownNameError("view", ask.view, VIEWS)
        if ask.order == "suspicion" and ask.store not in source.audits:
            self.audit(ask)
        if source.report is None and (ask.finding or ask.view == "findings"):
            source.check()
        found = see(source, ask)
        told = {
            "data": source.name,
            "images": len(source.index),
            "fit": len(found.rows),
            "left_out": dict(found.chosen.left_out),
            "page": found.page,
            "pages": found.pages,
            "ids": [int(source.index.ids[row]) for row in found.here],
        }
        html, more = self._view(source, ask, found, who)
        return html, {**told, **more}

    def _view(
        self, source: "Source", ask: Ask, found: "Seen", who: "Person"
    ) -> tuple[str, dict[str, Any]]:
        """The HTML of a view, and what it adds for programs."""
        shown = self.site.shown
        if ask.view == "findings":
            from app.web.pages.dataset.findings import findings_of
            from app.web.pages.dataset.findings import told as groups

            return findings_of(source, ask, shown), {"findings": groups(source)}
        if ask.view == "statistics":
            from app.web.pages.dataset.numbers import statistics_of

            counted = source.statistics()
            return statistics_of(counted), {"statistics": asdict(counted)}
        if ask.view == "export":
            from app.web.pages.dataset.exporting import export_of

            return export_of(source, ask, found), {}
        if ask.image:
            from app.web.pages.dataset.picture import picture_of

            return picture_of(source, ask, found, self.beside(source, ask), who, shown), {}
        from app.web.pages.dataset.view import sheet_of

        return sheet_of(source, ask, found, shown), {}

    def beside(self, source: "Source", ask: Ask) -> "Beside | None":
        """The pseudo labels of the image that is asked for; None without a store."""
        from app.web.pages.dataset.asking import row_of
        from app.web.pages.dataset.picture import beside_of

        if not ask.store:
            return None
        store = self.store(ask.store)
        (image,) = source.index.dataset([row_of(source, ask)]).images
        return beside_of(store, self._rows(store).get(image.file_name), image)

    def store(self, name: str) -> "Store":
        """A store that was given; errors are those of `Store.open`, and an unknown name."""
        from pseudolabel.store import Store

        stores = self.site.given.stores
        if name not in stores:
            raise UnknownNameError("store", name, stores)
        return Store.open(stores[name])

    def _rows(self, store: "Store") -> dict[str, int]:
        """File name -> place in a store, read again when there is more in it."""

        def read() -> dict[str, int]:
            names = (row.file_name for row in store.rows(["file_name"]))
            return {name: place for place, name in enumerate(names)}

        found: dict[str, int] = self._kept.get(f"{store.path} {store.identity} {len(store)}", read)
        return found

    def audit(self, ask: Ask) -> None:
        """Rank the images by how likely their masks are wrong, beside a store's if one is named."""
        from annotate.inspect.audit import audit

        source = self.sources.open(ask.data)
        source.audits[ask.store] = audit(source.whole(), self._predictions(ask.store))

    def _predictions(self, name: str) -> Any:
        """A store's masks as the data set that an audit takes; None judges sizes alone."""
        from app.prelabel import as_dataset

        return as_dataset(self.store(name)) if name else None

    def image(self, data: str, image: int | str) -> "tuple[Source, Image]":
        """An image of a data set by its id."""
        from app.web.pages.dataset.asking import row_of

        source = self.sources.open(data)
        (found,) = source.index.dataset([row_of(source, Ask(image=str(image)))]).images
        return source, found


_SELDOM = ("provenance", "annotator", "round", "verdict", "inclusion", "finding", "score", "area")


@dataclass(frozen=True, slots=True)
class Controls:
    """Components by the names of `Ask`, in its order."""

    named: dict[str, Any]
    more: Any  # where those stand that are seldom wanted

    @property
    def all(self) -> list[Any]:
        """As inputs of an event."""
        return [self.named[name] for name in _NAMES]


def build(site: "Site") -> None:
    """What to see above, the pictures below."""
    page = DataSet(site)
    gr.HTML(_HEAD, apply_default_css=False)
    controls = _controls()
    with gr.Row(elem_classes="pd-step"):
        step = gr.HTML(apply_default_css=False, elem_id="dataset-step")
        stop = gr.Button("Stop x", elem_id="dataset-stop", size="sm", scale=0, min_width=80)
    told = gr.HTML(apply_default_css=False, elem_id="dataset-told")
    result = gr.HTML(js_on_load="partlab.dataset(element, trigger)", apply_default_css=False)
    data = gr.JSON(visible=False)
    outputs = [step, result, data]
    _events(site, page, controls, outputs, told)

    def stopped(request: gr.Request) -> str:
        return "stopped" if site.work.cancel(request.session_hash) else ""

    stop.click(stopped, None, step, queue=False, api_name="dataset_stop")
    site.kept(**controls.named)


def _controls() -> Controls:
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
        for name in _SELDOM[:-2]:
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


_LISTED = ("object", "part", "provenance", "annotator", "round", "verdict", "inclusion", "finding")
_PICKED = ("object", "part", "order", "store", "provenance", "annotator", "round", "verdict",
           "inclusion", "finding", "view")  # fmt: skip


def _events(site: "Site", page: DataSet, controls: Controls, outputs: list[Any], told: Any) -> None:
    result, c = outputs[1], controls.named
    run = _running(site, page)
    quiet: dict[str, Any] = {"show_progress": "hidden"}
    private: dict[str, Any] = {"api_visibility": "private", **quiet}

    def opened(request: gr.Request) -> list[Any]:
        ask = Ask.of(asked(request))
        return [*_values(page, ask), gr.update(open=any(getattr(ask, name) for name in _SELDOM))]

    def another(data: str) -> list[Any]:
        return _values(page, Ask(data=data))

    def listed(data: str, object: str) -> list[Any]:
        return _listed(page, data, object)

    def parts(data: str, object: str, part: str, inclusion: str) -> list[Any]:
        return _narrowed(page, data, object, part, inclusion)

    lists = [c[name] for name in _LISTED]
    for begun in (
        site.opened(opened, [*controls.all, controls.more]),
        c["data"].input(another, c["data"], controls.all, **private),
    ):
        looked = begun.then(run, controls.all, outputs, **private)
        looked.then(listed, [c["data"], c["object"]], lists, **private)
    narrowed = [c["part"], c["inclusion"]]
    c["object"].input(parts, [c["data"], c["object"], *narrowed], narrowed, **private)

    def first() -> tuple[str, str, str]:
        return "", "", ""

    changed = [c[name].input for name in _PICKED] + [c["score"].submit, c["area"].submit]
    gr.on(changed, first, None, [c["page"], c["image"], c["masks"]], **private).then(
        run, controls.all, outputs, api_name="dataset_look", **quiet
    )
    result.click(_clicked, None, controls.all, **private).then(
        run, controls.all, outputs, **private
    )
    _acts(site, page, controls, outputs, told, run)
    _export(site, page, outputs, told)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _clicked(event: gr.EventData) -> list[Any]:
    """What a click on the result changes: the controls that it names."""
    said: Mapping[str, Any] = event._data or {}
    return [gr.update(value=_text(said[name])) if name in said else gr.skip() for name in _NAMES]


def _running(site: "Site", page: DataSet) -> Callable[..., AsyncIterator[Any]]:
    async def run(
        data: str,
        view: str,
        object: str,
        part: str,
        order: str,
        provenance: str,
        annotator: str,
        round: str,
        verdict: str,
        inclusion: str,
        finding: str,
        score: str,
        area: str,
        store: str,
        page_: str,
        image: str,
        masks: str,
        wanted: str,
        request: gr.Request,
    ) -> AsyncIterator[Any]:
        """Look at a data set. score, area: from-to; order: see the page; image: an id, or ""."""
        if not data:
            yield "", "", None
            return
        values = (data, view, object, part, order, provenance, annotator, round, verdict)
        rest = (inclusion, finding, score, area, store, page_, image, masks, wanted)
        ask = Ask(*map(_text, (*values, *rest)))

        def work() -> tuple[str, dict[str, Any]]:
            return page.html(ask, person(request))

        async for step, found in site.work.shown(request.session_hash, work):
            yield step, *(found or (gr.skip(), gr.skip()))

    return run


# --- choices -----------------------------------------------------------------------------------


def _values(page: DataSet, ask: Ask) -> list[Any]:
    """The values that the address names, in the order of `Ask`; nothing large is read yet."""
    names = page.sources.names()
    if not names:
        return [gr.skip() for _ in _NAMES]
    ask = replace(ask, data=ask.data or names[0])
    stores = list(page.site.given.stores)
    orders = [(words, name) for name, words in _ORDERS.items()]
    lists: dict[str, list[Any]] = {"data": names, "order": orders, "store": [("none", ""), *stores]}
    found = []
    for name in _NAMES:
        more: dict[str, Any] = {"choices": lists[name]} if name in lists else {}
        more |= {"visible": bool(stores)} if name == "store" else {}
        more |= {"choices": [("all", "")]} if name in _LISTED else {}
        found.append(gr.update(value=getattr(ask, name), **more))
    return found


def _listed(page: DataSet, data: str, object: str) -> list[Any]:
    """The choices of the filters, in the order of `_LISTED`."""
    if not data:
        return [gr.skip() for _ in _LISTED]
    lists = _lists(page.sources.open(data), object or "")
    return [gr.update(choices=lists[name]) for name in _LISTED]


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


def _narrowed(page: DataSet, data: str, object: str, part: str, inclusion: str) -> list[Any]:
    """Parts and inclusions of an object category; a value of another goes."""
    lists = _lists(page.sources.open(data), object or "")
    found = []
    for name, value in (("part", part), ("inclusion", inclusion)):
        known = {one[1] if isinstance(one, tuple) else one for one in lists[name]}
        kept = value if value in known else ""
        found.append(gr.update(choices=lists[name], value=kept))
    return found


# --- acts --------------------------------------------------------------------------------------


def _acts(
    site: "Site", page: DataSet, controls: Controls, outputs: list[Any], told: Any, run: Any
) -> None:
    """What changes a work: by a click on the result, and by name for programs."""
    result, c = outputs[1], controls.named
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

    def include(data: str, object: str, inner: str, outer: str, request: gr.Request) -> str:
        """Declare in the work of a data set that one part lies in another; what came of it."""
        from app.web.pages.dataset.acts import included

        source = page.sources.open(data)
        return included(source, object, inner, outer, person(request).name)

    def send_back(data: str, image: str, reason: str, note: str, request: gr.Request) -> str:
        """Have one picture of an accepted category drawn again; what came of it."""
        from app.web.pages.dataset.acts import sent_back

        source, record = page.image(data, image)
        return sent_back(source, record, person(request).name, reason, note)

    def including(data: str, event: gr.EventData, request: gr.Request) -> str:
        words = include(data, event.object, event.inner, event.outer, request)
        return markup(_NOTE, words=words)

    def sending(data: str, image: str, event: gr.EventData, request: gr.Request) -> str:
        return markup(_NOTE, words=send_back(data, image, event.reason, event.note, request))

    acts: tuple[tuple[Role, Any, str, Any, Any, list[str]], ...] = (
        ("lead", include, "dataset_include", result.apply, including, ["data"]),
        ("inspector", send_back, "dataset_send_back", result.submit, sending, ["data", "image"]),
    )
    for role, function, name, trigger, pressed, inputs in acts:
        site.needs(role, gr.events.api(function, api_name=name, queue=False))
        made = trigger(pressed, [c[each] for each in inputs], told, **quiet)
        site.needs(role, made)
        made.success(run, controls.all, outputs, **quiet)


def _export(site: "Site", page: DataSet, outputs: list[Any], told: Any) -> None:
    """What fits, or a work's accepted categories, as a data set."""

    def export(filters: str, folder: str) -> str:
        """Write what fits as a data set beside it; filters: the words after the address's `?`."""
        from app.web.pages.dataset.exporting import exported

        ask = Ask.of(dict(parse_qsl(filters)))
        source = page.sources.open(ask.data)
        if ask.finding and source.report is None:
            source.check()
        return exported(source, ask, folder)

    async def writing(event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        def work() -> str:
            return export(event.filters, event.folder)

        async for step, words in site.work.shown(request.session_hash, work):
            yield step, gr.skip() if words is None else markup(_NOTE, words=f"Written: {words}")

    site.needs("lead", gr.events.api(export, api_name="dataset_export"))
    step, result = outputs[:2]
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    site.needs("lead", result.release(writing, None, [step, told], **quiet))


def _needs(site: "Site") -> str | None:
    if site.given.data or site.given.works:
        return None
    return "Start the app with a data set or a work: partlab app world"


PAGE = Page(
    "dataset",
    "Data set",
    "pictures by filters, findings, statistics, and what an export takes",
    build,
    order=30,
    needs=_needs,
    keys=(
        Key("ArrowLeft", "the page or picture before", "dataset-before"),
        Key("ArrowRight", "the next page or picture", "dataset-next"),
        Key("b", "back to the sheet", "dataset-back"),
        Key("n", "the next mask; p the one before"),
        Key("m", "the picture without masks, and with them"),
        Key("l", "its task in Label Studio", "dataset-studio"),
        Key("x", "stop", "dataset-stop"),
    ),
)
