"""A work's loop on the page: how its training stands, its versions, and back to one of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.told import loop_standing, version_fate, version_row
from app.web.toolkit import asked, gr, person
from partlab.errors import UnknownNameError
from partlab.pages import render

if TYPE_CHECKING:
    from app.web.site import Site

_BACK = """
element.addEventListener('click', (event) => {
  const back = event.target.closest('[data-version]');
  if (back) trigger('click', {version: Number(back.dataset.version)});
});
"""


def loop_html(work: Path, *, lead: bool, told: str = "") -> str:
    """The state of a work's loop and a row for each version; a lead may go back to one.

    Raises:
        NotFoundError: no such work.
        SchemaError: the file of its job is damaged.
    """
    from segmenter.loop.control import status

    found = status(work)
    served = found.served.number if found.served else None
    rows = [(one, version_row(one), version_fate(one)) for one in reversed(found.versions)]
    return render(
        __package__ or "",
        "loop.html",
        filters={},
        lines=loop_standing(found, work),
        rows=rows,
        served=served,
        lead=lead,
        told=told,
    )


def build_loop(site: "Site") -> None:
    """The section below the store, seen where a work was given."""

    def path(work: str) -> Path:
        if work not in site.given.works:
            raise UnknownNameError("work", work, site.given.works)
        return site.given.works[work]

    def look(work: str, request: gr.Request) -> str:
        """How the loop of a work stands, and its versions, as HTML."""
        return loop_html(path(work), lead=person(request).may("lead")) if work else ""

    def back(work: str, version: int, request: gr.Request) -> str:
        """Serve an earlier version of a work's segmenter again."""
        from annotate.work import Work
        from segmenter.loop.versions import roll_back

        with Work.open(path(work)) as opened:
            found = roll_back(opened, int(version), person(request).name)
        told = f"Version {found.number} is served again."
        return loop_html(path(work), lead=True, told=told)

    def pressed(work: str, event: gr.EventData, request: gr.Request) -> str:
        return back(work, event.version, request)

    def opened(request: gr.Request) -> tuple[Any, Any, str]:
        works = list(site.given.works)
        if not works:
            return gr.update(visible=False), gr.skip(), ""
        wanted = asked(request).get("work", works[0])
        choice = gr.update(choices=works, value=wanted, visible=len(works) > 1)
        return gr.update(visible=True), choice, look(wanted, request)

    with gr.Column(visible=False, elem_id="pseudolabels-loop") as section:
        gr.HTML("<h2>The loop</h2>", apply_default_css=False)
        work = gr.Dropdown([], label="Work", allow_custom_value=True, min_width=180)
        shown = gr.HTML(js_on_load=_BACK, apply_default_css=False)
        with gr.Row():
            again = gr.Button(
                "Look again", size="sm", elem_id="pseudolabels-again", scale=0, min_width=160
            )
    quiet: dict[str, Any] = {"show_progress": "hidden"}
    site.blocks.load(opened, None, [section, work, shown], api_visibility="private", **quiet)
    gr.on([work.input, again.click], look, work, shown, api_name="pseudolabels_loop", **quiet)
    site.needs("lead", shown.click(pressed, work, shown, api_visibility="private", **quiet))
    site.needs("lead", gr.events.api(back, api_name="pseudolabels_rollback", queue=False))
    site.kept(work=work)
