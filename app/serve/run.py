"""The application in a process: where it listens, and how it ends."""

import ipaddress
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn
from fastapi import FastAPI

from app.serve.app import create_app
from app.serve.models import Source
from app.serve.settings import ServeSettings
from partlab.errors import ConfigError, PartlabError

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PORT = 8600


def run_server(
    sources: Sequence[Source],
    settings: ServeSettings,
    *,
    host: str = LOOPBACK[0],
    port: int = PORT,
    open_to_all: bool = False,
    proxy: str | None = None,
    extend: Callable[[FastAPI], None] | None = None,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted is finished first (SV-23).

    `proxy` is as for `server_of`. `started` hears the address once the server listens; `extend` is
    for `create_app`.

    Raises:
        ConfigError: other machines could ask, and no keys are asked for; `proxy` is no address.
        PartlabError: a model cannot be loaded (SV-13), or the port is taken.
    """
    if host not in LOOPBACK and settings.keys is None and not open_to_all:
        raise ConfigError(
            f"on {host} other machines can ask this server, and it asks for no key",
            hint="give --keys FILE (partlab serve key makes them), or say --open to all",
        )
    failures: list[BaseException] = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    app = create_app(sources, settings, failed=failed, extend=extend)
    server = server_of(
        app,
        host,
        port,
        drain_s=settings.drain_s,
        proxy=proxy,
        started=started,
    )
    try:
        listen(server)
    except PartlabError:
        if not failures:
            raise
    if failures:
        raise _as_ours(failures[0])


def server_of(
    app: FastAPI,
    host: str,
    port: int,
    *,
    drain_s: int = 30,
    root_path: str = "",
    proxy: str | None = None,
    started: Callable[[str], None] | None = None,
) -> uvicorn.Server:
    """The server of an application; `root_path` is what a proxy takes off the addresses.

    `proxy` is the address of a reverse proxy: only what it says in `X-Forwarded-For` is taken for
    a client's address. Without it nobody is believed, since anybody can send such a header.

    Raises:
        ConfigError: `proxy` is no address.
    """
    if proxy is not None:
        need_address(proxy)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        root_path=root_path,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=drain_s,
        timeout_keep_alive=15,
    )
    return _Server(config, started)


def need_address(proxy: str) -> None:
    """See that a proxy is named by its address.

    Raises:
        ConfigError: it is not.
    """
    try:
        ipaddress.ip_address(proxy)
    except ValueError:
        raise ConfigError(
            f"--proxy {proxy!r} is no address", hint="such as 127.0.0.1 or 10.0.0.7"
        ) from None


def listen(server: uvicorn.Server) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        PartlabError: the port is taken.
    """
    try:
        server.run()
    except SystemExit as error:  # uvicorn logs why, and that is not enough
        where = f"{server.config.host}:{server.config.port}"
        raise PartlabError(
            f"the server cannot listen on {where}",
            hint="is the port taken? choose another: --port",
        ) from error


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._told = started

    def handle_exit(self, sig: int, frame: Any) -> None:
        """An ending that was asked for is no failure: uvicorn would raise the signal again."""
        if sig == signal.SIGTERM:
            self.should_exit = True
        else:
            super().handle_exit(sig, frame)

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started and self._told:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._told(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    async def shutdown(self, sockets: Any = None) -> None:
        """Connections that never end by themselves, such as those of open pages, are told."""
        app: Any = self.config.app
        for each in getattr(app.state, "closing", ()):
            each()
        await super().shutdown(sockets)


def _as_ours(error: BaseException) -> PartlabError:
    if isinstance(error, PartlabError):
        return error
    return PartlabError(f"a model cannot be served: {type(error).__name__}: {error}")
