"""Real model servers for tests: uvicorn on a free port in a thread, with small models."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np
from colour_segmenter import COLOURS, INCLUSIONS, NAMES, ColourSegmenter
from PIL import Image as PillowImage

from app.serve.app import create_app
from app.serve.listen import server_of
from app.serve.segmenters import SegmenterModel
from app.serve.settings import ServeSettings
from app.serve.source import Source
from app.serve.state import State
from partlab.parts import Parts
from segmenter.objects import Objects
from segmenter.protocol import Detections, Pixels


@dataclass
class Running:
    """A server at `url`; `state` is what its requests share."""

    url: str
    state: State
    client: httpx.Client

    def post(self, path: str, data: bytes = b"", **how: Any) -> httpx.Response:
        headers = {"Content-Type": "image/png", **how.pop("headers", {})}
        return self.client.post(path, content=data, headers=headers, **how)

    def metric(self, name: str, **labels: str) -> float:
        return self.state.metrics.registry.get_sample_value(name, labels) or 0.0


@contextmanager
def serving(
    *sources: Source, ready: bool = True, proxy: str | None = None, **settings: Any
) -> Iterator[Running]:
    """A server of these models, until the block ends."""
    app = create_app(sources, ServeSettings.model_validate(settings))
    server = server_of(app, "127.0.0.1", 0, proxy=proxy)
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started:
        assert time.monotonic() < until
        assert thread.is_alive()
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    with httpx.Client(base_url=url, timeout=60) as client:
        while ready and not app.state.partlab.models.all_ready:
            assert time.monotonic() < until
            assert app.state.partlab.models.failure is None
            time.sleep(0.01)
        yield Running(url, app.state.partlab, client)
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()


class PacedSegmenter(ColourSegmenter):
    """The colour segmenter that takes its time: so long for a batch, so long for each image.

    Grey of 13 is a picture it fails on. `batches` are the sizes of what it was asked.
    """

    def __init__(self, batch: float = 0.0, each: float = 0.0) -> None:
        super().__init__(Parts.of(NAMES, INCLUSIONS), COLOURS)
        self.batch, self.each = batch, each
        self.batches: list[int] = []

    def predict(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects] | None = None,
        *,
        threshold: float | None = None,
    ) -> list[Detections]:
        self.batches.append(len(images))
        time.sleep(self.batch + self.each * len(images))
        if any((image == 13).all() for image in images):
            raise RuntimeError("this picture breaks the network")
        return super().predict(images, objects, threshold=threshold)


def source_of(segmenter: ColourSegmenter, name: str = "seg") -> Source:
    """A model that is there already."""
    described = {
        "backend": "colour",
        "config": {},
        "names": list(segmenter.names),
        "inclusions": INCLUSIONS,
    }

    def load(name: str, settings: ServeSettings, told: Any) -> SegmenterModel:
        return SegmenterModel(name, segmenter, described, settings.batch, told)

    return Source(name, load)


def png(pixels: Any) -> bytes:
    held = BytesIO()
    PillowImage.fromarray(np.asarray(pixels, np.uint8)).save(held, "PNG")
    return held.getvalue()


def grey(value: int = 100, size: tuple[int, int] = (24, 32)) -> bytes:
    """A picture without parts, (height, width)."""
    return png(np.full((*size, 3), value))


def drawing(folder: Path, object: str = "cat", seed: int = 1) -> bytes:
    """The bytes of a picture of one object."""
    from colour_segmenter import draw

    draw(folder / "one.png", object, seed)
    return (folder / "one.png").read_bytes()
