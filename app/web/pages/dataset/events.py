"""What happens on the page: it is opened, a filter is set, something is clicked."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from app.web.pages.dataset.asking import Ask
from app.web.pages.dataset.filters import (
    LISTED,
    NAMES,
    SELDOM,
    Controls,
    narrowed,
    offered,
    values_of,
)
from app.web.pages.dataset.looking import DataSet
from app.web.toolkit import asked, gr, person

if TYPE_CHECKING:
    from app.web.site import Site

_PICKED = ("object", "part", "order", "store", "provenance", "annotator", "round", "verdict",
           "inclusion", "finding", "view")  # fmt: skip


def look_events(
    site: "Site", page: DataSet, controls: Controls, outputs: list[Any]
) -> Callable[..., AsyncIterator[Any]]:
    """Opening, filters and clicks; what looks again, for acts that change what is seen."""
    result, c = outputs[1], controls.named
    run = _running(site, page)
    quiet: dict[str, Any] = {"show_progress": "hidden"}
    private: dict[str, Any] = {"api_visibility": "private", **quiet}

    def opened(request: gr.Request) -> list[Any]:
        ask = Ask.of(asked(request))
        return [*values_of(page, ask), gr.update(open=any(getattr(ask, name) for name in SELDOM))]

    def another(data: str) -> list[Any]:
        return values_of(page, Ask(data=data))

    def listed(data: str, object: str) -> list[Any]:
        return offered(page, data, object)

    def parts(data: str, object: str, part: str, inclusion: str) -> list[Any]:
        return narrowed(page, data, object, part, inclusion)

    lists = [c[name] for name in LISTED]
    for begun in (
        site.opened(opened, [*controls.all, controls.more]),
        c["data"].input(another, c["data"], controls.all, **private),
    ):
        looked = begun.then(run, controls.all, outputs, **private)
        looked.then(listed, [c["data"], c["object"]], lists, **private)
    two = [c["part"], c["inclusion"]]
    c["object"].input(parts, [c["data"], c["object"], *two], two, **private)

    def first() -> tuple[str, str, str]:
        return "", "", ""

    changed = [c[name].input for name in _PICKED] + [c["score"].submit, c["area"].submit]
    gr.on(changed, first, None, [c["page"], c["image"], c["masks"]], **private).then(
        run, controls.all, outputs, api_name="dataset_look", **quiet
    )
    result.click(_clicked, None, controls.all, **private).then(
        run, controls.all, outputs, **private
    )
    return run


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _clicked(event: gr.EventData) -> list[Any]:
    """What a click on the result changes: the controls that it names."""
    said: Mapping[str, Any] = event._data or {}
    return [gr.update(value=_text(said[name])) if name in said else gr.skip() for name in NAMES]


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
