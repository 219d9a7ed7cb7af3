"""A new password for somebody who lost theirs: Label Studio sends no mail that would do it."""

import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from annotate.studio.api.users import checked_email
from annotate.studio.server.environment import environment, python_of
from annotate.studio.server.process import quiet_variables
from annotate.studio.server.start import login_of
from annotate.studio.server.template import DATABASE
from partlab.errors import ConfigError, NotFoundError, StudioError, UnknownNameError

_PROGRAM = "import sys; sys.argv[0] = 'label-studio'; from label_studio.server import main; main()"


def new_password(
    folder: str | Path,
    email: str,
    *,
    env: str | Path | None = None,
    settings: Mapping[str, str] | None = None,
    patience: float = 120.0,
) -> str:
    """Give an account of the server in `folder`, which may be running, another random password.

    `settings` are those the server is started with; `patience` in seconds.

    Raises:
        NotFoundError: there is no server of ours.
        UnknownNameError: nobody has this email.
        ConfigError: it is the administrator's, or none.
        BackendUnavailableError: there is no environment with Label Studio.
        StudioError: Label Studio could not do it.
    """
    folder, email = Path(folder).absolute(), checked_email(email)
    if email == _need_server(folder, settings or {}):
        raise ConfigError(f"the administrator's password is in {folder / 'login.json'}")
    password = secrets.token_urlsafe(12)
    command = [str(python_of(environment(env))), "-I", "-X", "utf8", "-c", _PROGRAM]
    told = _run([*command, "reset_password", "--username", email], password, patience,
                {**quiet_variables(folder / "data"), **(settings or {})})  # fmt: skip
    if "not found" in told:
        error = UnknownNameError("Label Studio user", email, [])
        error.hint = f"is it spelt right? if so, make it: partlab studio user {quote(email)}"
        raise error
    if "successfully" not in told:
        raise StudioError(f"Label Studio gave {email} no new password: {told[-300:]}")
    return password


def _need_server(folder: Path, settings: Mapping[str, str]) -> str:
    """The administrator's email."""
    if (found := login_of(folder)) is None:
        raise NotFoundError(
            f"{folder} holds no server", hint="name the DIR of `partlab studio up DIR`"
        )
    sqlite = settings.get("DJANGO_DB", "sqlite") == "sqlite"
    if sqlite and not (folder / "data" / DATABASE).is_file():
        raise NotFoundError(
            f"the server in {folder} has no database there",
            hint="is it one with PostgreSQL? give the same --settings as to `partlab studio up`",
        )
    return found.email


def _run(command: list[str], answer: str, patience: float, variables: Mapping[str, str]) -> str:
    """What the command says; it asks for the password, so that no list of processes shows it."""
    try:
        done = subprocess.run(
            command,
            input=f"{answer}\n",
            env=dict(variables),
            cwd=variables["HOME"],
            capture_output=True,
            text=True,
            timeout=patience,
            start_new_session=True,  # else it would ask at the terminal
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StudioError(f"Label Studio did not answer within {patience:.0f} s") from None
    return (done.stdout if done.returncode == 0 else done.stderr).strip()
