"""Who may ask, how often, and that no secret reaches a log."""

import json
import logging
import os
from pathlib import Path

import pytest
from fastapi import FastAPI
from served import PacedSegmenter, Running, grey, serving, source_of

from app.serve.keys import add_key, read_keys
from app.serve.limits import Rates, Repeats
from app.serve.listen import server_of
from partlab.errors import ConfigError, NotFoundError, OutputExistsError

SEGMENT = "/v1/segment"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    file = tmp_path / "keys.json"
    return file, {role: add_key(file, f"the {role}", role) for role in ("read", "attack", "admin")}


def status(server: Running, path: str, key: str | None, method: str = "POST") -> int:
    headers = {"Authorization": f"Bearer {key}".encode("latin-1")} if key is not None else {}
    headers["Content-Type"] = b"image/png"
    body = {"content": grey()} if method == "POST" else {}
    return server.client.request(method, path, headers=headers, **body).status_code


def test_the_file_holds_no_key_and_is_for_its_owner_alone(
    keys: tuple[Path, dict[str, str]],
) -> None:
    file, made = keys
    text = file.read_text()
    assert not any(key in text for key in made.values())
    assert os.stat(file).st_mode & 0o077 == 0
    assert [each.role for each in read_keys(file)] == ["read", "attack", "admin"]
    assert len(set(made.values())) == 3
    with pytest.raises(OutputExistsError):
        add_key(file, "the read", "admin")
    with pytest.raises(ConfigError, match="unknown role"):
        add_key(file, "x", "root")  # type: ignore[arg-type]


