"""A real S3-compatible server on loopback, and a door before it that loses what it is told to."""

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from threading import Lock, Thread
from typing import Any

KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "a-secret-that-nobody-prints",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def free_port() -> int:
    with socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@contextmanager
def server() -> Iterator[str]:
    """The address of a server that holds nothing yet; it ends with the block."""
    port = free_port()
    words = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, stdout=quiet, stderr=quiet) as process:
        try:
            _answers(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _answers(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=5).request("GET", "/moto-api/")
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the S3 server ended at once")


class Door:
    """Passes requests on to a server, and spoils those that `spoil` says.

    `spoil(method, path, number)` gives None, "cut" (half of the answer, then the line goes dead) or
    a status such as 503; `number` counts requests of this method and path from 1.
    """

    def __init__(self, target: str, spoil: Any) -> None:
        self.target, self.spoil = target.removeprefix("http://"), spoil
        self.seen: dict[tuple[str, str], int] = {}
        self.requests: list[tuple[str, str, int, int]] = []  # method, path, status, bytes sent
        self.lock = Lock()

    @contextmanager
    def open(self) -> Iterator[str]:
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                door.serve(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

            def log_message(self, *args: Any) -> None:
                pass

        here = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=here.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{here.server_port}"
        finally:
            here.shutdown()
            here.server_close()

    def serve(self, asked: BaseHTTPRequestHandler) -> None:
        path = asked.path.partition("?")[0]
        with self.lock:
            number = self.seen[asked.command, path] = self.seen.get((asked.command, path), 0) + 1
        body = asked.rfile.read(int(asked.headers.get("Content-Length") or 0))
        how = self.spoil(asked.command, path, number)
        if isinstance(how, int):
            asked.send_response(how)
            asked.send_header("Content-Length", "0")
            asked.end_headers()
            self.requests.append((asked.command, path, how, 0))
            return
        line = http.client.HTTPConnection(self.target, timeout=60)
        line.request(asked.command, asked.path, body, dict(asked.headers))
        answer = line.getresponse()
        content = answer.read()
        asked.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                asked.send_header(name, value)
        length = answer.getheader("Content-Length") if asked.command == "HEAD" else len(content)
        asked.send_header("Content-Length", str(length or 0))
        asked.end_headers()
        if how == "cut":
            asked.wfile.write(content[: len(content) // 2])
            asked.wfile.flush()
            asked.close_connection = True
            asked.connection.shutdown(2)
        else:
            asked.wfile.write(content)
        self.requests.append((asked.command, path, answer.status, len(content)))
        line.close()
