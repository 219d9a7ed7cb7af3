"""What the server says when it says no, in one sentence."""

import re
from typing import Any

import httpx

from annotate.studio.api.connection import URL_VARIABLE
from annotate.studio.api.tokens import TokenKind
from partlab.errors import StudioError

_THING = re.compile(r"/api/(project|task|annotation|prediction)s/(\d+)")


class RefusedError(StudioError):
    """The server answered, and the answer is no.

    `status` is the HTTP status, `wait` the seconds it asked to be left alone, if any.
    """

    def __init__(
        self, message: str, *, status: int, hint: str | None = None, wait: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status, self.wait = status, wait


def parsed(answer: httpx.Response, method: str, path: str) -> Any:
    """The JSON of an answer, None when it is empty.

    Raises:
        StudioError: it is not JSON.
    """
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        raise StudioError(
            f"{answer.url.host} answered {method} {path} with something that is not JSON",
            hint=f"is {URL_VARIABLE} the address of a Label Studio?",
        ) from None


def refusal(answer: httpx.Response, method: str, path: str, kind: TokenKind) -> RefusedError:
    """An answer that is not a success, as an error."""
    message, hint = _words(answer, method, path.split("?")[0], kind)
    asked = answer.headers.get("retry-after", "")
    wait = float(asked) if asked.isdigit() else None
    return RefusedError(message, status=answer.status_code, hint=hint, wait=wait)


def _words(
    answer: httpx.Response, method: str, path: str, kind: TokenKind
) -> tuple[str, str | None]:
    """What happened, and what to do."""
    status = answer.status_code
    if status == 401:
        return f"Label Studio does not accept the token (401 at {path}): {kind.value}", kind.advice
    if status == 404 and (thing := _THING.search(path)):
        gone = f"{thing[1]} {thing[2]} is gone from Label Studio (404 at {path})"
        return gone, "somebody deleted it, or the token's user does not see it"
    if answer.has_redirect_location:
        target = answer.headers["location"].split("?")[0]
        hint = f"set {URL_VARIABLE} to the address the server really has"
        return f"{method} {path} was sent on to {target}", hint
    advice = "the log of the server says more" if status >= 500 else None
    return f"Label Studio answered {status} to {method} {path}{_detail(answer)}", advice


def _detail(answer: httpx.Response) -> str:
    """`: what the server says`, at most 300 characters; error pages in HTML say nothing."""
    try:
        body = answer.json()
    except ValueError:
        return ""
    if isinstance(body, dict):
        body = body.get("validation_errors") or body.get("detail") or body
    text = body if isinstance(body, str) else _flat(body)
    return f": {text[:300]}" + ("…" if len(text) > 300 else "")


def _flat(body: Any) -> str:
    if isinstance(body, dict):
        return "; ".join(f"{key}: {_flat(value)}" for key, value in body.items())
    return ", ".join(_flat(one) for one in body) if isinstance(body, list) else str(body)
