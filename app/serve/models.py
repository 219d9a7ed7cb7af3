"""What is served: models by name and version, loaded beside the server's own thread."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from app.serve.batcher import Batcher
from app.serve.held import Held, end
from app.serve.segmenters import GREY, SegmenterModel
from app.serve.served import Kind, Served, Told
from app.serve.settings import ServeSettings
from app.serve.source import Source
from partlab.errors import ConfigError, NotFoundError, UnknownNameError

if TYPE_CHECKING:
    from app.serve.following import Following
    from segmenter.prompt import Prompter

log = logging.getLogger(__name__)


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
    def using(self, wanted: str) -> Iterator[SegmenterModel]:
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

    def _served(self, wanted: str) -> SegmenterModel | None:
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
        sam.answer(GREY, Prompts((Click(48, 32),)))
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
