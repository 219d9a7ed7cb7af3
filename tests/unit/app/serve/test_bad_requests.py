"""Whatever is sent, the answer says what is wrong with it, and the server lives (SV-11)."""

import base64
import json
import socket
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from served import Running, grey, png, serving

from app.serve.source import Source

SEGMENT = "/v1/segment"
GOOD = grey()
B64 = base64.b64encode(GOOD).decode()
JSON = {"Content-Type": "application/json"}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@dataclass
class Case:
    name: str
    status: int
    says: str
    path: str = SEGMENT
    data: bytes = GOOD
    headers: dict[str, Any] = field(default_factory=dict)
    method: str = "POST"

    def __repr__(self) -> str:
        return self.name


def asked(**values: Any) -> bytes:
    return json.dumps({"image": B64, **values}).encode()


def pictures(*names: str) -> bytes:
    return json.dumps({"pictures": [{"name": name, "image": B64} for name in names]}).encode()


CASES = [
    # the picture
    Case("no picture", 422, "no picture", data=b""),
    Case("text", 422, "not a picture", data=b"hello"),
    Case("half a picture", 422, "cannot read image", data=GOOD[:60]),
    Case("a broken checksum", 422, "cannot read image", data=GOOD.replace(b"IDAT", b"IDAX")),
    Case("html", 422, "not a picture", data=b"<html><body>404</body></html>"),
    Case("svg", 422, "not a picture", data=b'<svg xmlns="http://www.w3.org/2000/svg"/>',
         headers={"Content-Type": "image/svg+xml"}),
    Case("postscript, which Pillow would hand on", 422, "not a picture",
         data=b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"),
    Case("a bomb of 100 megapixels", 413, "100,000,000 pixels", data=bomb(10_000, 10_000)),
    Case("a bomb of 10 gigapixels", 413, "megapixels", data=bomb(100_000, 100_000)),
    Case("a side of nothing", 422, "cannot read image", data=bomb(0, 10)),
    Case("50 MB", 413, "more than", data=b"\xff" * 50_000_000),
    Case("50 MB of JSON", 413, "more than", data=b'{"image": "' + b"A" * 50_000_000 + b'"}',
         headers=JSON),
    # content types
    Case("a form", 415, "x-www-form-urlencoded",
         headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Case("a multipart form", 415, "multipart/form-data",
         headers={"Content-Type": "multipart/form-data; boundary=x"}),
    Case("no content type", 415, "unknown", headers={"Content-Type": ""}),
    Case("plain text", 415, "text/plain", headers={"Content-Type": "text/plain"}),
    Case("junk for a content type", 415, "is not read", headers={"Content-Type": "%00/;=;"}),
    # JSON
    Case("no JSON", 422, "no JSON", data=b"{", headers=JSON),
    Case("a list", 422, "no JSON object", data=b"[]", headers=JSON),
    Case("JSON without a picture", 422, "no picture", data=b"{}", headers=JSON),
    Case("a picture that is a number", 422, "no picture", data=b'{"image": 3}', headers=JSON),
    Case("no base64", 422, "base64", data=b'{"image": "@@@@"}', headers=JSON),
    Case("NaN in JSON", 422, "no JSON", data=b'{"image": "", "threshold": NaN}', headers=JSON),
    Case("infinity in JSON", 422, "no JSON", data=b'{"threshold": Infinity}', headers=JSON),
    Case("very deep JSON", 422, "no JSON", data=b"[" * 100_000, headers=JSON),
    Case("no UTF-8", 422, "no JSON", data=b'{"image": "\xff"}', headers=JSON),
    Case("parameters in two places", 422, "in the address", path=f"{SEGMENT}?object=cat",
         data=asked(), headers=JSON),
    Case("an unknown word in JSON", 422, "unknown setting 'thresold'",
         data=asked(thresold=0.5), headers=JSON),
    # parameters
    Case("a threshold that is NaN", 422, "threshold", path=f"{SEGMENT}?threshold=nan"),
    Case("an infinite threshold", 422, "threshold", path=f"{SEGMENT}?threshold=inf"),
    Case("a threshold of 2", 422, "threshold", path=f"{SEGMENT}?threshold=2"),
    Case("a negative threshold", 422, "threshold", path=f"{SEGMENT}?threshold=-0.1"),
    Case("a threshold that is a word", 422, "threshold", path=f"{SEGMENT}?threshold=low"),
    Case("21 thresholds", 422, "threshold", path=SEGMENT + "?" + "&".join(["threshold=0.5"] * 21)),
    Case("a threshold of an unknown part", 422, "car:whel",
         data=asked(threshold={"car:whel": 0.5}), headers=JSON),
    Case("an unknown parameter", 422, "unknown setting 'objet'", path=f"{SEGMENT}?objet=cat"),
    Case("a parameter twice", 422, "2 times", path=f"{SEGMENT}?mask=png&mask=rle"),
    Case("an unknown kind of mask", 422, "mask", path=f"{SEGMENT}?mask=svg"),
    Case("no truth value", 422, "unite", path=f"{SEGMENT}?unite=perhaps"),
    Case("too many alternatives", 422, "alternatives", path=f"{SEGMENT}?alternatives=1000000"),
    Case("an unknown object", 422, "did you mean cat", path=f"{SEGMENT}?object=caat"),
    Case("an object of control characters", 422, "unknown object",
         path=f"{SEGMENT}?object=%00%1b[31m"),
    Case("an object of 10,000 letters", 422, "unknown object",
         path=f"{SEGMENT}?object=" + "x" * 9999),
    # models
    Case("an unknown model", 404, "did you mean seg", path=f"{SEGMENT}?model=sg"),
    Case("an unknown version", 404, "unknown model", path=f"{SEGMENT}?model=seg@000000000000"),
    Case("a model that is a path", 404, "unknown model", path=f"{SEGMENT}?model=../../etc/passwd"),
    Case("a segmenter to classify", 404, "no recognition model", path="/v1/classify"),
    Case("a segmenter to attack", 404, "recognition model", path="/v1/attack?model=seg"),
    Case("an attack of NaN", 422, "eps", path="/v1/attack?eps=nan"),
    Case("a page of an unknown model", 404, "unknown model", path="/v1/models/nobody",
         method="GET"),
    # addresses
    Case("no such page", 404, "Not Found", path="/v2/segment"),
    Case("a page by another way", 405, "Method Not Allowed", method="PUT"),
    Case("up the folders", 404, "Not Found", path="/v1/../../../etc/passwd", method="GET"),
    Case("up the folders in disguise", 404, "", path="/v1/models/..%2f..%2fetc%2fpasswd",
         method="GET"),
    # headers
    Case("a deadline that is NaN", 422, "x-deadline", headers={"X-Deadline-Seconds": "nan"}),
    Case("a deadline that is past", 422, "x-deadline", headers={"X-Deadline-Seconds": "-1"}),
    Case("a deadline that is a word", 422, "x-deadline", headers={"X-Deadline-Seconds": "soon"}),
    Case("a key of 1,000 letters", 422, "idempotency key", headers={"Idempotency-Key": "k" * 1000}),
    # jobs
    Case("a job of no type", 415, "a job is JSON", path="/v1/jobs"),
    Case("a job of a folder outside", 422, "does not lie under", path="/v1/jobs", headers=JSON,
         data=b'{"folder": "photos/../../etc"}'),
    Case("a job of a root that is none", 422, "no root", path="/v1/jobs", headers=JSON,
         data=b'{"folder": "/etc"}'),
    Case("a job of a folder that is not there", 422, "no folder", path="/v1/jobs", headers=JSON,
         data=b'{"folder": "photos/none"}'),
    Case("a job through a link to the outside", 422, "no folder", path="/v1/jobs", headers=JSON,
         data=b'{"folder": "photos/outside"}'),
    Case("a job of nothing", 422, "0 pictures", path="/v1/jobs", headers=JSON, data=b"{}"),
    Case("a job with a picture that climbs", 422, "no name for a picture", path="/v1/jobs",
         headers=JSON, data=pictures("../x.png")),
    Case("a job with a picture that is no picture by its name", 422, "no name", path="/v1/jobs",
         headers=JSON, data=pictures("x.sh")),
    Case("a job with one name twice", 422, "two pictures", path="/v1/jobs", headers=JSON,
         data=pictures("x.png", "x.png")),
    Case("a job of an unknown model", 404, "unknown model", path="/v1/jobs", headers=JSON,
         data=b'{"model": "nobody", "folder": "photos"}'),
    Case("a job with a threshold of NaN", 422, "no JSON", path="/v1/jobs", headers=JSON,
         data=b'{"folder": "photos", "thresholds": {"default": NaN}}'),
    Case("a job up the folders", 404, "Not Found", path="/v1/jobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
         method="GET"),
    Case("a job that nobody sent", 404, "no job", path="/v1/jobs/0123", method="GET"),
]  # fmt: skip


@pytest.fixture(scope="module")
def server(colour_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "photos").mkdir()
    (folder / "photos" / "outside").symlink_to("/etc")
    roots = {"photos": folder / "photos"}
    with serving(Source.of_run(f"seg={colour_run}"), jobs=folder / "jobs", roots=roots) as running:
        yield running


def lives(server: Running) -> None:
    assert server.client.get("/health").json()["status"] == "UP"
    assert server.post(SEGMENT, GOOD).status_code == 200


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_a_bad_request_is_told_what_is_wrong_and_the_server_lives(
    server: Running, case: Case
) -> None:
    headers = {"Content-Type": "image/png", "X-Request-ID": "case-1", **case.headers}
    data = {} if case.method == "GET" else {"content": case.data}
    answer = server.client.request(case.method, case.path, headers=headers, **data)
    assert answer.status_code == case.status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == "case-1"
    error = answer.json()["error"]
    assert error["request_id"] == "case-1"
    assert error["status"] == case.status
    assert case.says in f"{error['cause']} ({error['hint']})"
    assert "Traceback" not in answer.text
    assert len(answer.text) < 20_000
    lives(server)


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 30
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("sent", ["a" * 65, "id with spaces", 'x";drop', "café", ""])
def test_a_number_that_is_none_is_replaced(server: Running, sent: str) -> None:
    """Nobody writes into the log what is no number of a request."""
    headers = {"X-Request-ID": sent.encode()}
    number = server.client.get("/health", headers=headers).headers["x-request-id"]
    assert number != sent
    assert len(number) == 16


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nContent-Length: 7\r\n\r\nabc",
        b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"b" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\nabc",
    ],
)
def test_junk_on_the_wire_does_not_hurt(server: Running, junk: bytes) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as wire:
        answer = b""
        with suppress(OSError):  # it may have hung up already
            wire.sendall(junk)
            wire.shutdown(socket.SHUT_WR)
            answer = wire.recv(1000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    lives(server)


def test_who_falls_silent_is_told_so(colour_run: Path) -> None:
    with serving(Source.of_run(f"seg={colour_run}"), read_s=0.3) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as wire:
            wire.sendall(
                b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
                b"Content-Length: 999\r\n\r\nabc"
            )
            assert wire.recv(1000).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_the_smallest_and_the_thinnest_pictures_are_answered(
    server: Running, size: tuple[int, int]
) -> None:
    answer = server.post(SEGMENT, png(np.zeros((*size, 3))))
    assert answer.status_code == 200
    assert (answer.json()["height"], answer.json()["width"]) == size


def test_every_kind_of_picture_is_read_whatever_it_is_called(
    server: Running, tmp_path: Path
) -> None:
    for kind in ("BMP", "JPEG", "PNG", "TIFF", "WEBP"):
        PillowImage.new("RGB", (20, 10)).save(tmp_path / "x", kind)
        answer = server.post(SEGMENT, (tmp_path / "x").read_bytes())
        assert answer.status_code == 200, kind
