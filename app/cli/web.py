"""`partlab app [PATH…]`: the pages in a browser; `partlab app user`: who may open them."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli._group import DefaultGroup
from app.cli._ui import JsonOpt, Ui, reported, stderr
from partlab.errors import ConfigError

group = typer.Typer(cls=DefaultGroup, help="Pages in the browser.")

UsersOpt = Annotated[
    Path | None, typer.Option("--users", help="File of accounts; without it, nobody signs in.")
]
QUICKSTART = Path("quickstart")


@group.command(hidden=True)
def run(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH]...",
            help="Runs, exported models, data sets, stores, works, evaluations, folders of "
            "pictures, or folders that hold some of these; else quickstart/, if it is here.",
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option("--server", metavar="URL", help="Use the models that `partlab serve` serves."),
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen; only this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8700,
    users: UsersOpt = None,
    proxy: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A reverse proxy that signs people in."),
    ] = None,
    proxy_header: Annotated[
        str, typer.Option(help="Header in which that proxy names them.")
    ] = "X-Remote-User",
    root_path: Annotated[
        str, typer.Option(metavar="/PATH", help="What a proxy takes off the addresses.")
    ] = "",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …")] = None,
    json: JsonOpt = False,
) -> None:
    """Show pages in the browser until Ctrl-C, to this machine only unless --host says otherwise.

    Models are loaded when a page first uses them.

    Example: partlab app quickstart
    """
    with reported(json) as ui:
        from app.web.door import Proxy
        from app.web.given import Given
        from app.web.people import Accounts
        from app.web.run import run_web
        from app.web.shelf import LocalShelf, ServerShelf, Shelf
        from app.web.site import Site

        if proxy is not None and users is None:
            raise ConfigError(
                "--proxy says who people are, and nothing says what they may do",
                hint="give --users FILE too: partlab app user NAME --no-password makes it",
            )
        given = Given.of(paths or ([QUICKSTART] if QUICKSTART.is_dir() else []))
        shelf: Shelf = (
            ServerShelf(server)
            if server is not None
            else LocalShelf(given.segmenters, given.recognition, device)
        )
        site = Site(
            given,
            shelf,
            Accounts(users) if users else None,
            Proxy(proxy, proxy_header) if proxy else None,
            server,
        )
        stderr.print(f"given: {given.told()}", markup=False)
        run_web(
            site,
            host=host,
            port=port,
            root_path=root_path,
            started=lambda url: _told(ui, url),
        )


def _told(ui: Ui, url: str) -> None:
    if ui.json:
        print(f'{{"url": "{url}"}}', flush=True)
    stderr.print(f"open {url}/ in a browser; Ctrl-C ends it", markup=False)


@group.command()
def user(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Email or name, as in the work.")],
    users: Annotated[Path, typer.Option("--users", help="File of accounts, new or not.")],
    role: Annotated[str, typer.Option(help="annotator, inspector, lead or admin.")] = "annotator",
    no_password: Annotated[
        bool, typer.Option("--no-password", help="They come through a proxy that knows them.")
    ] = False,
    json: JsonOpt = False,
) -> None:
    """Make an account, or give one another role and password, which is asked for.

    The file keeps a slow hash of the password. From a script the password is the first line of
    the standard input.

    Example: partlab app user kim@x.org --role inspector --users people.json
    """
    with reported(json) as ui:
        from app.web.people import set_account

        made = set_account(users, name, role, None if no_password else _password())
        ui.emit(
            {"name": made.name, "role": made.role},
            f"{made.name} may use the app as {made.role}",
        )


def _password() -> str:
    import sys

    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    found: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return found
