"""The way to a server: certificates of its own, proxies, addresses and tokens that are none."""

import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from annotate.studio.api.client import Studio
from annotate.web import open_http
from partlab.errors import BackendUnavailableError, NotFoundError, StudioError

LEGACY = "0123456789abcdef0123456789abcdef01234567"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*_PROXIES, *map(str.lower, _PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


class WhoAmI(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"id": 1, "email": "lead@example.org"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody signed, with its key in the same file."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    about = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *about]
    subprocess.run([*made, "-keyout", path, "-out", path], check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def secure(certificate: Path) -> Iterator[str]:
    """Address of a server that speaks https with it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), WhoAmI) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_certificate_of_its_own_is_trusted_when_it_is_named(
    secure: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Studio(secure, LEGACY, pause=0.0) as studio, pytest.raises(StudioError) as caught:
        studio.whoami()
    assert "certificate" in caught.value.message
    assert "SSL_CERT_FILE" in str(caught.value.hint)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Studio(secure, LEGACY) as studio:
        assert studio.whoami()["email"] == "lead@example.org"


def test_a_file_of_certificates_that_is_none_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tmp_path / "gone.pem", tmp_path / "empty.pem"):
        (tmp_path / "empty.pem").touch()
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with pytest.raises(NotFoundError, match=path.name):
            Studio("https://studio.test", LEGACY)


def test_https_where_there_is_none_is_said() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), WhoAmI) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        studio = Studio(f"https://127.0.0.1:{server.server_port}", LEGACY, pause=0.0)
        with pytest.raises(StudioError, match="does not speak https"):
            studio.whoami()
        server.shutdown()


def test_proxies_are_for_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), WhoAmI) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Studio(f"http://127.0.0.1:{server.server_port}", LEGACY) as studio:
            assert studio.whoami()["id"] == 1
        server.shutdown()
    with pytest.raises(StudioError, match=r"over the proxy http://127\.0\.0\.1:1"):
        Studio("http://studio.test", LEGACY, pause=0.0).whoami()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used_is_said(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises((BackendUnavailableError, StudioError), match="proxy") as caught:
        open_http("http://studio.test").get("http://studio.test")
    assert "NO_PROXY=studio.test" in str(caught.value.hint)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "tökén", " "])
def test_what_cannot_be_a_token_is_said_and_not_shown(token: str) -> None:
    with pytest.raises(StudioError, match="no token has") as caught:
        Studio("http://studio.test", token)
    assert not token.strip() or token not in f"{caught.value.message} {caught.value.hint}"


def test_a_personal_token_that_is_turned_down_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(401, json={}))
    with (
        Studio("http://studio.test", "a.b.c", transport=transport) as studio,
        pytest.raises(StudioError, match="personal access token"),
    ):
        studio.whoami()


def test_an_address_below_the_server_s_is_said() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(404, text="<html>"))
    with (
        Studio("http://studio.test/projects/1", LEGACY, transport=transport) as studio,
        pytest.raises(StudioError, match="is not the address of a Label Studio"),
    ):
        studio.whoami()
