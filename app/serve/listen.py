"""Where an application listens, and how it ends."""

import ipaddress
import signal
from collections.abc import Callable
from typing import Any

import uvicorn
from fastapi import FastAPI

from partlab.errors import ConfigError, PartlabError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


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
