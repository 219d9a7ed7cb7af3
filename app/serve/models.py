"""What is served: models by name and version, loaded beside the server's own thread."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from time import sleep
from typing import TYPE_CHECKING, Any

import numpy as np

from app.serve.batcher import Batcher, QueueFullError
from app.serve.held import Held, end
from app.serve.served import Kind, Served, Told, version_of
from app.serve.settings import BatchLimits, ServeSettings
from partlab.config import Config
from partlab.errors import ConfigError, NotFoundError, SchemaError, UnknownNameError
from partlab.folders import is_work
from partlab.training.runs import read_config
from segmenter.objects import Objects
from segmenter.origin import RunFolder
from segmenter.predictor import PredictionSettings, Predictor
from segmenter.prompt.cache import DEFAULT_BYTES
from segmenter.protocol import Detections, Pixels, Segmenter, SegmenterBase
from segmenter.tuning.file import with_own

if TYPE_CHECKING:
    from app.serve.following import Following
    from segmenter.prompt import Prompter, Prompts

log = logging.getLogger(__name__)
Load = Callable[[str, ServeSettings, Told], Served]
_PROMPT = object()
_GREY = np.full((64, 96, 3), 128, np.uint8)


@dataclass(frozen=True, slots=True)
class Source:
    """A model that is to be served: its name, and what loads it.

    `newest`, of a model that may become another while it is served, says which it is by now;
    `earlier` gives what loads the version that a server called so, None if there was none.
    """

    name: str
    load: "Load"
    newest: Callable[[], str] | None = None
    earlier: "Callable[[str], Load | None] | None" = None

    @classmethod
    def of_run(cls, run: str, *, checkpoint: str = "best", device: str | None = None) -> "Source":
        """A run folder, an exported recognition model, or NAME=FOLDER to call it otherwise.

        Of an annotation work its loop's version, now and as it changes (`app.serve.following`).

        Raises:
            ConfigError: a name that could not stand in an address.
        """
        name, equals, folder = run.partition("=")
        if not equals or Path(run).exists():
            name, folder = Path(run).resolve().name, run
        if not name or set(name) & set("/@?#%:") or name != name.strip():
            raise ConfigError(
                f"{name!r} cannot be a model's name", hint="name it without / @ ? # % and colons"
            )
        if is_work(folder):
            from app.serve.following import LoopOf

            loop = LoopOf(Path(folder), device)
            return cls(name, loop, loop.newest, loop.earlier)
        return cls(name, RunOf(Path(folder), checkpoint, device))


@dataclass(frozen=True, slots=True)
class RunOf:
    """A run folder of either kind, or an exported recognition model."""

    folder: Path
    checkpoint: str
    device: str | None

    def __call__(self, name: str, settings: ServeSettings, told: Told) -> Served:
        """Load it; errors are those of `segmenter.origin` and `train.evaluate.opened`."""
        described = read_config(self.folder)
        if described is None and not (self.folder / "card.json").is_file():
            none = f"{self.folder} is no run and no exported model (no config.json, no card.json)"
            raise NotFoundError(
                none if self.folder.exists() else f"there is no folder {self.folder}",
                hint="name a folder that partlab segmenter train, partlab train run or partlab "
                "train export wrote",
            )
        kind = "recognition" if described is None else described.get("kind", "segmenter")
        if kind == "segmenter":
            return self._segmenter(name, settings, told)
        if kind != "recognition":
            raise SchemaError(f"{self.folder} is a run of kind {kind}, which cannot be served")
        from app.serve.recognition import RecognitionModel
        from train.evaluate.opened import open_model

        opened = open_model(self.folder, checkpoint=self.checkpoint, device=self.device)
        return RecognitionModel(name, opened, settings, told)

    def _segmenter(self, name: str, settings: ServeSettings, told: Told) -> "SegmenterModel":
        origin = RunFolder(self.folder)
        facts = told_of(origin)
        loaded = origin.load(self.checkpoint, self.device)
        weights = origin.weights_sha256(self.checkpoint)
        kept = settings.help.cache_bytes
        return SegmenterModel(
            name, loaded, facts, settings.batch, told, self.checkpoint, weights, kept
        )


def told_of(origin: RunFolder) -> dict[str, Any]:
    """What a server tells of a run; its version changes with it."""
    whole = origin.description()
    told = {key: whole.get(key) for key in ("backend", "config", "names", "inclusions")}
    return told | ({"tuning": whole["tuning"]} if "tuning" in whole else {})


class SegmenterModel:
    """A segmenter behind a batcher."""

    kind: Kind = "segmenter"

    def __init__(
        self,
        name: str,
        segmenter: Segmenter,
        description: dict[str, Any],
        limits: BatchLimits,
        told: Told,
        checkpoint: str = "best",
        weights_sha256: str = "",
        cache_bytes: int = DEFAULT_BYTES,
    ) -> None:
        self.name, self.segmenter = name, segmenter
        self.description, self.checkpoint = description, checkpoint
        self.weights_sha256 = weights_sha256
        self.version = version_of(weights_sha256, description)
        self.cache_bytes = cache_bytes
        self.batcher = Batcher(name, self._look, limits, partial(told, name))
        self.batchers: tuple[Batcher, ...] = (self.batcher,)

    def about(self) -> dict[str, Any]:
        """What it is and knows."""
        return {
            "name": self.name,
            "version": self.version,
            "kind": self.kind,
            "clicks": self.clicks,
            "objects": list(self.segmenter.objects),
            "parts": list(self.segmenter.names),
            "checkpoint": self.checkpoint,
            "weights_sha256": self.weights_sha256,
            "description": self.description,
        }

    def predictor(self, *, unite: bool = True) -> Predictor:
        """What turns detections into answers; a tuned run's thresholds are its own."""
        settings = PredictionSettings(unite=unite)
        return Predictor(self.segmenter, with_own(settings, self.description, self.checkpoint))

    def submit(self, pixels: Pixels, objects: Objects, threshold: float | None) -> Future[Any]:
        """`Detections` of one picture; errors are those of `Batcher.submit`."""
        size = int(pixels.shape[0] * pixels.shape[1])
        return self.batcher.submit((pixels, objects), pixels=size, key=threshold)

    def ask(self, pixels: Pixels, prompts: "Prompts", **about: Any) -> Future[Any]:
        """`PromptAnswer` or None, in the model's own thread; `about` as `Prompter.answer`.

        Errors are those of `Batcher.submit`.
        """
        size = int(pixels.shape[0] * pixels.shape[1])
        return self.batcher.submit((pixels, prompts, about), pixels=size, key=_PROMPT)

    @cached_property
    def prompter(self) -> "Prompter":
        """What answers clicks and boxes; it keeps features of the last pictures."""
        from segmenter.prompt import prompter_of

        return prompter_of(self.segmenter, cache_bytes=self.cache_bytes)

    @property
    def clicks(self) -> str:
        """The name and version of what answers clicks and boxes."""
        return self.prompter.called or f"{self.name}@{self.version}"

    def warm_up(self) -> None:
        """Look at grey, and load what answers clicks."""
        _ = self.prompter
        self._look(0.5, [(_GREY, None)])

    def _look(self, key: Any, asked: list[Any]) -> Sequence[Any]:
        """The batcher's work: `key` is a threshold, or says that clicks and boxes are asked."""
        if key is _PROMPT:
            answer = self.prompter.answer
            return [answer(pixels, prompts, **about) for pixels, prompts, about in asked]
        return self._found(key, asked)

    def _found(self, threshold: float | None, asked: list[Any]) -> Sequence[Detections]:
        return self.segmenter.predict(
            [pixels for pixels, _ in asked],
            [objects for _, objects in asked],
            threshold=threshold,
        )


