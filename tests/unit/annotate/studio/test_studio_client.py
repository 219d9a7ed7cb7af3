"""The connection to Label Studio: tokens of both kinds, retries, errors in one sentence."""

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from annotate.studio.api.client import RefusedError, Studio
from annotate.studio.api.tokens import TokenKind, kind_of
from partlab.errors import StudioError

Handler = Callable[[httpx.Request], httpx.Response]
LEGACY = "0123456789abcdef0123456789abcdef01234567"


def jwt(**payload: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{body}.c2lnbmF0dXJl"


PERSONAL = jwt(token_type="refresh", jti="x")


def studio(handler: Handler, token: str = LEGACY) -> Studio:
    transport = httpx.MockTransport(handler)
    return Studio("http://studio.test/", token, transport=transport, pause=0.0)


def answers(*replies: Any) -> tuple[Handler, list[httpx.Request]]:
    """A server that gives these replies in turn; an exception is raised instead."""
    waiting, seen = list(replies), []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        reply = waiting.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, httpx.Response) else httpx.Response(200, json=reply)

    return handle, seen


def test_a_legacy_token_goes_as_token() -> None:
    handle, seen = answers({"email": "a@x.org", "id": 1})
    assert studio(handle).whoami()["id"] == 1
    assert seen[0].headers["Authorization"] == f"Token {LEGACY}"


def test_a_personal_token_is_traded_once_and_renewed_when_refused() -> None:
    refused = httpx.Response(401, json={"detail": "expired"})
    handle, seen = answers(
        {"access": "one"}, {"a": 1}, {"b": 2}, refused, {"access": "two"}, {"c": 3}
    )
    connection = studio(handle, PERSONAL)
    assert [connection.get("/api/x/") for _ in range(3)] == [{"a": 1}, {"b": 2}, {"c": 3}]
    paths = [request.url.path for request in seen]
    assert paths == [
        "/api/token/refresh/",
        "/api/x/",
        "/api/x/",
        "/api/x/",
        "/api/token/refresh/",
        "/api/x/",
    ]
    assert seen[-1].headers["Authorization"] == "Bearer two"
    assert json.loads(seen[0].content) == {"refresh": PERSONAL}


@pytest.mark.parametrize(
    ("token", "kind", "word"),
    [
        (LEGACY, TokenKind.LEGACY, "legacy"),
        (PERSONAL, TokenKind.PERSONAL, "personal access token"),
        (jwt(token_type="access"), TokenKind.ACCESS, "five-minute"),
        ("not.a.jwt", TokenKind.PERSONAL, "personal"),
    ],
)
def test_a_refused_token_is_called_by_its_kind_and_never_shown(
    token: str, kind: TokenKind, word: str
) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"detail": "Invalid token."})

    assert kind_of(token) is kind
    with pytest.raises(RefusedError, match=word) as caught:
        studio(handle, token).get("/api/projects/")
    assert caught.value.status == 401
    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert token not in caught.value.message + caught.value.hint


def test_reads_are_tried_again_after_trouble() -> None:
    handle, seen = answers(
        httpx.Response(200, json=[]),
        httpx.ReadError("gone"),
        httpx.Response(503),
        httpx.Response(429, headers={"retry-after": "0"}),
        {"ok": True},
    )
    connection = studio(handle)
    connection.get("/api/a/")
    assert connection.get("/api/b/") == {"ok": True}
    assert len(seen) == 5


def test_a_server_too_busy_to_trade_a_token_is_tried_again() -> None:
    """Its token is not called revoked."""
    handle, seen = answers(
        httpx.Response(503), httpx.Response(429), {"access": "one"}, {"ok": True}
    )
    assert studio(handle, PERSONAL).get("/api/b/") == {"ok": True}
    assert [request.url.path for request in seen] == ["/api/token/refresh/"] * 3 + ["/api/b/"]
    busy = studio(lambda request: httpx.Response(503), PERSONAL)
    with pytest.raises(RefusedError) as caught:
        busy.get("/api/a/")
    assert caught.value.status == 503


def test_a_post_is_repeated_only_when_nothing_can_have_happened() -> None:
    handle, seen = answers(httpx.ConnectError("refused"), {"id": 7}, httpx.ReadError("lost"))
    connection = studio(handle)
    assert connection.post("/api/projects/", {"title": "x"}) == {"id": 7}
    with pytest.raises(StudioError, match="broke off"):
        connection.post("/api/projects/", {"title": "y"})
    assert len(seen) == 3


