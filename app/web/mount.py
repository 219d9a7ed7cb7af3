"""Every page in one Gradio application, and the one gate that all events pass."""

import atexit
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from app.web import faults, look, modules
from app.web.door import PERSON, Door
from app.web.page import Page, pages
from app.web.people import Person
from app.web.site import Site
from app.web.uploads import AGE_S, LARGEST
from app.web.work import CancelledError
from partlab.errors import PartlabError

log = logging.getLogger(__name__)

_WAITING = 64  # events that may wait for Gradio; more are told that the app is busy


def build(site: Site) -> Any:
    """Gradio's blocks with every page."""
    from app.web.toolkit import gr

    os.environ["GRADIO_TEMP_DIR"] = str(site.uploads.folder)
    atexit.register(site.uploads.close)
    blocks = gated(site)(title="partlab", delete_cache=(300, AGE_S), analytics_enabled=False)
    site.blocks = blocks
    for page in pages():
        if page.path:
            blocks.route(page.title, f"/{page.path}")
    with blocks:  # once for all: at each end Gradio makes an application of all that is there
        for page in pages():
            site.path = blocks.current_page = page.path
            site.roles[page.path] = page.role
            _page(site, page, gr)
        _ended(site, gr)  # once: it is called for the sessions of all pages
    blocks.queue(max_size=_WAITING, default_concurrency_limit=None)
    return blocks


def _page(site: Site, page: Page, gr: Any) -> None:
    from app.web.toolkit import person

    gr.Navbar(visible=False)  # ours says more
    head = gr.HTML(look.head(page, None), elem_id="pl-head", apply_default_css=False)
    lacking = gr.HTML(apply_default_css=False, visible=False)
    with gr.Column(elem_id="pl-page", elem_classes=[f"pl-{page.path or 'home'}"]) as column:
        page.build(site)

    def hello(request: gr.Request) -> tuple[Any, ...]:
        missing = page.needs(site)
        told = look.empty(page, missing) if missing else ""
        return (
            look.head(page, person(request), site.given),
            gr.update(value=told, visible=bool(missing)),
            gr.update(visible=not missing),
        )

    name = f"{page.path or 'home'}_head"
    site.blocks.load(
        hello,
        None,
        [head, lacking, column],
        api_name=name,
        api_visibility="undocumented",
        show_progress="hidden",
    )


def _ended(site: Site, gr: Any) -> None:
    """When a browser's page goes, its work stops and its files go."""

    def left(request: gr.Request) -> None:
        site.work.cancel(request.session_hash)
        site.uploads.left(request.session_hash)

    site.blocks.unload(left)


def gated(site: Site) -> Any:
    """Blocks whose every event, whoever calls it and however, passes here."""
    from app.web.toolkit import gr

    class Gated(gr.Blocks):
        async def process_api(
            self,
            block_fn: Any,
            inputs: Any,
            state: Any = None,
            request: Any = None,
            *rest: Any,
            **more: Any,
        ) -> Any:
            """Gradio's, for people who may; errors become sentences."""
            event = self.fns[block_fn] if isinstance(block_fn, int) else block_fn
            first = request[0] if isinstance(request, list) else request
            with _told(gr):
                _admit(site, event, first)
                site.uploads.used(getattr(first, "session_hash", None), inputs)
                return await super().process_api(block_fn, inputs, state, request, *rest, **more)

    return Gated


def _admit(site: Site, event: Any, request: Any) -> None:
    scope = getattr(getattr(request, "request", None), "scope", {})
    who: Person | None = scope.get(PERSON)
    role = site.role_of(event)
    if who is None:
        raise PartlabError("nobody is signed in", hint="load the page again")
    if not who.may(role):
        raise PartlabError(f"this is for the role {role}; {who.name} has the role {who.role}")


class _told:
    """Turns errors into what Gradio shows: ours in words, others by saying that we failed."""

    def __init__(self, gr: Any) -> None:
        self.gr = gr

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if isinstance(error, PartlabError):
            raise self.gr.Error(
                faults.told(error),
                title="Not done",
                duration=20,
                visible=not isinstance(error, CancelledError),  # whoever stopped it knows
                print_exception=False,
            ) from error
        if isinstance(error, Exception) and not isinstance(
            error, self.gr.Error | StopIteration | StopAsyncIteration
        ):
            log.exception("an event of the app failed", exc_info=error)
            raise self.gr.Error(
                "the app made a mistake; its log says more", title="Not done", print_exception=False
            ) from error


def mount(app: FastAPI, site: Site, base: str = "") -> FastAPI:
    """Put the site's pages below `base` ("" or "/ui") of an application, behind its door."""
    from app.web.toolkit import gr

    site.base = base
    app.include_router(site.shown.router(base))
    app.include_router(modules.router(base))
    blocks = build(site)
    warnings.filterwarnings("ignore", message="SSR mode is not supported")  # nor asked for
    gr.mount_gradio_app(
        app,
        blocks,
        path=base or "/",
        server_name="127.0.0.1",
        footer_links=["api"],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        enable_monitoring=False,
        allowed_paths=[],
        max_file_size=LARGEST,
        show_error=False,
        theme=look.theme(),
        css=look.css(),
        head=look.scripts(),
    )
    pages_app: Any = app.routes[-1]
    app.state.closing = [pages_app.app.stop_event.set]  # open pages hold a connection each
    rooms = {page.path: page.role for page in pages()}
    app.add_middleware(
        Door,
        base=base,
        rooms=rooms,
        accounts=site.accounts,
        proxy=site.proxy,
        local=local_person(),
        upload=site.uploads.sweep,
    )
    return app


def local_person() -> Person:
    """Who sits at this machine: the name that inspections are recorded under, else the user's."""
    import getpass

    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = "me"
    return Person(os.environ.get("PARTLAB_ME") or user, "admin", signed_in=False)


def events(blocks: Any) -> Iterator[Any]:
    """Every event that has a function."""
    return (event for event in blocks.fns.values() if event.fn is not None)
