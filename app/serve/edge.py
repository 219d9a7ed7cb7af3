"""The first to see a request and the last: its number, its size, its time, one line of log."""

import asyncio
import contextlib
import json
import logging
import re
import secrets
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from app.serve.errors import RefusalError, refusal, status_of, told
from app.serve.metrics import Metrics
from app.serve.settings import ServeSettings
from partlab.errors import PartlabError

log = logging.getLogger(__name__)
access = logging.getLogger("partlab.access")

_NUMBER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CALL = "partlab.call"
_DRAINED, _DRAIN_S = 256 << 20, 20.0  # of a refused upload, so that its sender hears why
GONE = 499
"""Status of a request whose client did not wait, in log and metrics."""


@dataclass
class Call:
    """What is noted of one request; `who` is the holder of its key, `client` what limits count."""

    request_id: str
    address: str
    began: float = field(default_factory=monotonic)
    who: str | None = None
    model: str | None = None
    status: int = 0
    received: int = 0
    sent: int = 0
    whole: bool = False  # its body has been read to the end

    @property
    def client(self) -> str:
        """The holder of the key, else the address."""
        return self.who or self.address


def call_of(request: Request) -> Call:
    """What is noted of this request."""
    found: Call = request.scope[_CALL]
    return found


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: Any, settings: ServeSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, counted and limited."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        call = Call(_number(headers.get(b"x-request-id", b"")), (scope.get("client") or ("",))[0])
        scope[_CALL] = call
        wire = _Wire(call, self.settings, receive, send, headers.get(b"content-length", b""))
        try:
            await self.app(scope, wire.receive, wire.send)
        except asyncio.CancelledError:
            call.status = call.status or GONE
            raise
        except Exception:
            log.exception("request %s failed", call.request_id)
            if not call.status:
                answer = told(
                    500,
                    "the server made a mistake",
                    "give this number to whoever runs it: the log says more",
                    call.request_id,
                )
                await answer(scope, wire.receive, wire.send)
        finally:
            self._note(scope, call)

    def _note(self, scope: Any, call: Call) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        seconds = monotonic() - call.began
        self.metrics.request_done(route, scope["method"], call.status or GONE, seconds)
        facts = {
            "request_id": call.request_id,
            "client": call.address,
            "who": call.who,
            "method": scope["method"],
            "path": scope["path"],
            "status": call.status or GONE,
            "ms": round(1000 * seconds, 1),
            "received": call.received,
            "sent": call.sent,
            "model": call.model,
        }
        access.info("%s", json.dumps(facts))  # no query and no header: keys may stand there


def _number(sent: bytes) -> str:
    text = sent.decode("latin-1")
    return text if _NUMBER.fullmatch(text) else secrets.token_hex(8)


class _Wire:
    """`receive` and `send` of one request, with limits."""

    def __init__(
        self, call: Call, settings: ServeSettings, receive: Any, send: Any, length: bytes
    ) -> None:
        self.call, self.settings = call, settings
        self._receive, self._send = receive, send
        self._stated = int(length) if length.isdigit() else 0
        self._silent = False

    async def receive(self) -> Any:
        """The next piece of the body.

        Raises:
            RefusalError: 413, the body is too large; 408, its sender has fallen silent.
        """
        if self.call.whole:
            return await self._receive()
        self._see(self._stated)
        try:
            message = await asyncio.wait_for(self._receive(), self.settings.read_s)
        except TimeoutError:
            self._silent = True
            raise RefusalError(
                408, f"nothing came for {self.settings.read_s:g} s, and the body is not whole"
            ) from None
        if message["type"] == "http.request":
            self.call.received += len(message.get("body", b""))
            self.call.whole = not message.get("more_body")
            self._see(self.call.received)
        return message

    def _see(self, size: int) -> None:
        if size > self.settings.body_bytes:
            raise RefusalError(
                413,
                f"the body has more than {self.settings.body_bytes:,} bytes",
                hint="send a smaller picture, or have the server started with a larger "
                "--set body_bytes=…",
            )

    async def send(self, message: Any) -> None:
        """A piece of the answer; the number of the request goes with it."""
        if message["type"] == "http.response.start":
            self.call.status = message["status"]
            if not (self.call.whole or self._silent) and message["status"] >= 400:
                await self._drain()
            number = (b"x-request-id", self.call.request_id.encode())
            message = {**message, "headers": [*message.get("headers", ()), number]}
        else:
            self.call.sent += len(message.get("body", b""))
        await self._send(message)

    async def _drain(self) -> None:
        """Read what is still coming: who is sending does not listen, and would see a reset."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while not self.call.whole and self.call.received < _DRAINED:
                    message = await self._receive()
                    if message["type"] != "http.request":
                        return
                    self.call.received += len(message.get("body", b""))
                    self.call.whole = not message.get("more_body")


def answer_errors(app: FastAPI) -> None:
    """Have an application behind `Edge` answer every error in the one form."""

    async def ours(request: Request, error: Any) -> Response:
        call = call_of(request)
        if status_of(error) >= 500 and not isinstance(error, RefusalError):
            log.warning("request %s: %s", call.request_id, error)
        return refusal(error, call.request_id)

    async def of_http(request: Request, error: Any) -> Response:
        hint = "what there is: /openapi.json" if error.status_code in (404, 405) else None
        cause = f"{request.method} {request.url.path}: {error.detail}"
        number = call_of(request).request_id
        return told(error.status_code, cause, hint, number, error.headers)

    async def invalid(request: Request, error: Any) -> Response:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        return told(422, f"{where}: {first['msg']}", None, call_of(request).request_id)

    app.add_exception_handler(PartlabError, ours)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, invalid)
