"""`partlab studio up | user | password`: a server in its own environment, and its users."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli._ui import JsonOpt, Ui, reported

if TYPE_CHECKING:
    from annotate.studio.server.start import Running


def register(group: typer.Typer) -> None:
    """Add these commands to the group `studio`."""
    group.command()(up)
    group.command()(user)
    group.command()(password)


def up(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The server's own folder.")],
    root: Annotated[
        Path, typer.Option(help="Folder whose pictures it may show; your works lie below it.")
    ] = Path(),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let --host be reachable from other machines.")
    ] = False,
    env: Annotated[
        Path | None,
        typer.Option(help="Environment that has label-studio; made once when left out."),
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="Folder with a migrated database to start from.")
    ] = None,
    email: Annotated[str, typer.Option(help="Login of the administrator.")] = "admin@localhost",
    settings: Annotated[
        Path | None,
        typer.Option(help="File of NAME=VALUE lines for Label Studio, as for PostgreSQL."),
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Run a Label Studio server until Ctrl-C; the login is kept in DIR/login.json.

    It listens on this machine only, sends nothing to anybody, and ends with
    this command.

    Example: partlab studio up studio --root . --port 8080
    """
    with reported(json) as ui:
        from annotate.studio.server.start import read_settings, start_server

        with start_server(
            folder,
            root=root,
            env=env,
            template=template,
            host=host,
            port=port,
            allow_remote=allow_remote,
            email=email,
            settings=read_settings(settings) if settings else {},
        ) as running:
            _tell(running, ui)
            with _said_goodbye(folder):
                running.wait()


@contextmanager
def _said_goodbye(folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print(f"Label Studio stops; {folder} keeps everything", file=sys.stderr)
        raise typer.Exit(130) from None


def _tell(running: "Running", ui: Ui) -> None:
    told = {name: getattr(running, name) for name in ("url", "email", "password", "token", "pid")}
    text = f"""Label Studio runs at {running.url}  (Ctrl-C stops it)
login     {running.email}
password  {running.password}
pictures  may lie below {running.root}

In another terminal:
export PARTLAB_STUDIO_URL={running.url}
export PARTLAB_STUDIO_TOKEN={running.token}"""
    ui.emit(told, text)
    sys.stdout.flush()


def user(
    emails: Annotated[list[str], typer.Argument(metavar="EMAIL...", help="One for each person.")],
    json: JsonOpt = False,
) -> None:
    """Make accounts for annotators and inspectors; passwords are shown this once.

    Example: partlab studio user ann@example.org ben@example.org
    """
    with reported(json) as ui:
        from annotate.studio.api.client import Studio
        from annotate.studio.api.users import create_users

        with Studio.from_env() as studio:
            accounts = create_users(studio, emails)
        lines = [f"{a.email}  {a.password or 'has an account already'}" for a in accounts]
        if not all(account.password for account in accounts):
            lines.append("who lost a password gets another: partlab studio password DIR EMAIL")
        ui.emit({"users": [asdict(account) for account in accounts]}, "\n".join(lines))


def password(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The server's own folder.")],
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="Whose password is lost.")],
    env: Annotated[
        Path | None, typer.Option(help="Environment that has label-studio, as for `up`.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="File of NAME=VALUE lines, as for `up`.")
    ] = None,
    json: JsonOpt = False,
) -> None:
    """Give somebody who lost their password another; the server may be running.

    Example: partlab studio password studio ann@example.org
    """
    with reported(json) as ui:
        from annotate.studio.server.password import new_password
        from annotate.studio.server.start import read_settings

        given = read_settings(settings) if settings else {}
        new = new_password(folder, email, env=env, settings=given)
        ui.emit({"email": email, "password": new}, f"{email}  {new}")
