"""A real Label Studio server on this machine, with settings that keep it to itself.

    with start_server("studio", root=".") as running:
        print(running.url, running.email, running.password)

The server gets a clean environment, listens on loopback only, tells nobody that it runs, and
ends with the process that started it, even by `kill -9`.
"""

import json
import logging
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import Field

from annotate.studio.api.client import RefusedError, Studio
from annotate.studio.api.users import checked_email
from annotate.studio.server.environment import environment
from annotate.studio.server.process import last_line, quiet_variables, run_label_studio
from annotate.studio.server.template import DATABASE, copy_template, default_template, need_database
from annotate.web import is_loopback
from partlab.config import Config, load_config
from partlab.errors import (
    BusyError,
    ConfigError,
    NotFoundError,
    StudioError,
)
from partlab.files import exclusive, read_lines, replacing
from partlab.folders import need_own

log = logging.getLogger(__name__)

_LOGIN, _JOURNAL = "login.json", "server.log"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where this machine itself finds it


class Login(Config):
    """The server's own administrator; kept in DIR/login.json, readable by its owner only."""

    email: str = Field(min_length=1)
    password: str = Field(min_length=1)
    token: str = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers. `root` is the folder whose pictures it may show."""

    url: str
    email: str
    password: str
    token: str
    process: "subprocess.Popen[bytes]"
    folder: Path
    root: Path

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return self.process.pid

    def wait(self) -> None:
        """Block until the server ends, which it does only when something is wrong.

        Raises:
            StudioError: it ended; the message has its last line.
        """
        code = self.process.wait()
        raise StudioError(
            f"Label Studio ended by itself (code {code}): {last_line(self.folder / _JOURNAL)}",
            hint=f"the whole story is in {self.folder / _JOURNAL}",
        )

    def studio(self, timeout: float = 120.0) -> Studio:
        """A connection as the administrator."""
        return Studio(self.url, self.token, timeout=timeout)


@contextmanager
def start_server(
    folder: str | Path,
    *,
    root: str | Path = ".",
    env: str | Path | None = None,
    template: str | Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8080,
    allow_remote: bool = False,
    email: str = "admin@localhost",
    settings: Mapping[str, str] | None = None,
    patience: float = 300.0,
) -> Iterator[Running]:
    """Run a server that keeps its data in `folder` until the block ends.

    `template` is a folder with a migrated database that a new server starts from; without it
    one is made once and kept in the cache. `port` 0 takes a free one. `settings` are further
    variables of Label Studio, for example for PostgreSQL. `patience` in seconds.

    Raises:
        BackendUnavailableError: there is no environment, and none can be made.
        BusyError: another process runs a server on this folder.
        ConfigError: the host is not loopback and `allow_remote` is off, or `email` is none.
        OutputExistsError: `folder` holds something else.
        StudioError: the port is taken, or the server does not come up.
    """
    folder, root = Path(folder).absolute(), Path(root).absolute()
    email, host = checked_email(email), host.strip("[]")
    _check(host, root, allow_remote=allow_remote)
    _need_own_folder(folder)
    if template is not None:
        need_database(Path(template))
    if not folder.exists():  # what fails is not to leave a folder behind
        _free(host, port)
        env = environment(env)
    with _alone(folder):
        folder.chmod(0o700)
        _free(host, port)  # said before anything that takes long
        env = environment(env)
        login = _login(folder, email)  # first of all: it says whose the folder is
        data, extra = folder / "data", dict(settings or {})
        if not (data / DATABASE).exists() and extra.get("DJANGO_DB", "sqlite") == "sqlite":
            copy_template(data, Path(template) if template else default_template(env))
        port = _free(host, port)
        url = f"http://{_in_url(_EVERYWHERE.get(host, host))}:{port}"
        variables = {**_variables(data, root, url, login, open_to_all=not _is_local(host)), **extra}
        arguments = ["start", "--no-browser", "--internal-host", _in_url(host), "-p", str(port)]
        with run_label_studio(env, arguments, variables, folder / _JOURNAL) as child:
            _wait_for(url, login, child, folder, patience)
            yield Running(url, login.email, login.password, login.token, child, folder, root)


def _need_own_folder(folder: Path) -> None:
    """The folder is closed to other users, so it must not be one that holds other things."""
    begun = (folder / _LOGIN).exists() or (folder / "data" / DATABASE).is_file()
    ours = {_LOGIN, _JOURNAL, ".lock", *(["data"] if begun else [])}
    hint = "name a new folder for the server; --root is the one for pictures"
    need_own(folder, "server of ours", ours, hint=hint)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(folder))
        except BusyError as error:
            raise BusyError(
                f"a server already runs on {folder}",
                hint=f"its login is in {folder / _LOGIN}, its address stands where it was started; "
                "or name another folder",
            ) from error
        yield


def _check(host: str, root: Path, *, allow_remote: bool) -> None:
    if not _is_local(host) and not allow_remote:
        raise ConfigError(
            f"{host} is reachable from other machines, and Label Studio lets every user "
            "change and delete everything",
            hint="keep 127.0.0.1 and use a tunnel, or pass --allow-remote",
        )
    if not root.is_dir():
        raise NotFoundError(
            f"no folder {root}", hint="--root is the folder that holds the pictures"
        )
    if root == Path(root.anchor):
        raise ConfigError("the whole disk cannot be --root", hint="name the pictures' own folder")


def _is_local(host: str) -> bool:
    return is_loopback(f"http://{_in_url(host)}")


def _in_url(host: str) -> str:
    """The host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def _free(host: str, port: int) -> int:
    """The port, checked: Label Studio itself would silently take the next one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise StudioError(
                f"cannot listen at {_in_url(host)}:{port}: {error.strerror}",
                hint=f"choose another with --port, for example --port {port + 1}",
            ) from error
        return int(trial.getsockname()[1])


def read_settings(path: str | Path) -> dict[str, str]:
    """Variables from a file of NAME=VALUE lines; `#` starts a comment line.

    Raises:
        NotFoundError: there is no such file.
        ConfigError: a line is not of that form.
    """
    found = {}
    for line in read_lines(path):
        name, equals, value = line.partition("=")
        if line.startswith("#"):
            continue
        if not equals or not name.strip().isidentifier():
            raise ConfigError(f"a line of {path} is not of the form NAME=VALUE")
        found[name.strip()] = value.strip().strip("'\"")
    return found


def login_of(folder: Path) -> Login | None:
    """The administrator of the server in a folder; None when it holds none.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder / _LOGIN
    return load_config(Login, path) if path.is_file() else None


