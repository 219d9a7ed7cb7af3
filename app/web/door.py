"""The door before every page: who comes, from where, and what they may see.

Without accounts only this machine may come in, and everybody there may do all. With accounts
people sign in on a page of our own, or a reverse proxy says who they are in a header, which is
believed from the proxy's address only (SV-20). Every answer forbids the browser to ask other
machines for anything.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from app.serve.errors import RefusalError
from app.serve.limits import Rates
from app.serve.listen import need_address
from app.web.people import SESSION_S, Accounts, Person
from partlab.pages import render

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
PERSON = "partlab.person"
COOKIE = "partlab_session"
_TRIES = 10  # passwords a minute, of one address
_FORM = 4096  # bytes of a sign-in
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'; form-action 'self'; base-uri 'self'"
)


@dataclass(frozen=True)
class Proxy:
    """A reverse proxy that signs people in: its address, and the header with their name."""

    address: str
    header: str = "X-Remote-User"

    def __post_init__(self) -> None:
        need_address(self.address)

    def told(self, request: Request) -> str | None:
        """The name, if this request comes from the proxy; None: it does not, or names nobody."""
        client = request.client.host if request.client else ""
        return request.headers.get(self.header) if client == self.address else None


@dataclass
class Door:
    """ASGI middleware around the pages below `base` ("" or "/ui"); other paths pass.

    `rooms` says which role the first step of a path asks for.
    """

    app: Callable[..., Awaitable[None]]
    base: str
    rooms: dict[str, Any]
    accounts: Accounts | None = None
    proxy: Proxy | None = None
    local: Person = field(default_factory=lambda: Person("me", "admin", signed_in=False))
    upload: Callable[[], None] = lambda: None  # makes room before a file is taken
    _tries: Rates = field(default_factory=lambda: Rates(_TRIES))

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass a request on with its person, or answer it here."""
        path = _path(scope) if scope["type"] in ("http", "websocket") else ""
        inside = scope["type"] != "lifespan" and f"{path}/".startswith(f"{self.base}/")
        if not inside:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._open(Request(scope, receive), path[len(self.base) :], send)
        else:  # no page of ours speaks so
            await send({"type": "websocket.close", "code": 1008})

    async def _open(self, request: Request, path: str, send: Any) -> None:
        answer = await self._answer(request, path.strip("/"))
        guarded = _guarded(send)
        if answer is not None:
            await answer(request.scope, request.receive, guarded)
        else:
            if path.endswith("/upload"):
                await asyncio.to_thread(self.upload)
            await self.app(request.scope, request.receive, guarded)

    async def _answer(self, request: Request, path: str) -> Response | None:
        """What is said here; None: come in."""
        if not _same_site(request) or (self.accounts is None and not _local(request)):
            return _refused(request, 403, "this address is not the app's own", None)
        if path == "login" and self.accounts is not None and self.proxy is None:
            return await self._login(request)
        if path == "logout" and request.method == "POST":
            return self._forget(request)
        try:
            found = self.person(request)
        except RefusalError as error:
            return _refused(request, error.status, error.message, error.hint)
        if found is None:
            return self._ask(request, path)
        role = self.rooms.get(path.partition("/")[0])
        if role is not None and not found.may(role):
            return _refused(
                request,
                403,
                f"this page is for the role {role}, and {found.name} has the role {found.role}",
                "ask whoever runs the app for another role",
            )
        request.scope[PERSON] = found
        return None

    def person(self, request: Request) -> Person | None:
        """Who sends this request.

        Raises:
            RefusalError: the proxy names somebody who has no account, or nobody.
        """
        if self.accounts is None:
            return self.local
        if self.proxy is None:
            return self.accounts.holder(request.cookies.get(COOKIE, ""))
        name = self.proxy.told(request)
        found = self.accounts.find(name) if name else None
        if found is None:
            raise RefusalError(
                403,
                f"{name} has no account here" if name else "nobody is named by the proxy",
                hint="whoever runs the app can make one: partlab app user",
            )
        return found

    def _ask(self, request: Request, path: str) -> Response:
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            query = f"?{request.url.query}" if request.url.query else ""
            return _to(self._home(request) + f"login?next={quote(path + query)}")
        return _refused(request, 401, "nobody is signed in", "open the app's page and sign in")

    async def _login(self, request: Request) -> Response:
        wanted = request.query_params.get("next", "")
        if request.method != "POST":
            return self._form(request, wanted)
        sent = await _form(request)
        try:
            self._tries.take(request.client.host if request.client else "")
        except RefusalError as error:
            return self._form(request, wanted, error.hint or error.message, 429)
        assert self.accounts is not None
        name = sent.get("name", "").strip()
        found = await asyncio.to_thread(self.accounts.check, name, sent.get("password", ""))
        if found is None:
            log.warning("somebody at %s did not sign in", request.client and request.client.host)
            return self._form(request, wanted, "no account has this name and this password", 401)
        answer = _to(self._home(request) + _inside(wanted))
        answer.set_cookie(
            COOKIE,
            self.accounts.session(found.name),
            max_age=SESSION_S,
            path=self._home(request),
            httponly=True,
            samesite="lax",
            secure=_secure(request),
        )
        return answer

    def _form(self, request: Request, wanted: str, fault: str = "", status: int = 200) -> Response:
        page = render("app.web", "login.html", filters={}, fault=fault, next=quote(_inside(wanted)))
        return HTMLResponse(page, status, headers={"Cache-Control": "no-store"})

    def _forget(self, request: Request) -> Response:
        answer = _to(self._home(request))
        answer.delete_cookie(COOKIE, path=self._home(request))
        return answer

    def _home(self, request: Request) -> str:
        return f"{request.scope.get('root_path', '')}{self.base}/"


def _path(scope: Scope) -> str:
    """Below what a proxy takes off."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _to(place: str) -> RedirectResponse:
    return RedirectResponse(place, 303, headers={"Cache-Control": "no-store"})


def _inside(wanted: str) -> str:
    """A path below ours, never another site's address."""
    parsed = urlsplit(wanted)
    foreign = parsed.scheme or parsed.netloc or wanted.startswith(("/", "\\"))
    return "" if foreign or not wanted.isprintable() else wanted


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _FORM:
            return {}
    sent = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in sent.items()}


def _secure(request: Request) -> bool:
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))


def _same_site(request: Request) -> bool:
    """What changes something must not be sent by the page of another site."""
    origin = request.headers.get("origin")
    if request.method in ("GET", "HEAD") or origin is None:
        return True
    own = request.headers.get("x-forwarded-host") or request.headers.get("host", "")
    return urlsplit(origin).netloc == own


def _local(request: Request) -> bool:
    """Asked for by one of this machine's own names: another site's name may lead here as well."""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refused(request: Request, status: int, cause: str, hint: str | None) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        page = render("app.web", "refused.html", filters={}, cause=cause, hint=hint)
        return HTMLResponse(page, status)
    return JSONResponse({"error": {"status": status, "cause": cause, "hint": hint}}, status)


def _guarded(send: Any) -> Any:
    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            own = [
                (b"content-security-policy", _POLICY.encode()),
                (b"x-content-type-options", b"nosniff"),
                (b"referrer-policy", b"same-origin"),
            ]
            message = {**message, "headers": [*message.get("headers", ()), *own]}
        await send(message)

    return sent
