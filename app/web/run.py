"""The app in a process of its own: `partlab app`."""

import logging
from collections.abc import Callable

from fastapi import FastAPI

from app.serve.edge import Edge, answer_errors
from app.serve.listen import LOOPBACK, listen, server_of
from app.serve.metrics import Metrics
from app.serve.settings import ServeSettings
from app.web.mount import mount
from app.web.people import Accounts
from app.web.site import Site
from partlab.errors import ConfigError

PORT = 8700


def create_web(site: Site) -> FastAPI:
    """The app alone; every request has a number and a limit, as at the model server."""
    app = FastAPI(title="partlab", docs_url=None, redoc_url=None, openapi_url=None)
    mount(app, site)
    app.add_middleware(Edge, settings=ServeSettings(), metrics=Metrics())
    answer_errors(app)
    return app


def run_web(
    site: Site,
    *,
    host: str = LOOPBACK[0],
    port: int = PORT,
    root_path: str = "",
    started: Callable[[str], None] | None = None,
) -> None:
    """Show the pages until SIGTERM or Ctrl-C.

    Raises:
        ConfigError: other machines could come in, and nobody has to sign in.
        PartlabError: the port is taken.
    """
    need_accounts(site.accounts, host)
    logging.getLogger("partlab.access").setLevel(logging.WARNING)  # a page is 40 requests
    app = create_web(site)
    # No proxy is believed here: the door has to see who is really there.
    listen(server_of(app, host, port, root_path=root_path, started=started))


def need_accounts(accounts: Accounts | None, host: str) -> None:
    """See that pages which other machines can reach have a door.

    Raises:
        ConfigError: they have none.
    """
    if host not in LOOPBACK and accounts is None:
        raise ConfigError(
            f"on {host} other machines can open the app, and nobody has to sign in",
            hint="give --users FILE; partlab app user NAME --role inspector --users FILE makes it",
        )
