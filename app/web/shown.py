"""Pictures and files that pages show and offer: in memory, bounded, by the hash of their bytes.

No page writes a file for the browser, and no folder is ever opened to it: what is shown was put
here by a page, and the oldest goes when there is too much.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from io import BytesIO
from threading import Lock
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from PIL import Image as PillowImage

from segmenter.protocol import Pixels

_KINDS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "zip": "application/zip",
    "py": "text/plain; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
}
_FOLDER = "shown"


@dataclass
class Shown:
    """What the browser may ask for, up to `most` bytes."""

    most: int = 256 << 20
    size: int = 0
    _kept: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def put(self, data: bytes, name: str) -> str:
        """Keep a file; its address, relative to every page. `name` is what it is saved as."""
        key = hashlib.sha256(data).hexdigest()[:32]
        with self._lock:
            if key not in self._kept:
                self._kept[key] = data
                self.size += len(data)
            self._kept.move_to_end(key)
            while self.size > self.most and len(self._kept) > 1:
                self.size -= len(self._kept.popitem(last=False)[1])
        return f"{_FOLDER}/{key}/{quote(name, safe='')}"

    def picture(self, pixels: Pixels, name: str = "picture.png") -> str:
        """Keep pixels (height, width, 3) or (height, width) as a PNG, lossless (SV-17)."""
        held = BytesIO()
        PillowImage.fromarray(pixels).save(held, "PNG", compress_level=1)
        return self.put(held.getvalue(), name)

    def router(self, base: str) -> APIRouter:
        """The routes that answer with what is kept."""
        router = APIRouter(include_in_schema=False)

        @router.get(f"{base}/{_FOLDER}/{{key}}/{{name}}")
        def shown(key: str, name: str) -> Response:
            with self._lock:
                data = self._kept.get(key)
            if data is None:
                return PlainTextResponse("this is not kept any more: make it again\n", 404)
            kind = _KINDS.get(name.rpartition(".")[2].lower(), "application/octet-stream")
            headers = {"Cache-Control": "private, max-age=86400, immutable"}
            return Response(data, media_type=kind, headers=headers)

        return router
