"""The models that pages use: run folders in this process, or those that a server has.

Nothing is loaded, and torch is not imported, before a page uses a model. Whoever asks for one
that is being loaded waits for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from app.serve.models import Models
from app.serve.segmenters import SegmenterModel, SharedSegmenter
from app.web.recognise import (
    Classes,
    LocalRecogniser,
    MountedRecogniser,
    Recogniser,
    ServedRecogniser,
    png,
    ranked,
)
from partlab.errors import UnknownNameError
from partlab.parts import Parts
from segmenter.origin import RunFolder
from segmenter.protocol import Pixels, Segmenter
from segmenter.remote import Server, connect
from segmenter.thresholds import Thresholds
from segmenter.tuning.file import own_of


@dataclass(frozen=True)
class Known:
    """What is known of a model before it is loaded: where it is, and what it can find.

    `tuned`: the thresholds that a tuning left with it.
    """

    name: str
    place: str
    parts: Parts = field(default_factory=lambda: Parts.of(()))
    served: bool = False
    tuned: Thresholds | None = None


class Shelf(Protocol):
    """Models by name; `at_once` pieces of work may use them at the same time."""

    at_once: int

    def segmenters(self) -> Mapping[str, Known]:
        """Those there are now; errors say that a server is not there."""
        ...

    def recognition(self) -> Mapping[str, Known]:
        """Likewise."""
        ...

    def segmenter(self, name: str) -> Segmenter:
        """Loaded.

        Raises:
            UnknownNameError: there is none of that name.
            PartlabError: it cannot be loaded, or its server does not answer.
        """
        ...

    def classify(self, name: str, pixels: Pixels) -> Classes:
        """What a recognition model says of a picture (height, width, 3); errors likewise."""
        ...

    def recogniser(self, name: str) -> Recogniser:
        """A recognition model to attack and to ask for its parts; errors likewise."""
        ...


@dataclass
class Kept:
    """What was loaded, once each; another thread that wants the same waits."""

    _values: dict[str, Any] = field(default_factory=dict)
    _locks: dict[str, Lock] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: str, load: Callable[[], Any]) -> Any:
        """The value of this key; `load` makes it when it is first asked for."""
        with self._lock:
            own = self._locks.setdefault(key, Lock())
        with own:
            if key not in self._values:
                self._values[key] = load()
            return self._values[key]


@dataclass
class LocalShelf:
    """Run folders and exported models of this machine, by name."""

    runs: Mapping[str, Path]
    models: Mapping[str, Path]
    device: str | None = None
    at_once: int = 1
    _kept: Kept = field(default_factory=Kept)

    def segmenters(self) -> Mapping[str, Known]:
        """The runs; their settings are read, not their weights."""
        return {name: self._known(name) for name in self.runs}

    def _known(self, name: str) -> Known:
        def read() -> Known:
            run = RunFolder(self.runs[name])
            described = run.description()
            parts = Parts.of(described["names"], described.get("inclusions"))
            return Known(name, run.place, parts, tuned=own_of(described))

        found: Known = self._kept.get(f"known {name}", read)
        return found

    def recognition(self) -> Mapping[str, Known]:
        """The recognition models."""
        return {name: Known(name, str(path)) for name, path in self.models.items()}

    def segmenter(self, name: str) -> Segmenter:
        """See `Shelf.segmenter`."""
        run = _one(self.runs, name, "segmenter")
        found: Segmenter = self._kept.get(name, lambda: RunFolder(run).load("best", self.device))
        return found

    def classify(self, name: str, pixels: Pixels) -> Classes:
        """See `Shelf.classify`."""
        found = self.recogniser(name)
        return found.classify(found.opened.seen(pixels))

    def recogniser(self, name: str) -> LocalRecogniser:
        """See `Shelf.recogniser`."""
        path = _one(self.models, name, "recognition model")

        def load() -> LocalRecogniser:
            from train.evaluate.opened import open_model

            return LocalRecogniser(name, open_model(path, device=self.device))

        found: LocalRecogniser = self._kept.get(f"open {path}", load)
        return found


@dataclass
class ServerShelf:
    """The models of `partlab serve` at `url`."""

    url: str
    patience: float = 10.0
    at_once: int = 8  # which the server looks at together
    _kept: Kept = field(default_factory=Kept)

    def __post_init__(self) -> None:
        import os

        from segmenter.remote import KEY

        self.server = Server(self.url, os.environ.get(KEY), self.patience)

    def segmenters(self) -> Mapping[str, Known]:
        """What the server has now."""
        return self._of_kind("segmenter")

    def recognition(self) -> Mapping[str, Known]:
        """Likewise."""
        return self._of_kind("recognition")

    def _of_kind(self, kind: str) -> Mapping[str, Known]:
        found = self.server.get("/v1/models")["models"]
        names = dict.fromkeys(each["name"] for each in found if each["kind"] == kind)
        return {name: self._known(name) for name in names}

    def _known(self, name: str) -> Known:
        about = self.server.get(f"/v1/models/{name}")
        parts = Parts.of(about.get("parts") or ())
        tuned = own_of(about.get("description") or {}, str(about.get("checkpoint")))
        return Known(name, self.server.url, parts, served=True, tuned=tuned)

    def segmenter(self, name: str) -> Segmenter:
        """See `Shelf.segmenter`; the version it has now, so that a new one is used at once."""
        origin = connect(self.url, model=name, patience=self.patience)
        return origin.load(str(origin.about["checkpoint"]), None)

    def classify(self, name: str, pixels: Pixels) -> Classes:
        """See `Shelf.classify`."""
        found = self.server.post(
            "/v1/classify",
            params={"model": name, "top": 1000},
            content=png(pixels),
            headers={"Content-Type": "image/png"},
        )
        return {each["name"]: float(each["probability"]) for each in found["classes"]}

    def recogniser(self, name: str) -> ServedRecogniser:
        """See `Shelf.recogniser`."""
        return ServedRecogniser(self.server, name)


@dataclass
class MountedShelf:
    """The models of the server that the app is mounted on."""

    models: Models
    at_once: int = 8

    def segmenters(self) -> Mapping[str, Known]:
        """Those that are ready."""
        ready = [each for each in self.models.ready if isinstance(each, SegmenterModel)]
        return {each.name: _mounted(each) for each in ready}

    def recognition(self) -> Mapping[str, Known]:
        """Those that are ready."""
        ready = [each for each in self.models.ready if each.kind == "recognition"]
        return {each.name: Known(each.name, "", served=True) for each in ready}

    def segmenter(self, name: str) -> Segmenter:
        """See `Shelf.segmenter`; it takes its turn among the requests."""
        return SharedSegmenter(self.models.find(name, "segmenter"))

    def classify(self, name: str, pixels: Pixels) -> Classes:
        """See `Shelf.classify`."""
        model = self.models.find(name, "recognition")
        return ranked(model.classes, model.classify(model.seen(pixels)).result())

    def recogniser(self, name: str) -> MountedRecogniser:
        """See `Shelf.recogniser`."""
        model = self.models.find(name, "recognition")
        return MountedRecogniser(model, self.models.settings.attack_steps)


def _mounted(model: SegmenterModel) -> Known:
    tuned = own_of(model.description, model.checkpoint)
    return Known(model.name, "", model.segmenter.parts, served=True, tuned=tuned)


def _one(there: Mapping[str, Path], name: str, what: str) -> Path:
    if name not in there:
        raise UnknownNameError(what, name, there)
    return there[name]
