"""Recognition models as pages use them: a picture before and after an attack, and its part maps.

In this process, on a server, or of the server that the app is mounted on: the same answers.
"""

import base64
import copy
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from partlab.errors import ConfigError, NotFoundError
from partlab.progress import event, track
from segmenter.protocol import Pixels
from segmenter.remote import Server

if TYPE_CHECKING:
    from app.serve.recognition import Pgd, RecognitionModel
    from train.attacks.ball import Norm
    from train.evaluate.opened import Opened

T = TypeVar("T")
Classes = dict[str, float]
"""Probability by class, likeliest first."""
_EVERY = 0.25  # seconds between two looks at what is waited for
_ALL = 10_000  # classes that a server tells of at most


@dataclass(frozen=True, slots=True)
class Trial:
    """What is done to a picture: PGD in a ball of `eps` (colours of 0…1), or a corruption.

    PGD drives away from the class `label` where the model has it, else from its own answer.
    """

    attack: Literal["pgd", "corruption"] = "pgd"
    norm: "Norm" = "linf"
    eps: float = 4 / 255
    steps: int = 20
    seed: int = 0
    corruption: str = "fog"
    severity: int = 3
    label: str | None = None

    def away_from(self, before: Classes) -> str:
        """The class that is driven away from."""
        return self.label if self.label in before else next(iter(before))


@dataclass(frozen=True, slots=True)
class Tried:
    """One model, one picture: `clean` and `attacked` (size, size, 3) are what the model saw.

    `first_error` is the step of PGD at which it first erred, -1 if it never did, None where
    nothing was searched for.
    """

    clean: Pixels
    attacked: Pixels
    label: str
    before: Classes
    after: Classes
    first_error: int | None = None

    @property
    def right(self) -> bool:
        """Whether it named the label before."""
        return next(iter(self.before)) == self.label

    @property
    def fooled(self) -> bool:
        """Whether it names another class than the label now."""
        return next(iter(self.after)) != self.label


@dataclass(frozen=True, slots=True)
class PartMaps:
    """Where a model sees which part: `cells` (h, w) each, fine to coarse.

    0 is background, n is `names[n - 1]`.
    """

    names: tuple[str, ...]
    cells: tuple[NDArray[np.integer[Any]], ...]


class Recogniser(Protocol):
    """One recognition model. While it works it tells how far it is, and there it can be stopped."""

    def tried(self, pixels: Pixels, trial: Trial) -> Tried:
        """A picture (H, W, 3) as the model sees it, before and after.

        Raises:
            PartlabError: the trial makes no sense, or a server refuses it or is away.
        """
        ...

    def parts(self, seen: Pixels) -> PartMaps | None:
        """The part maps of what `tried` gave, pixel for pixel; None without part outputs."""
        ...


def ranked(classes: Sequence[str], values: NDArray[np.float32]) -> Classes:
    """Probabilities (C,) by class, likeliest first."""
    return {classes[at]: float(values[at]) for at in np.argsort(-values, kind="stable").tolist()}


def png(pixels: Pixels) -> bytes:
    """Lossless."""
    held = BytesIO()
    PillowImage.fromarray(pixels).save(held, "PNG", compress_level=1)
    return held.getvalue()


def waited(future: Future[T], words: str) -> T:
    """What comes of work elsewhere; it is told how long that takes, and given up if cancelled."""
    began = monotonic()
    try:
        while True:
            try:
                return future.result(_EVERY)
            except TimeoutError:
                if future.done():
                    raise
                event("step", words=f"{words}: {monotonic() - began:.0f} s")
    except BaseException:
        future.cancel()
        raise


@dataclass
class LocalRecogniser:
    """A model in this process; attacks have a copy of its network for themselves."""

    name: str
    opened: "Opened"
    _lock: Lock = field(default_factory=Lock)

    @cached_property
    def _victim(self) -> Any:
        return copy.deepcopy(self.opened.network).requires_grad_(False)

    def classify(self, seen: Pixels) -> Classes:
        """Of what the network sees, (size, size, 3)."""
        import torch

        with torch.inference_mode():
            logits = self.opened.network(self.opened.tensor([seen]))
            found = logits.float().softmax(1)[0].cpu().numpy()
        return ranked(self.opened.classes, found)

    def tried(self, pixels: Pixels, trial: Trial) -> Tried:
        """See `Recogniser.tried`."""
        seen = self.opened.seen(pixels)
        before = self.classify(seen)
        label = trial.away_from(before)
        if trial.attack == "pgd":
            attacked, first = self._pgd(seen, _pgd(trial, self.opened.classes.index(label)))
        else:
            attacked, first = _corrupted(seen, trial), None
        return Tried(seen, attacked, label, before, self.classify(attacked), first)

    def _pgd(self, seen: Pixels, how: "Pgd") -> tuple[Pixels, int]:
        from app.serve.recognition import attacked

        with self._lock, _told(self._victim, how.steps, self.name):
            found = attacked(self.opened, self._victim, seen, how)
        return found.seen, found.steps

    def parts(self, seen: Pixels) -> PartMaps | None:
        """See `Recogniser.parts`."""
        import torch

        from app.serve.recognition import explained, names_of_parts

        names = names_of_parts(self.opened.network)
        if not names:
            return None
        with torch.inference_mode():
            found = explained(self.opened.network, self.opened.tensor([seen]))[0]
        return PartMaps(names, found.cells)