def _login(folder: Path, email: str) -> Login:
    path = folder / _LOGIN
    if (known := login_of(folder)) is not None:
        return known
    login = Login(email=email, password=secrets.token_urlsafe(12), token=secrets.token_hex(20))
    with (
        replacing(path) as scratch,
        open(os.open(scratch, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f,
    ):
        json.dump(login.model_dump(), f, indent=2)
    return login


def _variables(
    data: Path, root: Path, url: str, login: Login, *, open_to_all: bool
) -> dict[str, str]:
    """The settings; only a server nobody else can reach may call addresses of this machine."""
    guarded = str(open_to_all).lower()
    return {
        **quiet_variables(data),
        "LABEL_STUDIO_HOST": "" if open_to_all else url,  # empty keeps links relative
        "LABEL_STUDIO_USERNAME": login.email,
        "LABEL_STUDIO_PASSWORD": login.password,
        "LABEL_STUDIO_USER_TOKEN": login.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(root),
        "ML_BLOCK_LOCAL_IP": guarded,
        "SSRF_PROTECTION_ENABLED": guarded,
    }


def _wait_for(
    url: str, login: Login, child: subprocess.Popen[bytes], folder: Path, patience: float
) -> None:
    until = time.monotonic() + patience
    while not _is_up(url):
        if child.poll() is not None:
            raise StudioError(
                f"Label Studio ended while starting: {last_line(folder / _JOURNAL)}",
                hint=f"the whole story is in {folder / _JOURNAL}",
            )
        if time.monotonic() > until:
            raise StudioError(
                f"Label Studio did not come up within {patience:.0f} s",
                hint=f"see {folder / _JOURNAL}",
            )
        time.sleep(0.25)
    try:
        with Studio(url, login.token, timeout=30) as studio:
            studio.whoami()
    except RefusedError as error:
        raise StudioError(
            f"the server at {url} does not know the login in {folder / _LOGIN}",
            hint="the database is older than that file, or another server took the port; "
            "restore the file, or start with a new folder",
        ) from error


def _is_up(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/health", timeout=10, trust_env=False).status_code == 200
    return False
