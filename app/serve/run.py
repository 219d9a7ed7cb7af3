"""The server of models in a process: `partlab serve`."""

from collections.abc import Callable, Sequence

from fastapi import FastAPI

from app.serve.app import create_app
from app.serve.listen import LOOPBACK, listen, server_of
from app.serve.settings import ServeSettings
from app.serve.source import Source
from partlab.errors import ConfigError, PartlabError

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


def _as_ours(error: BaseException) -> PartlabError:
    if isinstance(error, PartlabError):
        return error
    return PartlabError(f"a model cannot be served: {type(error).__name__}: {error}")
