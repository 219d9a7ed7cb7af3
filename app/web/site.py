"""What all pages share: what was given, the models, the pictures shown, the work under way."""

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Timer
from typing import Any

from app.web.door import Proxy
from app.web.given import Given
from app.web.library import Library
from app.web.people import Accounts, Role
from app.web.shelf import Shelf
from app.web.shown import Shown
from app.web.uploads import Uploads
from app.web.work import Work
from partlab.errors import PartlabError

_DRAWN_S = 2.0  # until a page that was opened has its files


@dataclass
class Site:
    """What pages may use; `blocks` is where they are built, `path` that of the page at hand."""

    given: Given
    shelf: Shelf
    accounts: Accounts | None = None
    proxy: Proxy | None = None
    server: str | None = None  # address that a call to the models goes to, where there is one
    library: Library = field(init=False)
    shown: Shown = field(default_factory=Shown)
    uploads: Uploads = field(default_factory=Uploads)
    work: Work = field(init=False)
    base: str = ""  # where the pages begin: "/ui" of a model server
    blocks: Any = None
    path: str = ""
    roles: dict[str, Role] = field(default_factory=dict)  # of pages, by path
    _asks: dict[int, Role] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.library, self.work = Library(self.given), Work(self.shelf.at_once)

    def needs(self, role: Role, event: Any) -> Any:
        """Have an event ask for more than its page does; gives the event back."""
        self._asks[event["id"]] = role
        return event

    def role_of(self, event: Any) -> Role:
        """The least role that may call this event of Gradio's."""
        return self._asks.get(event._id, self.roles.get(event.page, "annotator"))

    def opened(self, function: Callable[..., Any], outputs: Sequence[Any]) -> Any:
        """Run `function` when the page is opened; its event, so that more may follow."""
        name = f"{self.path or 'home'}_open"
        return self.blocks.load(
            function,
            None,
            list(outputs),
            api_name=name,
            api_visibility="undocumented",
            show_progress="hidden",
        )

    def models_at(self, request: Any) -> str | None:
        """Address of the server that has the models; None: they are in this process alone."""
        if not self.base:
            return self.server
        return str(request.request.base_url).rstrip("/").removesuffix(self.base)

    def later(self, work: Callable[[], Any]) -> None:
        """Do something when the page has been drawn; what fails, fails again when it is asked for.

        This is how torch and models are loaded before somebody waits for them.
        """

        def quietly() -> None:
            with contextlib.suppress(PartlabError):
                work()

        timer = Timer(_DRAWN_S, quietly)
        timer.daemon = True
        timer.start()

    def stops(self, button: Any, told: Any) -> None:
        """Have a button of the page stop what its session does or waits for; `told` says so."""
        from app.web.toolkit import gr

        def stopped(request: gr.Request) -> str:
            return "stopped" if self.work.cancel(request.session_hash) else ""

        button.click(stopped, None, told, queue=False, api_name=f"{self.path}_stop")

    def kept(self, **fields: Any) -> None:
        """Keep the values of these components in the page's address, under these names.

        Reading them is the page's own business, with `asked(request)` when it is opened.
        """
        from app.web.toolkit import gr

        told = json.dumps(list(fields))
        gr.on(
            [each.change for each in fields.values()],
            None,
            list(fields.values()),
            None,
            js=f"(...values) => partlab.address({told}, values)",
            api_visibility="private",
            show_progress="hidden",
        )
