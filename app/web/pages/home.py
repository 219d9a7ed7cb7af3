"""The first page: what there is, and where to go."""

from typing import TYPE_CHECKING

from app.web.page import Page, pages
from app.web.toolkit import gr, markup, person

if TYPE_CHECKING:
    from app.web.site import Site

_TILES = """
<h1>partlab</h1>
<p class="pl-soft">{{ about }}</p>
<ul class="pl-tiles">
{% for page in pages %}
<li><a href="{{ page.path }}"><b>{{ page.title }}</b><span>{{ page.about }}</span></a></li>
{% endfor %}
</ul>
"""


def build(site: "Site") -> None:
    """Tiles, once it is known who asks."""
    place = gr.HTML(apply_default_css=False)

    def opened(request: gr.Request) -> str:
        who = person(request)
        seen = [page for page in pages() if page.path and who.may(page.role)]
        told = site.given.told()
        about = "The app has no data yet." if told == "nothing" else f"Given: {told}."
        return markup(_TILES, pages=seen, about=about)

    site.opened(opened, [place])


PAGE = Page("", "Home", "what there is", build, order=0)
