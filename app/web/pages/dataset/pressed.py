"""What is pressed on the page and changes a work or writes a data set; each also by name."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from app.web.pages.dataset.asking import Ask
from app.web.pages.dataset.filters import Controls
from app.web.pages.dataset.looking import DataSet
from app.web.people import Role
from app.web.toolkit import gr, markup, person

if TYPE_CHECKING:
    from app.web.site import Site

_NOTE = '<p class="pl-note" role="status">{{ words }}</p>'


def act_events(
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


def export_events(site: "Site", page: DataSet, outputs: list[Any], told: Any) -> None:
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
