"""Every error of the server in one form: what happened, what to do, and a number to ask about it.

`{"error": {"status": 422, "cause": "…", "hint": "…", "request_id": "…"}}`
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
from fastapi.responses import Response

from app.serve.batcher import QueueFullError, StoppingError
from partlab.errors import (
    BackendUnavailableError,
    BusyError,
    ConfigError,
    DatasetError,
    NotFoundError,
    OutputExistsError,
    PartlabError,
    StateError,
    UnknownNameError,
)
from partlab.images import TooLargeError


class RefusalError(PartlabError):
    """A request that is not answered, with the status of HTTP that says so."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status, self.headers = status, dict(headers or {})


_STATUS: tuple[tuple[type[PartlabError], int], ...] = (
    (QueueFullError, 503),
    (StoppingError, 503),
    (TooLargeError, 413),
    (ConfigError, 422),
    (DatasetError, 422),
    (NotFoundError, 404),
    (BackendUnavailableError, 501),
    (BusyError, 409),
    (StateError, 409),
    (OutputExistsError, 409),
)


def status_of(error: PartlabError) -> int:
    """The status of HTTP for an error of ours; 500 is our fault."""
    if isinstance(error, RefusalError):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def refusal(error: PartlabError, request_id: str) -> Response:
    """The answer to a request that failed."""
    headers = dict(error.headers) if isinstance(error, RefusalError) else {}
    if isinstance(error, QueueFullError):
        headers["Retry-After"] = str(error.retry_after)
    elif status_of(error) == 503:
        headers.setdefault("Retry-After", "5")
    return told(status_of(error), error.message, error.hint, request_id, headers)


def told(
    status: int,
    cause: str,
    hint: str | None,
    request_id: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error in the server's one form."""
    facts: dict[str, Any] = {
        "status": status,
        "cause": cause,
        "hint": hint,
        "request_id": request_id,
    }
    body = orjson.dumps({"error": facts}, default=str)
    return Response(body, status, headers=dict(headers or {}), media_type="application/json")


@contextmanager
def parameters() -> Iterator[None]:
    """A name that is not known is a wrong parameter here, not a missing page."""
    try:
        yield
    except UnknownNameError as error:
        raise RefusalError(422, error.message, hint=error.hint) from error
