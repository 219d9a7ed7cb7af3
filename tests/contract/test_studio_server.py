"""A real Label Studio server: it starts, keeps to itself, and ends with us."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from annotate.studio.api.client import RefusedError, Studio
from annotate.studio.api.users import create_users
from annotate.studio.server.environment import environment, find_environment
from annotate.studio.server.password import new_password
from annotate.studio.server.start import Running, start_server
from annotate.studio.server.template import make_template
from app.cli.main import app
from partlab.errors import (
    BusyError,
    ConfigError,
    NotFoundError,
    OutputExistsError,
    StudioError,
    UnknownNameError,
)

ROOT = Path(__file__).resolve().parents[2]


def has_ipv6() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as trial:
        trial.bind(("::1", 0))
        return True
    return False


def test_the_server_answers_and_knows_its_login(studio_server: Running) -> None:
    with studio_server.studio() as studio:
        assert studio.whoami()["email"] == studio_server.email
        assert studio.users()[studio_server.email] == studio.whoami()["id"]
    with pytest.raises(RefusedError, match="legacy token"):
        Studio(studio_server.url, "0" * 40).whoami()


def test_a_personal_token_works_too(studio_server: Running, studio: Studio) -> None:
    personal = studio.post("/api/token/")["token"]
    with Studio(studio_server.url, personal) as other:
        assert other.whoami()["email"] == studio_server.email


def test_it_listens_on_loopback_only_and_keeps_its_secrets(studio_server: Running) -> None:
    server = psutil.Process(studio_server.pid)
    listening = [c.laddr.ip for c in server.net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]
    assert "PARTLAB_STUDIO_TOKEN" not in server.environ()
    assert server.environ()["COLLECT_ANALYTICS"] == "false"
    login = studio_server.folder / "login.json"
    assert stat.S_IMODE(login.stat().st_mode) == 0o600
    assert stat.S_IMODE(studio_server.folder.stat().st_mode) == 0o700
    assert studio_server.token not in (studio_server.folder / "server.log").read_text()
    assert json.loads(login.read_text())["token"] == studio_server.token


def test_strangers_cannot_sign_up(studio_server: Running) -> None:
    with httpx.Client(base_url=studio_server.url) as browser:
        browser.get("/user/signup/")
        form = {"email": "x@x.org", "password": "12345678"}
        form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
        answer = browser.post("/user/signup/", data=form, headers={"Referer": studio_server.url})
    assert answer.status_code == 403


def logs_in(url: str, email: str, password: str) -> bool:
    with httpx.Client(base_url=url, timeout=60) as browser:
        browser.get("/user/login/")
        form = {"email": email, "password": password, "csrfmiddlewaretoken": ""}
        form["csrfmiddlewaretoken"] = browser.cookies["csrftoken"]
        referer = {"Referer": f"{url}/user/login/"}
        return browser.post("/user/login/", data=form, headers=referer).status_code == 302


def test_a_lost_password_is_replaced(studio_server: Running, studio: Studio) -> None:
    (ann,) = create_users(studio, ["forgetful@example.org"])
    assert ann.password is not None
    assert logs_in(studio_server.url, ann.email, ann.password)
    words = ["studio", "password", str(studio_server.folder), ann.email]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    email, new = told.stdout.split()
    assert email == ann.email
    assert logs_in(studio_server.url, ann.email, new)
    assert not logs_in(studio_server.url, ann.email, ann.password)


def test_passwords_that_cannot_be_replaced(studio_server: Running, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown Label Studio user 'nobody@x\.org'"):
        new_password(studio_server.folder, "nobody@x.org")
    told = CliRunner().invoke(app, ["studio", "password", str(studio_server.folder), "no@x.org"])
    assert "partlab studio user no@x.org" in told.output
    with pytest.raises(ConfigError, match=r"password is in .*login\.json"):
        new_password(studio_server.folder, studio_server.email)
    with pytest.raises(NotFoundError, match="holds no server"):
        new_password(tmp_path, "ann@x.org")
    shutil.copy(studio_server.folder / "login.json", tmp_path)
    with pytest.raises(NotFoundError, match="has no database there") as caught:
        new_password(tmp_path, "ann@x.org")
    assert "--settings" in str(caught.value.hint)


def test_a_folder_of_ones_own_is_not_taken_over(tmp_path: Path) -> None:
    """It would be closed to others, and filled."""
    (tmp_path / "data").mkdir()
    tmp_path.chmod(0o755)
    with (
        pytest.raises(OutputExistsError, match="holds no server of ours"),
        start_server(tmp_path, root=tmp_path, port=0),
    ):
        pass
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_it_listens_at_an_address_of_ipv6(
    studio_server: Running, tmp_path: Path, host: str
) -> None:
    with start_server(tmp_path / "six", root=tmp_path, host=host, port=0) as running:
        assert running.url.startswith("http://[::1]:")
        with running.studio() as studio:
            (ann,) = create_users(studio, ["six@example.org"])
            assert studio.project_url(7) == f"{running.url}/projects/7/data"
        assert ann.password is not None
        assert logs_in(running.url, ann.email, ann.password)
        taken = int(running.url.rpartition(":")[2])
        with (
            pytest.raises(StudioError, match=r"cannot listen at \[::1\]:"),
            start_server(tmp_path / "other", root=tmp_path, host="::1", port=taken),
        ):
            pass


def test_two_servers_on_one_folder(studio_server: Running) -> None:
    with pytest.raises(BusyError, match="already runs"), start_server(studio_server.folder, port=0):
        pass


def test_a_second_up_says_where_the_login_lies(studio_server: Running) -> None:
    """Whoever types it again wants to log in: the first one goes on, with that login."""
    folder = studio_server.folder
    words = ["studio", "up", str(folder), "--port", "0", "--root", str(studio_server.root)]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 1
    assert f"a server already runs on {folder}" in told.stderr
    assert f"its login is in {folder / 'login.json'}" in told.stderr
    assert "its address stands where it was started" in told.stderr
    login = json.loads((folder / "login.json").read_text())
    assert logs_in(studio_server.url, login["email"], login["password"])
    told = CliRunner().invoke(app, [*words, "--json"])
    assert (told.exit_code, told.stdout) == (1, "")


def test_a_taken_port_is_said_and_never_changed(studio_server: Running, tmp_path: Path) -> None:
    taken = int(studio_server.url.rpartition(":")[2])
    with (
        pytest.raises(StudioError, match=r"cannot listen at 127\.0\.0\.1:") as caught,
        start_server(tmp_path / "other", port=taken),
    ):
        pass
    assert f"--port {taken + 1}" in str(caught.value.hint)


@pytest.mark.parametrize(
    "option",
    [("--port", "taken"), ("--env", "none"), ("--template", "none"), ("--settings", "none")],
)
def test_a_start_that_fails_leaves_no_folder(
    studio_server: Running, tmp_path: Path, option: tuple[str, str]
) -> None:
    given = {"--port": "0", "--root": tmp_path}
    taken = studio_server.url.rpartition(":")[2]
    given[option[0]] = taken if option[1] == "taken" else str(tmp_path / option[1])
    words = [str(word) for pair in given.items() for word in pair]
    told = CliRunner().invoke(app, ["studio", "up", str(tmp_path / "studio"), *words])
    assert told.exit_code in (3, 4), told.output
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def up(studio_server: Running, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`partlab studio up` as a process of its own."""
    command = [sys.executable, "-m", "app.cli.main", "studio", "up", str(tmp_path / "studio")]
    command += ["--port", "0", "--root", str(tmp_path), "--json"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        text=True,
        stdout=-1,
        stderr=-1,
        # A shell lets what it starts in the background ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    yield process
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()


def read_result(process: subprocess.Popen[str]) -> dict[str, str]:
    """The JSON object the command prints while it goes on running."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("}"):
            break
    found: dict[str, str] = json.loads("".join(lines))
    return found


def ended(url: str, within: float = 15) -> bool:
    until = time.monotonic() + within
    host, port = url.removeprefix("http://").split(":")
    while time.monotonic() < until:
        with socket.socket() as trial:
            if trial.connect_ex((host, int(port))):
                return True
        time.sleep(0.2)
    return False


def test_ctrl_c_stops_it_in_order(up: subprocess.Popen[str], tmp_path: Path) -> None:
    told = read_result(up)
    with Studio(told["url"], told["token"]) as studio:
        assert studio.whoami()["email"] == told["email"]
    up.send_signal(signal.SIGINT)
    _, words = up.communicate(timeout=20)
    assert up.returncode == 130
    assert f"Label Studio stops; {tmp_path / 'studio'} keeps everything" in words
    assert ended(told["url"])


def test_kill_9_leaves_no_orphan(up: subprocess.Popen[str]) -> None:
    told = read_result(up)
    os.kill(up.pid, signal.SIGKILL)
    assert ended(told["url"])


def test_a_second_start_keeps_login_and_data(studio_server: Running, tmp_path: Path) -> None:
    folder = tmp_path / "studio"
    with start_server(folder, root=tmp_path, port=0) as first, first.studio() as studio:
        made = studio.post("/api/projects/", {"title": "kept"})["id"]
    with start_server(folder, root=tmp_path, port=0) as second, second.studio() as studio:
        assert studio.get(f"/api/projects/{made}/")["title"] == "kept"
    assert (first.token, first.password) == (second.token, second.password)
    (folder / "login.json").unlink()
    with (
        pytest.raises(StudioError, match="does not know the login"),
        start_server(folder, root=tmp_path, port=0),
    ):
        pass


def test_a_server_that_dies_while_starting_says_why(studio_server: Running, tmp_path: Path) -> None:
    data = tmp_path / "studio" / "data"
    data.mkdir(parents=True)
    (data / "label_studio.sqlite3").write_bytes(b"not a database" * 100)
    with (
        pytest.raises(StudioError, match=r"ended while starting: .*file is not a database"),
        start_server(tmp_path / "studio", root=tmp_path, port=0),
    ):
        pass


@pytest.mark.slow
def test_a_template_is_made_whole(studio_server: Running, tmp_path: Path) -> None:
    make_template(environment(), tmp_path / "template")
    assert [path.name for path in (tmp_path / "template").iterdir()] == ["label_studio.sqlite3"]
    with start_server(
        tmp_path / "studio", root=tmp_path, port=0, template=tmp_path / "template"
    ) as running:
        assert running.studio().users() == {running.email: 1}


def test_the_environment_is_found_again(studio_server: Running) -> None:
    assert find_environment() is not None
