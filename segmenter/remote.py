"""A segmenter that runs elsewhere: the same protocol, over the server of `partlab serve`.

Pictures travel as PNG and detections as run lengths and 32-bit floats, so nothing is lost: masks
and scores are those that the network gives there. Each picture is a request of its own, and the
server puts together what arrives together.
"""

import base64
import logging
import os
import uuid
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import httpx
import numpy as np
from PIL import Image as PillowImage
from pydantic import Field
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay

from partlab.config import Config
from partlab.errors import (
    BackendUnavailableError,
    ConfigError,
    DatasetError,
    NotFoundError,
    PartlabError,
)
from partlab.parts import Parts
from segmenter.objects import Objects, allowed_each
from segmenter.protocol import Detections, Pixels, Segmenter, SegmenterBase

log = logging.getLogger(__name__)

KEY = "PARTLAB_SERVE_KEY"
"""The key that a server asks for, where it asks for one."""
PATIENCE = 120.0  # seconds of trying again, for one picture
_AT_ONCE = 8  # requests under way, which the server looks at together
_AGAIN = frozenset({408, 429, 502, 503, 504})
_ERRORS = {403: BackendUnavailableError, 404: NotFoundError, 422: ConfigError, 413: DatasetError}


class RemoteConfig(Config):
    """The settings of the served network, as its server tells them."""

    settings: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class ServedOrigin:
    """A model of a server: what is known of it, and the way to use it."""

    server: "Server"
    about: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """What the server calls it."""
        return str(self.about["name"])

    @property
    def place(self) -> str:
        """Address and name."""
        return f"{self.server.url}/{self.name}"

    def description(self) -> dict[str, Any]:
        """`backend`, `config`, `names` and `inclusions`."""
        return dict(self.about["description"])

    def weights_sha256(self, checkpoint: str) -> str:
        """Of the weights that are served.

        Raises:
            ConfigError: another checkpoint is asked for than the one that is served.
        """
        if checkpoint != self.about["checkpoint"]:
            raise ConfigError(
                f"{self.place} serves the checkpoint {self.about['checkpoint']!r}, not "
                f"{checkpoint!r}",
                hint="leave --checkpoint out; the server decides it",
            )
        return str(self.about["weights_sha256"])

    def load(self, checkpoint: str, device: str | None) -> Segmenter:
        """The segmenter; the server has it loaded already, on a device of its own."""
        self.weights_sha256(checkpoint)
        if device is not None and device != "cpu":
            log.warning("%s: --device %s is not read, the server decides", self.place, device)
        return RemoteSegmenter(self.server, self.about)


def connect(
    url: str, *, model: str | None = None, key: str | None = None, patience: float | None = None
) -> ServedOrigin:
    """A segmenter of the server at `url`: the one called `model`, or its only one.

    `key` is taken from PARTLAB_SERVE_KEY unless given.

    Raises:
        NotFoundError: the server has no such segmenter.
        BackendUnavailableError: no server answers, or it wants a key.
        ConfigError: the address is none, or the server has several and none is named.
    """
    server = Server(url, key or os.environ.get(KEY), patience)
    path = "/v1/models" if model is None else f"/v1/models/{model}"
    found = server.get(path)
    if model is None:
        found = server.get(f"/v1/models/{_only(found['models'], server.url)}")
    if found["kind"] != "segmenter":
        raise NotFoundError(f"{server.url}: {model} is no segmenter but a {found['kind']} model")
    return ServedOrigin(server, found)


def _only(models: Sequence[dict[str, Any]], url: str) -> str:
    named = [f"{each['name']}@{each['version']}" for each in models if each["kind"] == "segmenter"]
    if len(named) != 1:
        what = "no segmenter" if not named else f"{len(named)} segmenters"
        hint = f"name one with --model: {', '.join(named)}" if named else "serve one: partlab serve"
        raise (ConfigError if named else NotFoundError)(f"{url} serves {what}", hint=hint)
    return named[0]