@contextmanager
def _told(network: Any, steps: int, name: str) -> Iterator[None]:
    """Each pass through the network is told; where it was cancelled, the pass is not made."""
    passes = steps + 3  # one before, one of the last point, one that judges it
    ticks = track(range(passes), f"attacking {name}, passes through it", passes)

    def tick(*_: Any) -> None:
        next(ticks, None)

    handle = network.register_forward_pre_hook(tick)
    try:
        yield
    finally:
        handle.remove()


def _pgd(trial: Trial, label: int) -> "Pgd":
    from app.serve.recognition import Pgd
    from train.attacks.ball import Ball

    return Pgd(label, Ball(trial.norm, trial.eps), trial.steps, trial.seed)


def _corrupted(seen: Pixels, trial: Trial) -> Pixels:
    from app.serve.recognition import corrupted

    return corrupted(seen, trial.corruption, trial.severity, trial.seed)


@dataclass
class MountedRecogniser:
    """A model of the server that the app is mounted on; it takes its turn among the requests."""

    model: "RecognitionModel"
    most: int  # steps of an attack

    def tried(self, pixels: Pixels, trial: Trial) -> Tried:
        """See `Recogniser.tried`."""
        seen = self.model.seen(pixels)
        before = self._classes(seen)
        label = trial.away_from(before)
        attacked, first = self._done(seen, label, trial)
        return Tried(seen, attacked, label, before, self._classes(attacked), first)

    def _classes(self, seen: Pixels) -> Classes:
        found = waited(self.model.classify(seen), f"waiting for {self.model.name}")
        return ranked(self.model.classes, found)

    def _done(self, seen: Pixels, label: str, trial: Trial) -> tuple[Pixels, int | None]:
        if trial.attack == "corruption":
            return _corrupted(seen, trial), None
        if self.model.attacker is None:
            raise ConfigError("this server attacks nothing", hint="it was started so")
        if trial.steps > self.most:
            raise ConfigError(f"{trial.steps} steps are more than this server takes, {self.most}")
        how = _pgd(trial, self.model.classes.index(label))
        found = waited(self.model.attack(seen, how), f"attacking {self.model.name}")
        return found.seen, found.steps

    def parts(self, seen: Pixels) -> PartMaps | None:
        """See `Recogniser.parts`."""
        if not self.model.part_names:
            return None
        found = waited(self.model.explain(seen), f"asking {self.model.name} for parts")
        return PartMaps(self.model.part_names, found.cells)


_asking = ThreadPoolExecutor(8, "asking a server")


@dataclass
class ServedRecogniser:
    """A model of a server elsewhere."""

    server: Server
    name: str

    def tried(self, pixels: Pixels, trial: Trial) -> Tried:
        """See `Recogniser.tried`."""
        known = self.server.get(f"/v1/models/{self.name}")["classes"]
        label = trial.label if trial.label in known else None
        told = self._post("/v1/attack", pixels, f"attacking {self.name}", _asked(trial, label))
        return Tried(
            _pixels(told["clean_png"]),
            _pixels(told["png"]),
            str(told["label"]),
            _classes(told["clean"]),
            _classes(told["attacked"]),
            told["how"].get("first_error"),
        )

    def parts(self, seen: Pixels) -> PartMaps | None:
        """See `Recogniser.parts`."""
        words, asked = f"asking {self.name} for parts", {"as_seen": "true", "top": 1}
        try:
            told = self._post("/v1/explain", seen, words, asked)
        except NotFoundError:  # it has no part outputs
            return None
        cells = tuple(_pixels(each["png"]).astype(np.int64) for each in told["maps"])
        return PartMaps(tuple(told["names"]), cells)

    def _post(self, path: str, pixels: Pixels, words: str, asked: Mapping[str, Any]) -> Any:
        def ask() -> Any:
            return self.server.post(
                path,
                params={"model": self.name, **asked},
                content=png(pixels),
                headers={"Content-Type": "image/png"},
            )

        return waited(_asking.submit(ask), words)


def _asked(trial: Trial, label: str | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"attack": trial.attack, "seed": trial.seed, "top": _ALL}
    if label is not None:
        asked["label"] = label
    if trial.attack == "pgd":
        return asked | {"norm": trial.norm, "eps": trial.eps, "steps": trial.steps}
    return asked | {"corruption": trial.corruption, "severity": trial.severity}


def _classes(told: Sequence[Mapping[str, Any]]) -> Classes:
    return {str(each["name"]): float(each["probability"]) for each in told}


def _pixels(text: str) -> Pixels:
    with PillowImage.open(BytesIO(base64.b64decode(text))) as picture:
        found: Pixels = np.asarray(picture)
    return found
