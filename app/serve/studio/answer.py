"""Answers for Label Studio: suggestions for tasks, and the part under clicks or in a box.

A task that cannot be answered gets none, and the log says why: Label Studio would keep an empty
suggestion, and never ask for that picture again.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any, TypeVar

from annotate.studio.spelling.asked import Asked
from app.serve.calls import decoded
from app.serve.segmenters import SegmenterModel
from app.serve.state import State
from app.serve.studio.asks import Predict, Task
from app.serve.studio.words import Words
from partlab.errors import DatasetError, PartlabError
from partlab.masks import decode
from segmenter.predictor import lowest_of
from segmenter.prompt import Click, Prompts
from segmenter.protocol import Pixels

log = logging.getLogger(__name__)
T = TypeVar("T")
NOTHING: dict[str, Any] = {"result": []}
"""The answer to a click or a box that has none."""

_AT_ONCE = 8  # pictures of one request that are fetched or looked at


@dataclass(frozen=True)
class Answers:
    """One request's: the model, the project in its words."""

    state: State
    model: SegmenterModel
    words: Words
    project: str

    @property
    def version(self) -> str:
        """What suggestions are called after; answers to clicks bear the name of who made them."""
        return f"{self.model.name}@{self.model.version}"

    async def suggested(self, tasks: list[Task]) -> list[Any]:
        """What the segmenter finds in each: an answer, or [] for none."""
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(task: Task) -> Any:
            async with turn:
                return await self._within(until, task, self._suggestion) or []

        until = asyncio.get_running_loop().time() + self.state.settings.deadline_s
        return list(await asyncio.gather(*map(one, tasks)))

    async def prompted(self, task: Task, asked: Asked) -> dict[str, Any]:
        """The part that is asked for; an empty answer where there is none, or not in time."""
        until = asyncio.get_running_loop().time() + self.state.settings.help.deadline_s
        return await self._within(until, task, lambda t: self._part(t, asked)) or NOTHING

    async def _within(
        self, until: float, task: Task, work: Callable[[Task], Awaitable[T]]
    ) -> T | None:
        """The result of `work`, or None: too late, or a fault, which the log names."""
        why = ""
        fault: Exception | None = None
        try:
            async with asyncio.timeout_at(until):
                return await work(task)
        except TimeoutError:
            why = "it took too long"
        except PartlabError as error:
            why = f"{error.message}{'; ' if error.hint else ''}{error.hint or ''}"
        # Broad, since a network may raise anything: one picture must not cost the other tasks, and
        # Label Studio needs a valid answer. The log has where it happened.
        except Exception as error:
            why, fault = f"the model failed: {type(error).__name__}: {error}", error
        log.warning("%s: no help for task %d of project %s: %s",
                    self.version, task.id, self.project, why, exc_info=fault)  # fmt: skip
        return None

    async def _pixels(self, task: Task) -> tuple[Pixels, str]:
        """The picture as people see it, and the hash of its file."""
        address = task.data.get(self.words.interface.data)
        if not isinstance(address, str) or not address:
            raise DatasetError(f"its data have no picture {self.words.interface.data!r}")
        desk = self.state.studio
        data = await desk.fetch(address, self.project)
        pixels = await self.state.aside(decoded, data, self.state.settings.picture_pixels)
        return pixels, hashlib.sha256(data).hexdigest()

    async def _suggestion(self, task: Task) -> dict[str, Any] | None:
        pixels, _ = await self._pixels(task)
        predictor = self.model.predictor()
        floor = predictor.floor(None)
        found = await asyncio.wrap_future(
            self.model.submit(pixels, self.words.object_of(task), lowest_of([floor]))
        )

        def written() -> dict[str, Any] | None:
            masks = predictor.kept(pixels, found, floor).masks
            named = [(label, mask) for mask in masks if (label := self.words.label_of(mask.name))]
            regions = [
                self._region(f"r{number}", mask.rle, label, mask.score, self.version)
                for number, (label, mask) in enumerate(named)
            ]
            whole = round(fmean(mask.score for _, mask in named), 4) if named else 0.0
            result = [item for region in regions for item in region]
            return self._answer(result, whole, self.version)

        return await self.state.aside(written)

    async def _part(self, task: Task, asked: Asked) -> dict[str, Any] | None:
        pixels, key = await self._pixels(task)
        size = (int(pixels.shape[1]), int(pixels.shape[0]))
        if size != asked.shown:
            raise DatasetError(
                f"the page shows it with {asked.shown[0]}x{asked.shown[1]} pixels, its file has "
                f"{size[0]}x{size[1]}"
            )
        object = self.words.object_of(task)
        part = self.words.part_of(asked.label, self.model.segmenter.names, object)
        prompts = Prompts(tuple(Click(*each) for each in asked.clicks), asked.box)
        found = await asyncio.wrap_future(
            self.model.ask(pixels, prompts, part=part, objects=object, key=key)
        )
        if found is None:
            log.info("%s: nothing fits what is asked of task %d", self.version, task.id)
            return None
        label = asked.label or (self.words.label_of(found.part) if found.part else None)
        by = self.model.clicks
        region = await self.state.aside(self._region, asked.id, found.mask, label, found.score, by)
        return self._answer(region, found.score, by)

    def _region(
        self, id: str, rle: Any, label: str | None, score: float, by: str
    ) -> list[dict[str, Any]]:
        sure = round(float(score), 4)
        return self.words.interface.region(id, decode(rle), label, score=sure, model=by)

    def _answer(self, result: list[dict[str, Any]], score: float, by: str) -> dict[str, Any] | None:
        if not result:
            return None
        return {"result": result, "score": round(float(score), 4), "model_version": by}


def empty(request: Predict) -> list[Any]:
    """As many answers as tasks, all empty: what Label Studio takes for a valid answer."""
    return [NOTHING] if request.context is not None else [[] for _ in request.tasks]