def test_a_post_that_does_no_harm_may_be_repeated() -> None:
    handle, _ = answers([], httpx.Response(502), {"id": 7})
    connection = studio(handle)
    connection.get("/api/a/")
    assert connection.request("POST", "/api/b/", again=True) == {"id": 7}


def test_a_delete_whose_answer_was_lost_is_done() -> None:
    handle, _ = answers([], httpx.ReadError("lost"), httpx.Response(404), httpx.Response(404))
    connection = studio(handle)
    connection.get("/api/a/")
    connection.delete("/api/tasks/3/")
    with pytest.raises(RefusedError, match="task 3 is gone"):
        connection.delete("/api/tasks/3/")


def test_no_server_is_said_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    handle, seen = answers(*[httpx.ConnectError("refused")] * 9)
    with pytest.raises(StudioError, match="no Label Studio answers"):
        studio(handle).get("/api/a/")
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (httpx.Response(404, text="<html>" + "x" * 170_000), "project 12 is gone"),
        (
            httpx.Response(400, json={"validation_errors": {"label_config": ["bad tag"]}}),
            "400 to GET /api/projects/12/: label_config: bad tag",
        ),
        (httpx.Response(403, json={"detail": "no permission"}), "403 .*: no permission"),
        (
            httpx.Response(302, headers={"location": "https://real.org/?token=1"}),
            "https://real.org/$",
        ),
        (httpx.Response(200, text="<html>hello"), "not JSON"),
        (httpx.Response(400, json={"detail": "y" * 5000}), "…$"),
    ],
)
def test_each_refusal_is_one_short_sentence(reply: httpx.Response, words: str) -> None:
    handle, _ = answers(reply)
    with pytest.raises(StudioError, match=words) as caught:
        studio(handle).get("/api/projects/12/")
    assert len(caught.value.message) < 450


def test_another_web_site_is_not_taken_for_label_studio() -> None:
    handle, _ = answers({"hello": "world"})
    with pytest.raises(StudioError, match="is not the address of a Label Studio"):
        studio(handle).whoami()


def test_pages_are_read_to_the_end() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        page, size = int(request.url.params["page"]), int(request.url.params["page_size"])
        tasks = [{"id": n} for n in range((page - 1) * size, min(page * size, 250))]
        return httpx.Response(200, json={"tasks": tasks, "total": 250})

    found = list(studio(handle).pages("/api/tasks/", key="tasks", size=100, project=1))
    assert [task["id"] for task in found] == list(range(250))


def test_users_are_known_by_email_whatever_its_case() -> None:
    handle, _ = answers([{"id": 3, "email": "Ann@X.org"}])
    assert studio(handle).users() == {"ann@x.org": 3}


def test_a_stream_that_breaks_off_is_one_sentence() -> None:
    def body() -> Any:
        yield b"[1,"
        raise httpx.ReadError("lost")

    handle, _ = answers(httpx.Response(200, content=body()))
    with (
        pytest.raises(StudioError, match="broke off"),
        studio(handle).stream("GET", "/api/export") as answer,
    ):
        list(answer.iter_bytes())


def test_a_stream_is_refused_like_a_request() -> None:
    handle, _ = answers(httpx.Response(404))
    with (
        pytest.raises(RefusedError, match="project 4 is gone"),
        studio(handle).stream("GET", "/api/projects/4/export"),
    ):
        pass


def test_the_environment_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARTLAB_STUDIO_URL", raising=False)
    monkeypatch.setenv("PARTLAB_STUDIO_TOKEN", LEGACY)
    with pytest.raises(StudioError, match="PARTLAB_STUDIO_URL not set") as caught:
        Studio.from_env()
    assert "studio up" in str(caught.value.hint)
    monkeypatch.setenv("PARTLAB_STUDIO_URL", "localhost:8080")
    with pytest.raises(StudioError, match="not the address of a server"):
        Studio.from_env()
    monkeypatch.setenv("PARTLAB_STUDIO_URL", " http://127.0.0.1:8080/ ")
    connection = Studio.from_env()
    assert connection.url == "http://127.0.0.1:8080"
    assert LEGACY not in repr(connection)
