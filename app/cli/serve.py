"""`partlab serve RUN…`: trained models behind one door; `partlab serve key`: who may ask."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli._group import DefaultGroup
from app.cli._ui import JsonOpt, SetOpt, Ui, reported, stderr
from app.cli.web import UsersOpt

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from app.serve.settings import ServeSettings

group = typer.Typer(cls=DefaultGroup, no_args_is_help=True, help="Serve trained models.")

KeysOpt = Annotated[Path | None, typer.Option("--keys", help="File of keys; without it, none.")]


@group.command(hidden=True)
def run(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN", help="Segmenter runs, recognition runs; NAME=RUN renames."),
    ],
    host: Annotated[str, typer.Option(help="Where to listen; only this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8600,
    keys: KeysOpt = None,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Let other machines ask without a key.")
    ] = False,
    proxy: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A reverse proxy, whose word on who asks is believed (X-Forwarded-For).",
        ),
    ] = None,
    jobs: Annotated[
        Path | None, typer.Option(help="Take bulk jobs, and keep them in this folder.")
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(metavar="[NAME=]DIR", help="Folder whose pictures jobs may name; repeatable."),
    ] = None,
    pages: Annotated[bool, typer.Option("--ui", help="Show the app's pages at /ui.")] = False,
    show: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="What those pages show besides; repeatable."),
    ] = None,
    users: UsersOpt = None,
    studio: Annotated[
        str | None,
        typer.Option(
            envvar="PARTLAB_STUDIO_URL",
            metavar="URL",
            help="The Label Studio to help in; without it, one on this machine.",
        ),
    ] = None,
    pictures: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL|DIR",
            help="Where else pictures of tasks may be: an address, or the folder that Label "
            "Studio serves as local files; repeatable.",
        ),
    ] = None,
    sam: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Let the SAM or SAM 2 model in this folder answer clicks and boxes.",
        ),
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="best or last.")] = "best",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …")] = None,
    set_: SetOpt = None,
    json: JsonOpt = False,
) -> None:
    """Answer requests until SIGTERM or Ctrl-C, on this machine only unless --host says otherwise.

    Ready when every model has made a first prediction: GET /ready. What it answers is described
    in GET /openapi.json.

    Example: partlab serve runs/seg robust=runs/mpm --jobs jobs --root photos/
    """
    with reported(json) as ui:
        from app.serve.run import run_server
        from app.serve.source import Source

        help_ = {"studio": studio, "pictures": pictures or [], "sam": sam, "sam_device": device}
        settings = _settings(keys, jobs, root or [], help_, set_ or [])
        sources = [Source.of_run(each, checkpoint=checkpoint, device=device) for each in runs]
        run_server(
            sources,
            settings,
            host=host,
            port=port,
            open_to_all=open_to_all,
            proxy=proxy,
            extend=_pages(show or [], users, host) if pages else None,
            started=lambda url: _told(ui, url, pages=pages),
        )


def _pages(show: list[Path], users: Path | None, host: str) -> "Callable[[FastAPI], None]":
    from app.web.given import Given
    from app.web.mount import mount
    from app.web.people import Accounts
    from app.web.run import need_accounts
    from app.web.shelf import MountedShelf
    from app.web.site import Site

    given, accounts = Given.of(show), Accounts(users) if users else None
    need_accounts(accounts, host)

    def extend(app: "FastAPI") -> None:
        mount(app, Site(given, MountedShelf(app.state.partlab.models), accounts), "/ui")

    return extend


def _told(ui: Ui, url: str, *, pages: bool) -> None:
    if ui.json:
        print(f'{{"url": "{url}"}}', flush=True)
    also = f"; pages at {url}/ui/" if pages else ""
    stderr.print(f"listening on {url}{also}; loading models …", markup=False)


def _settings(
    keys: Path | None,
    jobs: Path | None,
    roots: list[str],
    help_: dict[str, Any],
    overrides: list[str],
) -> "ServeSettings":
    from app.serve.settings import ServeSettings
    from partlab.config import load_config
    from partlab.errors import NotFoundError

    named = {}
    for each in roots:
        name, equals, folder = each.partition("=")
        path = Path(folder if equals else each)
        if not path.is_dir():
            raise NotFoundError(f"no folder {path}", hint="--root names a folder of pictures")
        named[name if equals else path.resolve().name] = str(path)
    base = {"keys": keys, "jobs": jobs, "roots": named, "help": help_}
    return load_config(ServeSettings, None, overrides, base)


@group.command()
def key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    keys: Annotated[Path, typer.Option(help="File of keys, new or not.")],
    role: Annotated[str, typer.Option(help="read, attack (and read) or admin (all).")] = "read",
    json: JsonOpt = False,
) -> None:
    """Make a key and print it once; the file keeps only its hash.

    Example: partlab serve key lab-notebook --keys keys.json --role attack
    """
    with reported(json) as ui:
        from app.serve.keys import add_key

        made = add_key(keys, name, role)
        ui.emit({"name": name, "role": role, "key": made}, made)