@dataclass
class SharedSegmenter(SegmenterBase):
    """The segmenter of a served model for work inside the server, such as a bulk job.

    It takes its turn like every request, and waits where a request would be turned away.
    """

    model: SegmenterModel

    def __post_init__(self) -> None:
        self.parts = self.model.segmenter.parts

    @property
    def config(self) -> Config:
        """The network's."""
        return self.model.segmenter.config

    def predict(
        self,
        images: Sequence[Pixels],
        objects: Sequence[Objects] | None = None,
        *,
        threshold: float | None = None,
    ) -> list[Detections]:
        """See `Segmenter.predict`."""
        each = [None] * len(images) if objects is None else objects
        asked = [self._submit(*one, threshold) for one in zip(images, each, strict=True)]
        return [future.result() for future in asked]

    def _submit(self, pixels: Pixels, objects: Objects, threshold: float | None) -> Future[Any]:
        while True:
            try:
                return self.model.submit(pixels, objects, threshold)
            except QueueFullError:
                sleep(0.1)


@dataclass
class Models:
    """The models of one server: those that are to come, and those that are ready."""

    sources: Sequence[Source]
    settings: ServeSettings
    told: Told
    ready: list[Served] = field(default_factory=list)
    failure: BaseException | None = None
    loaded: int = 0  # of the sources
    held: Held = field(default_factory=Held)
    sam: "Prompter | None" = None  # answers clicks and boxes for all segmenters
    _following: "Following | None" = None
    _lock: Lock = field(default_factory=Lock)

    def load(self) -> None:
        """Load and warm up those that are not there yet; the first failure ends it.

        Raises:
            PartlabError: a model cannot be loaded, or its first prediction fails.
        """
        try:
            self._load_sam()
            for source in self.sources[self.loaded :]:
                model = self.made(source)
                self._add(model)
                self.loaded += 1
                log.info("%s@%s is ready", model.name, model.version)
            self._need_use_for_sam()
        except BaseException as error:
            self.failure = error
            raise
        if self._following is None and any(source.newest for source in self.sources):
            from app.serve.following import Following

            self._following = Following(self)
            self._following.start()

    def made(self, source: Source) -> Served:
        """A source's model, which has made its first prediction; errors are those of `load`."""
        model = source.load(source.name, self.settings, self.told)
        try:
            if self.sam is not None and isinstance(model, SegmenterModel):
                model.prompter = self.sam
            model.warm_up()
        except BaseException:
            end(model)
            raise
        return model

    def knows(self, wanted: str) -> bool:
        """Whether there is a segmenter `name@version`, served now or by a loop before."""
        return self._served(wanted) is not None or self._earlier(wanted) is not None

    @contextmanager
    def using(self, wanted: str) -> Iterator["SegmenterModel"]:
        """A segmenter `name@version` until the block ends, also when another takes its place.

        One that is not served any more is loaded for it alone.

        Raises:
            NotFoundError: there is none such; else as `load`.
        """
        if self._served(wanted) is None and (source := self._earlier(wanted)) is not None:
            model: Any = self.made(source)
            try:
                yield model
            finally:
                end(model)
            return
        with self.held.using(lambda: self.find(wanted, "segmenter")) as found:
            yield found

    def _served(self, wanted: str) -> "SegmenterModel | None":
        own = (each for each in self.segmenters if f"{each.name}@{each.version}" == wanted)
        return next(own, None)

    def _earlier(self, wanted: str) -> Source | None:
        name, _, version = wanted.partition("@")
        for source in self.sources:
            if source.name == name and source.earlier and (load := source.earlier(version)):
                return Source(name, load)
        return None

    def _load_sam(self) -> None:
        wanted = self.settings.help
        if wanted.sam is None or self.sam is not None:
            return
        from segmenter.prompt import Click, Prompts
        from segmenter.prompt.sam import SamPrompter

        sam = SamPrompter.load(wanted.sam, wanted.sam_device, cache_bytes=wanted.cache_bytes)
        sam.answer(_GREY, Prompts((Click(48, 32),)))
        self.sam = sam
        log.info("%s answers clicks and boxes", sam.called)

    def _need_use_for_sam(self) -> None:
        if self.sam is not None and not self.segmenters:
            raise ConfigError(
                "--sam answers clicks for a segmenter, and none is served",
                hint="name the run of a segmenter too, or leave --sam out",
            )

    def _add(self, model: Served) -> None:
        with self._lock:
            for other in self.ready:
                if (other.name, other.version) == (model.name, model.version):
                    raise ConfigError(
                        f"two models are called {model.name}@{model.version}",
                        hint="give each folder once, or call one otherwise: NAME=FOLDER",
                    )
            self.ready.append(model)

    def put(self, model: Served, gone: Served | None = None) -> None:
        """Make a model the last of its name, which is the one that answers; another may go."""
        with self._lock:
            others = [each for each in self.ready if each is not model and each is not gone]
            self.ready = [*others, model]

    @property
    def all_ready(self) -> bool:
        """Whether every model has made its first prediction."""
        return self.loaded == len(self.sources)

    def find(self, wanted: str | None, kind: Kind | None = None) -> Any:
        """A model by `name` or `name@version`; of several versions the last. None: the only one.

        Raises:
            UnknownNameError, NotFoundError: there is none such, or of another kind.
            ConfigError: none was named and there are several.
        """
        known = [each for each in self.ready if kind in (None, each.kind)]
        if wanted is None:
            return self._only(known, kind)
        name, _, version = wanted.partition("@")
        found = [e for e in known if e.name == name and (not version or e.version == version)]
        if found:
            return found[-1]
        if any(each.name == name and not version for each in self.ready):
            raise NotFoundError(f"the model {wanted} is no {kind} model", hint=_names(known))
        raise UnknownNameError("model", wanted, {n for e in known for n in _called(e, version)})

    def _only(self, known: Sequence[Served], kind: Kind | None) -> Served:
        names = {each.name for each in known}
        if not names:
            raise NotFoundError(f"no {kind or ''} model is served here".replace("  ", " "))
        if len(names) > 1:
            raise ConfigError("several models are served and none is named", hint=_names(known))
        return known[-1]

    def close(self) -> None:
        """Finish what waits and end all threads."""
        if self._following is not None:
            self._following.close()
        for each in self.batchers:
            each.close()

    @property
    def segmenters(self) -> list[SegmenterModel]:
        """Those that are ready."""
        return [model for model in list(self.ready) if isinstance(model, SegmenterModel)]

    @property
    def batchers(self) -> list[Batcher]:
        """Of all models."""
        return [batcher for model in list(self.ready) for batcher in model.batchers]


def _called(model: Served, version: str) -> Iterable[str]:
    return [f"{model.name}@{model.version}"] if version else [model.name]


def _names(known: Sequence[Served]) -> str:
    return "name one with model=: " + ", ".join(dict.fromkeys(each.name for each in known))