class Server:
    """Requests to one server, tried again while that may help; threads may share it.

    A repeated request carries the same idempotency key, so nothing is done twice.
    """

    def __init__(self, url: str, key: str | None = None, patience: float | None = None) -> None:
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ConfigError(f"--server {url!r} is no address: {error}") from None
        if address.scheme not in ("http", "https") or not address.host:
            raise ConfigError(
                f"--server {url!r} is no address", hint="such as http://127.0.0.1:8600"
            )
        self.url = url.rstrip("/")
        self.patience = PATIENCE if patience is None else patience
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(300.0, connect=10.0)
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=timeout)

    def get(self, path: str) -> Any:
        """The answer to a GET request, from JSON."""
        return self._ask("GET", path)

    def post(self, path: str, **how: Any) -> Any:
        """The answer to a POST request, from JSON."""
        return self._ask("POST", path, **how)

    def _ask(self, method: str, path: str, **how: Any) -> Any:
        headers = {**how.pop("headers", {}), "Idempotency-Key": uuid.uuid4().hex}
        tries = Retrying(
            retry=retry_if_exception(_may_pass),
            wait=_pause,
            stop=stop_after_delay(self.patience),
            reraise=True,
        )
        try:
            for attempt in tries:
                with attempt:
                    answer = self._client.request(method, path, headers=headers, **how)
                    answer.raise_for_status()
                    return answer.json()
        except httpx.HTTPStatusError as error:
            raise self._refusal(error.response) from error
        except (httpx.TransportError, ValueError) as error:
            raise BackendUnavailableError(
                f"no model server answers at {self.url}: {error or type(error).__name__}",
                hint="is it running (partlab serve RUN), and is that its address?",
            ) from error
        raise AssertionError("unreachable")

    def _refusal(self, answer: httpx.Response) -> PartlabError:
        try:
            told = answer.json()["error"]
            cause, hint = str(told["cause"]), told.get("hint")
            number = told.get("request_id")
        except (ValueError, KeyError, TypeError):
            cause, hint, number = f"HTTP {answer.status_code}", None, None
        if answer.status_code == 401:
            return BackendUnavailableError(
                f"{self.url} does not take the key (401)",
                hint=f"put a key of that server into {KEY}",
            )
        kind = _ERRORS.get(answer.status_code, PartlabError)
        return kind(f"{self.url}: {cause} (request {number})", hint=hint)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _AGAIN
    return isinstance(error, httpx.TransportError) and not isinstance(
        error, httpx.UnsupportedProtocol
    )


def _pause(state: RetryCallState) -> float:
    """What the server asks for, else half a second and more each time."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, httpx.HTTPStatusError):
        told = error.response.headers.get("Retry-After", "")
        if told.isdigit():
            return min(float(told), 60.0)
    return min(0.25 * 2.0**state.attempt_number, 10.0)


class RemoteSegmenter(SegmenterBase):
    """`Segmenter` on a server; it goes on asking for the version it was made with."""

    def __init__(self, server: Server, about: dict[str, Any]) -> None:
        described = about["description"]
        self.server, self.model = server, f"{about['name']}@{about['version']}"
        self.parts = Parts.of(described["names"], described.get("inclusions"))
        self.config: Config = RemoteConfig(settings=described["config"])

    def predict(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects] | None = None,
        *,
        threshold: float | None = None,
    ) -> list[Detections]:
        """See `Segmenter.predict`.

        Raises:
            BackendUnavailableError: the server does not answer, or refuses the key.
            PartlabError: the server refuses the request.
        """
        allowed = allowed_each(self.parts, objects, len(images))
        each = [None] * len(images) if objects is None else list(objects)
        asked = [
            (image, named, threshold)
            for image, named, own in zip(images, each, allowed, strict=True)
            if own != ()
        ]
        found = self._all(asked)
        nothing = _nothing(len(self.names))
        return [nothing if own == () else next(found) for own in allowed]

    def _all(self, asked: Sequence[tuple[Pixels, Objects, float | None]]) -> Iterator[Detections]:
        if len(asked) < 2:
            return iter([self._ask(*each) for each in asked])
        with ThreadPoolExecutor(min(len(asked), _AT_ONCE)) as threads:
            return iter(list(threads.map(lambda each: self._ask(*each), asked)))

    def _ask(self, pixels: Pixels, objects: Objects, threshold: float | None) -> Detections:
        names = [objects] if isinstance(objects, str) else list(objects or ())
        query: dict[str, Any] = {"model": self.model, "object": names}
        if threshold is not None:
            query["threshold"] = threshold
        found = self.server.post(
            "/v1/detect", params=query, content=_png(pixels), headers={"Content-Type": "image/png"}
        )
        return unpacked(found, len(self.names))


def _png(pixels: Pixels) -> bytes:
    held = BytesIO()
    PillowImage.fromarray(pixels).save(held, "PNG", compress_level=1)
    return held.getvalue()


def packed(found: Detections) -> dict[str, Any]:
    """Detections for JSON: numbers as zlib of little-endian bytes in base64, masks as they are."""
    return {
        "labels": found.labels.tolist(),
        "boxes": _packed(found.boxes),
        "scores": _packed(found.scores),
        "probabilities": _packed(found.probabilities),
        "masks": found.masks,
    }


def unpacked(told: dict[str, Any], names: int) -> Detections:
    """The detections that `packed` wrote, bit for bit; `names` is how many labels there are."""
    return Detections(
        _unpacked(told["boxes"]).reshape(-1, 4),
        np.array(told["labels"], np.int64),
        _unpacked(told["scores"]),
        _unpacked(told["probabilities"]).reshape(-1, names),
        [{"size": list(each["size"]), "counts": each["counts"]} for each in told["masks"]],
    )


def _packed(values: Any) -> str:
    return base64.b64encode(zlib.compress(np.asarray(values, "<f4").tobytes(), 1)).decode()


def _unpacked(text: str) -> Any:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<f4").astype(np.float32)


def _nothing(names: int) -> Detections:
    none = np.zeros(0, np.float32)
    return Detections(none.reshape(0, 4), np.zeros(0, np.int64), none, none.reshape(0, names), [])
