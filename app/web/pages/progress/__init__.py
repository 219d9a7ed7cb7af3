"""Progress: where a work stands, for its lead; and for each annotator what they are to do."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.web.page import Key, Page
from app.web.toolkit import asked, gr, markup, person
from partlab.errors import NotFoundError, PartlabError, UnknownNameError

if TYPE_CHECKING:
    from annotate.work import Work
    from app.web.pages.progress.acts import Press
    from app.web.people import Person
    from app.web.site import Site

_PRESS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (!button) return;
  const {act, object} = button.dataset, beside = button.closest('[data-beside]');
  const field = beside?.querySelector('select, input:not([type=checkbox])');
  if (field && !field.value) return field.focus();
  const afresh = Boolean(beside?.querySelector('[type=checkbox]')?.checked);
  trigger('click', {act, object: object || '', to: field?.value || '', afresh});
});
"""
_NEEDS = (
    "Here stands how far people have drawn. Start the app with a work: partlab app WORK. partlab "
    "studio create begins one."
)
_TOLD = '<p class="pl-note pg-told" role="status">{{ words }}</p>'


@dataclass
class Progress:
    """The page's functions, apart from what is on the screen."""

    site: "Site"

    def path(self, work: str) -> Any:
        """The folder of a work that was given; "" is the first.

        Raises:
            UnknownNameError: none of this name was given.
        """
        works = self.site.given.works
        name = work or next(iter(works), "")
        if name not in works:
            raise UnknownNameError("work", work, works)
        return works[name]

    def html(self, work: str, who: "Person") -> tuple[str, str]:
        """My work, and for a lead the table of all categories."""
        from annotate.inspect.mywork import my_work
        from annotate.work import Work
        from app.web.pages.progress.table import mine_html

        work = work or next(iter(self.site.given.works), "")
        with Work.open(self.path(work)) as found:
            chores = my_work(found, who.name)
            lead = who.may("lead")
            alone = lead and not chores  # who leads and draws nothing is not told so
            mine = "" if alone else mine_html(found, chores, who.name, self.site.shown)
            return mine, self._table(found, work) if lead else ""

    def _table(self, work: "Work", name: str) -> str:
        from annotate.inspect.overview import look_over
        from app.web.pages.progress.acts import suggesters
        from app.web.pages.progress.table import table_html

        try:
            models, trouble = suggesters(self.site, work), ""
        except PartlabError as error:  # a server that may come back; the rest is there
            models, trouble = [], error.message
        if not models and not trouble:
            trouble = "give the app a segmenter, or begin the loop: partlab loop start"
        return table_html(work, look_over(work), models, trouble, name)

    def do(self, work: str, press: "Press") -> str:
        """What a button does; errors are those of `acts.do`."""
        from app.web.pages.progress.acts import do

        return do(self.site, self.path(work), press)


def build(site: "Site") -> None:
    """Which work; my work; the table."""
    from app.web.pages.progress.acts import Press

    page = Progress(site)
    gr.HTML("<h1>Progress</h1>", apply_default_css=False)
    work = gr.Dropdown([], label="Work", visible=False, allow_custom_value=True)
    with gr.Row():
        pull = gr.Button(
            "Fetch what was drawn (l)",
            elem_id="progress-pull",
            visible=False,
            size="sm",
            scale=0,
            min_width=230,
        )
        stop = gr.Button("Stop (x)", elem_id="progress-stop", visible=False, size="sm", scale=0)
    step = gr.HTML(apply_default_css=False)
    mine = gr.HTML(apply_default_css=False)
    table = gr.HTML(js_on_load=_PRESS, apply_default_css=False)

    def show(work: str, request: gr.Request) -> tuple[str, str]:
        """My work, and the table of categories for leads, as HTML."""
        return page.html(work, person(request))

    def opened(request: gr.Request) -> tuple[Any, ...]:
        names, who = list(site.given.works), person(request)
        if not names:  # then the page is not seen
            return gr.update(), gr.update(), gr.update(), "", ""
        wanted = asked(request).get("work", names[0])
        lead = gr.update(visible=who.may("lead"))
        choice = gr.update(choices=names, value=wanted, visible=len(names) > 1)
        return choice, lead, lead, *page.html(wanted, who)

    site.opened(opened, [work, pull, stop, mine, table])
    shown: dict[str, Any] = {"outputs": [mine, table], "show_progress": "hidden"}
    work.input(show, work, api_name="progress_show", **shown)
    act = _acting(site, page)
    acted: dict[str, Any] = {"outputs": [step, mine, table], "show_progress": "hidden"}

    async def pulled(work: str, request: gr.Request) -> AsyncIterator[Any]:
        """Fetch from Label Studio what was drawn since the last time."""
        async for told in act(work, Press("pull"), request):
            yield told

    async def clicked(work: str, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        press = Press(event.act, event.object, event.to, event.afresh, site.models_at(request))
        async for told in act(work, press, request):
            yield told

    site.needs("lead", pull.click(pulled, work, api_name="progress_pull", **acted))
    site.needs("lead", table.click(clicked, work, api_visibility="private", **acted))

    site.stops(stop, step)
    site.kept(work=work)


def _acting(site: "Site", page: Progress) -> Callable[..., AsyncIterator[Any]]:
    async def act(work: str, press: "Press", request: gr.Request) -> AsyncIterator[Any]:
        if not site.given.works:
            raise NotFoundError("the app was given no work", hint="start it with one")

        def doing() -> str:
            return page.do(work, press)

        async for step, words in site.work.shown(request.session_hash, doing):
            if words is None:
                yield step, gr.skip(), gr.skip()
            else:
                yield markup(_TOLD, words=words), *page.html(work, person(request))

    return act


def _needs(site: "Site") -> str | None:
    return None if site.given.works else _NEEDS


PAGE = Page(
    "progress",
    "Progress",
    "how far people have drawn, and what each is to do",
    build,
    order=45,
    needs=_needs,
    keys=(
        Key("l", "fetch what was drawn", "progress-pull"),
        Key("x", "stop", "progress-stop"),
    ),
)