def test_each_role_may_what_it_may(keys: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    file, made = keys
    with serving(source_of(PacedSegmenter()), keys=file, jobs=tmp_path / "jobs") as server:
        assert server.client.get("/health").status_code == 200
        assert server.client.get("/ready").status_code == 200
        for bad in (None, "pl_wrong", made["read"] + "x", made["read"][:-1], "\xfc"):
            assert status(server, SEGMENT, bad) == 401
            assert status(server, "/metrics", bad, "GET") == 401
        may = {
            (SEGMENT, "POST"): (200, 200, 200),
            ("/v1/models", "GET"): (200, 200, 200),
            ("/v1/attack", "POST"): (403, 404, 404),  # 404: no recognition model is served
            ("/metrics", "GET"): (403, 403, 200),
            ("/v1/jobs", "GET"): (403, 403, 200),
        }
        for (path, method), expected in may.items():
            assert tuple(status(server, path, key, method) for key in made.values()) == expected
        other = server.post(SEGMENT, grey(), headers={"X-API-Key": made["read"]})
        assert other.status_code == 200
        refused = server.post(SEGMENT, grey())
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_withdrawn_key_is_refused_at_once(keys: tuple[Path, dict[str, str]]) -> None:
    file, made = keys
    with serving(source_of(PacedSegmenter()), keys=file) as server:
        assert status(server, SEGMENT, made["read"]) == 200
        left = [each for each in json.loads(file.read_text())["keys"] if each["role"] != "read"]
        file.write_text(json.dumps({"keys": left}))
        os.utime(file, (1, 1))  # file systems may not see two writes of one moment
        assert status(server, SEGMENT, made["read"]) == 401
        assert status(server, SEGMENT, made["attack"]) == 200


def test_keys_are_asked_before_anything_is_read(keys: tuple[Path, dict[str, str]]) -> None:
    """What strangers send is never decoded."""
    with serving(source_of(PacedSegmenter()), keys=keys[0]) as server:
        assert server.post(SEGMENT, b"text").status_code == 401


def test_no_secret_reaches_the_log_and_its_lines_are_json(
    keys: tuple[Path, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file, made = keys
    with serving(source_of(PacedSegmenter()), keys=file) as server:
        headers = {"Authorization": f"Bearer {made['read']}", "X-Request-ID": "mine-1"}
        for path in (SEGMENT, f"{SEGMENT}?key=SECRET-QUERY", f"{SEGMENT}?object=%0aforged"):
            server.post(path, grey(), headers=headers)
        server.post(SEGMENT, grey(13), headers=headers)
        server.post(SEGMENT, grey(), headers={"Authorization": "Bearer SECRET-WRONG"})
    own = [r for r in caplog.records if not r.name.startswith(("httpx", "httpcore"))]
    text = "\n".join(record.getMessage() for record in own)
    for secret in (*made.values(), "SECRET", "Bearer", *(e.sha256 for e in read_keys(file))):
        assert secret not in text
    lines = [json.loads(r.getMessage()) for r in own if r.name == "partlab.access"]
    asked = [line for line in lines if line["path"] == SEGMENT]
    assert [line["status"] for line in asked] == [200, 422, 422, 500, 401]
    assert {line["who"] for line in asked} == {"the read", None}
    first = asked[0]
    assert (first["request_id"], first["method"]) == ("mine-1", "POST")
    assert first["model"].startswith("seg@")
    assert first["received"] == len(grey())
    assert first["ms"] > 0


def test_a_client_that_asks_too_often_is_told_when_to_come_again(
    keys: tuple[Path, dict[str, str]],
) -> None:
    file, made = keys
    with serving(source_of(PacedSegmenter()), keys=file, rate=3) as server:
        assert [status(server, SEGMENT, made["read"]) for _ in range(4)] == [200, 200, 200, 429]
        assert status(server, SEGMENT, made["attack"]) == 200  # each key has its own
        answer = server.post(SEGMENT, grey(), headers={"X-API-Key": made["read"]})
        assert 1 <= int(answer.headers["Retry-After"]) <= 20
        assert "3 requests a minute" in answer.json()["error"]["cause"]


def from_client(server: Running, address: str) -> int:
    headers = {"X-Forwarded-For": address}
    return server.post(SEGMENT, grey(), headers=headers).status_code


def test_nobody_gets_more_by_saying_that_they_are_somebody_else() -> None:
    with serving(source_of(PacedSegmenter()), rate=2) as server:
        asked = [from_client(server, f"10.0.0.{number}") for number in range(3)]
        assert asked == [200, 200, 429]


def test_the_word_of_a_named_proxy_is_believed() -> None:
    with serving(source_of(PacedSegmenter()), rate=2, proxy="127.0.0.1") as server:
        asked = [from_client(server, address) for address in ("10.0.0.1",) * 3 + ("10.0.0.2",)]
        assert asked == [200, 200, 429, 200]
    with serving(source_of(PacedSegmenter()), rate=2, proxy="10.1.1.1") as server:
        assert [from_client(server, f"10.0.0.{n}") for n in range(3)] == [200, 200, 429]


def test_a_proxy_is_named_by_its_address() -> None:
    with pytest.raises(ConfigError, match=r"'proxy\.lab' is no address"):
        server_of(FastAPI(), "127.0.0.1", 0, proxy="proxy.lab")


def test_rates_remember_a_bounded_number_of_clients() -> None:
    rates = Rates(1)
    for number in range(10_100):
        rates.take(str(number))
    assert len(rates._left) == 10_000


def test_answers_are_of_the_client_that_asked() -> None:
    """Nobody gets the answer of another by guessing a key."""
    repeats = Repeats(1000)
    repeats.keep("one", "k", "asked", b"answer")
    assert repeats.find("one", "k", "asked") == b"answer"
    assert repeats.find("two", "k", "asked") is None


def test_a_file_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    for text, kind in ((None, NotFoundError), ("[]", ConfigError), ('{"keys": [{}]}', ConfigError)):
        if text is not None:
            (tmp_path / "keys.json").write_text(text)
        with (
            pytest.raises(kind),
            serving(source_of(PacedSegmenter()), keys=tmp_path / "keys.json"),
        ):
            pass
