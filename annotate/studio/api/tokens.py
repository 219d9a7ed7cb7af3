"""The kinds of token Label Studio has, told apart by their looks."""

import base64
import binascii
import json
import threading
import time
from collections.abc import Generator
from enum import Enum
from typing import Any

import httpx

_ACCESS_LIFE = 240.0  # seconds; the server gives an access token five minutes


class TokenKind(Enum):
    """What a token is; the value is how a message calls it."""

    LEGACY = "it looks like a legacy token"
    PERSONAL = "it looks like a personal access token"
    ACCESS = "it looks like a five-minute access token, which is not what partlab needs"

    @property
    def advice(self) -> str:
        """What to do when the server refuses it."""
        return {
            TokenKind.LEGACY: "copy it again from Account & Settings; if the organisation has "
            "legacy tokens switched off, make a personal access token there instead",
            TokenKind.PERSONAL: "it may have been revoked or belong to another server: make a "
            "new one under Account & Settings",
            TokenKind.ACCESS: "give the personal access token it was made from",
        }[self]


def kind_of(token: str) -> TokenKind:
    """The kind of a token, without asking the server."""
    parts = token.strip().split(".")
    if len(parts) != 3:
        return TokenKind.LEGACY
    return (
        TokenKind.ACCESS if _payload(parts[1]).get("token_type") == "access" else TokenKind.PERSONAL
    )


def _payload(part: str) -> dict[str, Any]:
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class PersonalToken(httpx.Auth):
    """Trades the personal token for a short access token, and again before that ends."""

    def __init__(self, token: str, refresh_url: str) -> None:
        self._token, self._refresh_url = token, refresh_url
        self._access, self._until = "", 0.0
        self._lock = threading.Lock()

    def sync_auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Ask for an access token when there is none; once more when the server refuses it.

        A server too busy to give one answers the request itself.
        """
        for fresh in (False, True):
            with self._lock:
                if fresh or time.monotonic() > self._until:
                    answer = yield httpx.Request(
                        "POST", self._refresh_url, json={"refresh": self._token}
                    )
                    answer.read()
                    if answer.status_code == 429 or answer.is_server_error:
                        return  # busy, which says nothing about the token: to be tried again
                    if not self._keep(answer):
                        fresh = True  # the request below shows the user what is wrong
            request.headers["Authorization"] = f"Bearer {self._access or 'none'}"
            answer = yield request
            if answer.status_code != 401 or fresh:
                return

    def _keep(self, answer: httpx.Response) -> bool:
        try:
            self._access = str(answer.json()["access"])
        except (ValueError, KeyError, TypeError):
            return False
        self._until = time.monotonic() + _ACCESS_LIFE
        return True
