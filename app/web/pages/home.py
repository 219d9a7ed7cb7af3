"""The first page: what there is, where to go, and a world to begin with where there is nothing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.web.page import Page, pages
from app.web.toolkit import gr, markup, person

if TYPE_CHECKING:
    from app.web.site import Site

FOLDER = Path("quickstart")
"""Where the world goes: the folder that `partlab quickstart` makes, and goes on with."""

_TILES = """
<h1>partlab</h1>
<p class="pl-soft">{{ about }}</p>
<ul class="pl-tiles">
{% for page, lacks in pages %}
<li><a href="{{ page.path }}"{% if lacks %} data-lacks{% endif %}>
<b>{{ page.title }}</b><span>{{ page.about }}</span>
{% if lacks %}<small>nothing was given for it; it says what to give</small>{% endif %}
</a></li>
{% endfor %}
</ul>
"""
_OFFER = """
<h2>Begin with a drawn world</h2>
<p>The app was given nothing, so there is nothing to show yet. partlab can draw pictures of
animals, vehicles and things with exact masks of their parts, and train small models on them, in
the folder <code>{{ folder }}</code>. Drawing takes about a minute; with the models it is
<code>partlab quickstart</code>, about ten minutes on two cores. What is stopped goes on later.</p>
"""


def build(site: "Site") -> None:
    """Tiles, once it is known who asks."""
    tiles = gr.HTML(apply_default_css=False)
    with gr.Column(visible=False) as offer:
        gr.HTML(markup(_OFFER, folder=FOLDER), apply_default_css=False)
        with gr.Row():
            draw = gr.Button("Draw the world", elem_id="home-draw")
            whole = gr.Button("Draw it and train models", variant="primary", elem_id="home-all")
            stop = gr.Button("Stop", elem_id="home-stop")
        step = gr.HTML(apply_default_css=False, elem_id="home-step")

    def opened(request: gr.Request) -> tuple[Any, ...]:
        who = person(request)
        seen = [(page, _lacks(site, page)) for page in pages() if page.path and who.may(page.role)]
        told = site.given.told()
        empty = told == "nothing" and site.server is None
        about = f"Given: {told}." if told != "nothing" else "Pages for part-level vision data."
        return markup(_TILES, pages=seen, about=about), gr.update(visible=empty and who.may("lead"))

    def stopped(request: gr.Request) -> str:
        return "stopped" if site.work.cancel(request.session_hash) else ""

    site.opened(opened, [tiles, offer])
    for button, name, models in ((draw, "home_draw", False), (whole, "home_quickstart", True)):
        made = button.click(
            _making(site, models), None, step, api_name=name, show_progress="hidden"
        )
        site.needs("lead", made)
        made.success(opened, None, [tiles, offer], api_visibility="private")
    stop.click(stopped, None, step, queue=False, api_name="home_stop")


def _lacks(site: "Site", page: Page) -> bool:
    """Whether nothing was given for it; a server is not waited for before the first page stands."""
    return site.server is None and page.needs(site) is not None


def _making(site: "Site", models: bool) -> Any:
    def work() -> None:
        from app.quickstart import quickstart
        from app.quickstart import world_of as draw

        quickstart(FOLDER) if models else draw(FOLDER)
        site.given.add(FOLDER)

    async def make(request: gr.Request) -> AsyncIterator[str]:
        async for step, _ in site.work.shown(request.session_hash, work):
            yield step

    return make


PAGE = Page("", "Home", "what there is", build, order=0)
