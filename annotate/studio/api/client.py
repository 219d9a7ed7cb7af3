"""One connection to a Label Studio server: either kind of token, retries, errors in one sentence.

with Studio.from_env() as studio:
    project = studio.get("/api/projects/12/")
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.wait import wait_exponential, wait_random

from annotate.studio.api.connection import (
    SET_THEM,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    checked_token,
    checked_url,
    unreachable,
)
from annotate.studio.api.refusals import RefusedError, parsed, refusal
from annotate.studio.api.tokens import PersonalToken, TokenKind, kind_of
from annotate.web import open_http
from partlab.errors import StudioError

__all__ = ["RefusedError", "Studio"]

_ATTEMPTS, _LONGEST_WAIT = 6, 30.0  # seconds
_BUSY = frozenset({429, 500, 502, 503, 504})
_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})


class Studio:
    """A Label Studio server as one user. Paths start at the root: `/api/projects/`.

    Connection loss, 429 and 5xx are tried again with growing pauses (about 30 s in all).
    A POST is tried again only when the server cannot have done anything yet, so whoever sends
    in bulk reads back what arrived when one fails.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float = 120.0,
        transport: httpx.BaseTransport | None = None,
        pause: float = 0.5,
    ) -> None:
        """`timeout` in seconds for one answer; `pause` in seconds before the first retry."""
        self.url = checked_url(url)
        self._answered = False  # a server that never answered is not waited for
        self._token, self._timeout = checked_token(token), timeout
        self._kind = kind_of(self._token)
        self._wait = wait_exponential(pause, max=_LONGEST_WAIT) + wait_random(0, pause)
        self._http = open_http(
            self.url,
            base_url=self.url,
            auth=self._auth(),
            timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
            transport=transport,
        )

    @classmethod
    def from_env(cls, timeout: float = 120.0) -> Self:
        """The server that PARTLAB_STUDIO_URL and PARTLAB_STUDIO_TOKEN name.

        Raises:
            StudioError: a variable is missing, or the address is not one.
        """
        values = {name: os.environ.get(name, "").strip() for name in (URL_VARIABLE, TOKEN_VARIABLE)}
        missing = [name for name, value in values.items() if not value]
        if missing:
            raise StudioError(f"{' and '.join(missing)} not set", hint=SET_THEM)
        return cls(values[URL_VARIABLE], values[TOKEN_VARIABLE], timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def __repr__(self) -> str:
        return f"Studio({self.url!r})"

    def _auth(self) -> httpx.Auth:
        if self._kind is TokenKind.PERSONAL:
            return PersonalToken(self._token, f"{self.url}/api/token/refresh/")
        scheme = "Bearer" if self._kind is TokenKind.ACCESS else "Token"
        return _Header(f"{scheme} {self._token}")

    # -- requests -----------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        again: bool | None = None,
    ) -> Any:
        """The parsed JSON answer (None when it is empty).

        `again=True` says that a POST may be repeated without harm.

        Raises:
            RefusedError: the server said no; `status` tells which way.
            StudioError: it cannot be reached, or is not a Label Studio.
        """
        method = method.upper()
        for attempt in self._attempts(method, again):
            with attempt:
                try:
                    answer = self._http.request(method, path, json=json, params=params)
                    self._refuse(answer, method, path)
                except RefusedError as error:
                    repeated = attempt.retry_state.attempt_number > 1
                    if method == "DELETE" and error.status == 404 and repeated:
                        return None  # the attempt whose answer was lost has done it
                    raise
                except httpx.HTTPError as error:
                    raise unreachable(self.url, error) from error
        return parsed(answer, method, path)

    def get(self, path: str, **params: Any) -> Any:
        """`request("GET", path, params=params)`."""
        return self.request("GET", path, params=params)

    def post(self, path: str, json: Any = None, **params: Any) -> Any:
        """`request("POST", path, json=json, params=params)`."""
        return self.request("POST", path, json=json, params=params)

    def patch(self, path: str, json: Any = None) -> Any:
        """`request("PATCH", path, json=json)`."""
        return self.request("PATCH", path, json=json)

    def delete(self, path: str) -> None:
        """`request("DELETE", path)`."""
        self.request("DELETE", path)

    def pages(
        self, path: str, *, key: str = "results", size: int = 100, **params: Any
    ) -> Iterator[dict[str, Any]]:
        """Every record of a list that comes in pages, in order; one page is held at a time.

        `key` names the list in the answer: "results" for projects, "tasks" for tasks.
        """
        number, seen = 1, 0
        while True:
            found = self.get(path, **params, page=number, page_size=size)
            if isinstance(found, list):  # some lists have no pages
                yield from found
                return
            yield from found[key]
            seen += len(found[key])
            if not found[key] or seen >= found.get("count", found.get("total", seen + 1)):
                return
            number += 1

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
    ) -> Iterator[httpx.Response]:
        """The answer before its body is read, for what does not fit in memory.

        Opening it is retried like `request`; a body that breaks off is a StudioError.
        """
        request = self._http.build_request(method.upper(), path, json=json, params=params)
        for attempt in self._attempts(method.upper(), None):
            with attempt:
                try:
                    answer = self._http.send(request, stream=True)
                    if not answer.is_success:
                        answer.read()
                        answer.close()
                    self._refuse(answer, method.upper(), path)
                except httpx.HTTPError as error:
                    raise unreachable(self.url, error) from error
        try:
            yield answer
        except httpx.HTTPError as error:
            raise unreachable(self.url, error) from error
        finally:
            answer.close()

    def _attempts(self, method: str, again: bool | None) -> Retrying:
        repeatable = method in _REPEATABLE if again is None else again

        def worth_it(error: BaseException) -> bool:
            if isinstance(error, RefusedError):
                return error.status == 429 or (repeatable and error.status in _BUSY)
            cause = error.__cause__
            never_sent = isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout)
            return never_sent or (repeatable and isinstance(cause, httpx.TransportError))

        return Retrying(
            retry=retry_if_exception(worth_it),
            wait=self._pause,
            stop=lambda state: state.attempt_number >= (_ATTEMPTS if self._answered else 2),
            reraise=True,
        )

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait if isinstance(error, RefusedError) else None
        return self._wait(state) if asked is None else min(asked, 4 * _LONGEST_WAIT)

    def _refuse(self, answer: httpx.Response, method: str, path: str) -> None:
        self._answered = True
        if not answer.is_success:
            raise refusal(answer, method, path, self._kind)

    # -- what everybody asks ------------------------------------------------------------------

    def whoami(self) -> dict[str, Any]:
        """The user the token belongs to: id, email, active_organization, …

        Raises:
            StudioError: it is not a Label Studio, or the token is refused.
        """
        try:
            found = self.get("/api/current-user/whoami")
        except RefusedError as error:
            if error.status != 404:
                raise
            found = None
        if not isinstance(found, dict) or "email" not in found:
            raise StudioError(f"{self.url} is not the address of a Label Studio", hint=SET_THEM)
        return found

    def users(self) -> dict[str, int]:
        """Id of every user of the organisation, by email in lower case."""
        found = self.pages("/api/users/")
        return {user["email"].lower(): user["id"] for user in found}

    def project_url(self, project_id: int) -> str:
        """The address of a project in the browser."""
        return f"{self.url}/projects/{project_id}/data"


class _Header(httpx.Auth):
    """One fixed Authorization header."""

    def __init__(self, value: str) -> None:
        self._value = value

    def auth_flow(self, request: httpx.Request) -> Any:
        request.headers["Authorization"] = self._value
        yield request
