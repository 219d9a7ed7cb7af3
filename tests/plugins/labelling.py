"""What Label Studio sends to an ML backend, for tests that play its part."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from colour_segmenter import COLOURS, NAMES
from PIL import Image as PillowImage

from annotate.studio.spelling.interface import asking
from annotate.studio.spelling.labelconfig import label_config
from annotate.studio.spelling.mark import marked
from annotate.vocabulary import ObjectParts, Part

CAT = ObjectParts(name="cat", parts=(Part(id="h", name="head"), Part(id="ear", name="ear")))
SIZE = (60, 40)
HEAD, EAR = (10, 10, 30, 30), (12, 2, 20, 8)  # left, top, right, bottom
PROJECT = "6.1795297937"


def interface(**facts: Any) -> str:
    """A project's, with the tools that ask, connected unless `facts` say otherwise."""
    about = {"work": "w", "kind": "annotate", "object": "cat", "round": 1, "help": "cat"} | facts
    kept = {name: value for name, value in about.items() if value is not None}
    return marked(asking(label_config(CAT), on=True), kept)


def cat_picture(path: Path, **how: Any) -> Path:
    """A head and an ear of a cat, plain; `how` goes to Pillow's `save`."""
    picture = PillowImage.new("RGB", SIZE, (120, 120, 120))
    for part, box in (("cat:head", HEAD), ("cat:ear", EAR)):
        picture.paste(tuple(int(c) for c in COLOURS[NAMES.index(part)]), box)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **how)
    return path


def task(image: str, id: int = 1, **data: Any) -> dict[str, Any]:
    about = {"image": image, "object": "cat", "partlab": "w"} | data
    return {"id": id, "data": about, "annotations": [], "predictions": []}


def predict(*tasks: dict[str, Any], context: Any = None, xml: str | None = None) -> dict[str, Any]:
    """The body of `/predict`."""
    params = {"login": None, "password": None, "context": context}
    config = interface() if xml is None else xml
    return {"tasks": list(tasks), "project": PROJECT, "label_config": config, "params": params}


def setup(url: str, token: str = "t", xml: str | None = None) -> dict[str, Any]:
    """The body of `/setup`."""
    schema = interface() if xml is None else xml
    known = {"project": PROJECT, "hostname": url, "access_token": token, "extra_params": None}
    return {"schema": schema, **known}


def click(
    x: float, y: float, label: str | None = "h", *, positive: bool = True, id: str = "k1"
) -> dict[str, Any]:
    """A click at a place in pixels, as the page sends it."""
    value = {"x": 100 * x / SIZE[0], "y": 100 * y / SIZE[1], "width": 0.3}
    about = {"id": id, "from_name": "click", "to_name": "image", "type": "keypoint"}
    sizes = {"original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0}
    labels = {"labels": [label]} if label else {}
    return {**about, **sizes, "is_positive": positive, "value": {**value, **labels}}


def box(x1: float, y1: float, x2: float, y2: float, label: str | None = "h") -> dict[str, Any]:
    """A box in pixels, as the page sends it."""
    value = {"x": 100 * x1 / SIZE[0], "y": 100 * y1 / SIZE[1], "rotation": 0}
    value |= {"width": 100 * (x2 - x1) / SIZE[0], "height": 100 * (y2 - y1) / SIZE[1]}
    about = {"id": "b1", "from_name": "box", "to_name": "image", "type": "rectangle"}
    sizes = {"original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0}
    labels = {"labels": [label]} if label else {}
    return {**about, **sizes, "value": {**value, **labels}}


@dataclass
class PictureServer:
    """A Label Studio or a web server as far as pictures go; `asked` are paths with their tokens.

    `answers` are bodies by path, or another address to be sent on to. Where `token` is set, it or
    an access token of it has to come along; an access token is good for `uses` requests.
    """

    url: str = ""
    answers: dict[str, bytes | str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    token: str | None = None
    uses: int = 1
    given: int = 0
    _left: dict[str, int] = field(default_factory=dict)

    def answer(self, method: str, path: str, sent: str) -> tuple[int, bytes, dict[str, str]]:
        self.asked.append((path, sent))
        if method == "POST" and path == "/api/token/refresh/":
            self.given += 1
            self._left[f"Bearer access-{self.given}"] = self.uses
            return 200, json.dumps({"access": f"access-{self.given}"}).encode(), {}
        if self.token is not None and sent != f"Token {self.token}":
            if self._left.get(sent, 0) <= 0:
                return 401, b'{"detail": "Invalid token."}', {}
            self._left[sent] -= 1
        found = self.answers.get(path)
        if isinstance(found, str):
            return 302, b"", {"Location": found}
        return (404, b"", {}) if found is None else (200, found, {})


@contextmanager
def picture_server() -> Iterator[PictureServer]:
    """One that runs, on a port of its own."""
    state = PictureServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            sent = self.headers.get("Authorization") or ""
            status, body, headers = state.answer(self.command, self.path, sent)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield state
        server.shutdown()
