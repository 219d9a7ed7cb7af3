"""Progress: where a work stands, for its lead; and for each annotator what they are to do."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.web.page import Key, Page
from app.web.toolkit import asked, gr, markup, person
from partlab.counts import counted
from partlab.errors import ConfigError, NotFoundError, UnknownNameError

if TYPE_CHECKING:
    from annotate.work import Work
    from app.web.people import Person
    from app.web.site import Site

_PRESS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (!button) return;
  const {act, object} = button.dataset;
  const to = button.closest('td')?.querySelector('input')?.value || '';
  if (act === 'reassign' && !to) return button.closest('td').querySelector('input').focus();
  trigger('click', {act, object: object || '', to});
});
"""


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
        from annotate.inspect.overview import look_over
        from annotate.work import Work
        from app.web.pages.progress.table import mine_html, table_html

        with Work.open(self.path(work)) as found:
            chores = my_work(found, who.name)
            lead = who.may("lead")
            alone = lead and not chores  # who leads and draws nothing is not told so
            mine = "" if alone else mine_html(found, chores, who.name, self.site.shown)
            table = table_html(found, look_over(found)) if lead else ""
        return mine, table

    def do(self, act: str, work: str, object: str, to: str) -> str:
        """Pull, hand out the next round, or give a category to somebody else; what came of it.

        Raises:
            ConfigError: nobody is named to give it to.
            PartlabError: as these acts.
        """
        from annotate.studio.api.client import Studio
        from annotate.work import Work

        acts: dict[str, Callable[..., str]]
        acts = {"pull": _pull, "next": _next, "reassign": _reassign}
        if act not in acts:
            raise UnknownNameError("act", act, acts)
        with Work.open(self.path(work)) as found, Studio.from_env() as studio:
            return acts[act](found, studio, object, to)


def _pull(work: "Work", studio: Any, object: str, to: str) -> str:
    from annotate.studio.acts.pull import pull

    who = str(studio.whoami()["email"])
    told = pull(work, studio, objects=[object] if object else (), who=who)
    new = sum(one.tasks for one in told)
    lost = [f"{one.object} was not read: {one.trouble}" for one in told if one.trouble]
    ready = [one.object for one in told if one.submitted]
    words = f"{counted(new, 'picture was', 'pictures were')} new"
    words += f"; {', '.join(ready)} handed in for inspection" if ready else ""
    return "; ".join((words, *lost))


def _next(work: "Work", studio: Any, object: str, to: str) -> str:
    from annotate.studio.acts.create import create

    told = create(work, studio, objects=[object])
    return "; ".join(f"{one.object} round {one.round} is {one.state}" for one in told)


def _reassign(work: "Work", studio: Any, object: str, to: str) -> str:
    from annotate.studio.acts.create import create
    from annotate.studio.acts.reassign import reassign

    if not to.strip():
        raise ConfigError("nobody is named", hint="write the email of the new annotator")
    batch, _ = reassign(work, studio, object, to)
    if batch.state == "planned":
        create(work, studio, objects=[object])
    return f"{object} round {batch.round} goes to {batch.assignee}"


def build(site: "Site") -> None:
    """Which work; my work; the table."""
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
        async for told in act("pull", work, "", "", request):
            yield told

    async def clicked(work: str, event: gr.EventData, request: gr.Request) -> AsyncIterator[Any]:
        async for told in act(event.act, work, event.object, event.to, request):
            yield told

    site.needs("lead", pull.click(pulled, work, api_name="progress_pull", **acted))
    site.needs("lead", table.click(clicked, work, api_visibility="private", **acted))

    def stopped(request: gr.Request) -> str:
        return "stopped" if site.work.cancel(request.session_hash) else ""

    stop.click(stopped, None, step, queue=False, api_name="progress_stop")
    site.kept(work=work)


def _acting(site: "Site", page: Progress) -> Callable[..., AsyncIterator[Any]]:
    async def act(
        name: str, work: str, object: str, to: str, request: gr.Request
    ) -> AsyncIterator[Any]:
        if not site.given.works:
            raise NotFoundError("the app was given no work", hint="start it with one")

        def doing() -> str:
            return page.do(name, work, object, to)

        async for step, words in site.work.shown(request.session_hash, doing):
            if words is None:
                yield step, gr.skip(), gr.skip()
            else:
                told = markup('<p class="pl-note" role="status">{{ words }}</p>', words=words)
                yield told, *page.html(work, person(request))

    return act


def _needs(site: "Site") -> str | None:
    return None if site.given.works else "Here stands how far people have drawn. Give it a work."


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
