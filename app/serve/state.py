"""What all requests of one server share, and who may come in."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import Depends, Request

from app.serve.edge import call_of
from app.serve.errors import RefusalError
from app.serve.keys import Keys
from app.serve.limits import Rates, Repeats
from app.serve.metrics import Metrics, counter, counters, gauge, gpu_memory, level
from app.serve.models import Models
from app.serve.settings import Role, ServeSettings

if TYPE_CHECKING:
    from app.serve.jobs import Jobs
    from app.serve.studio.desk import Desk

T = TypeVar("T")


@dataclass
class State:
    """One server: its models, limits and counts."""

    settings: ServeSettings
    models: Models
    metrics: Metrics
    keys: Keys
    rates: Rates
    repeats: Repeats
    studio: "Desk"
    jobs: "Jobs | None" = None
    inside: int = 0  # requests under way
    stopping: bool = False
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max(os.cpu_count() or 1, 2), "pictures")
    )

    def __post_init__(self) -> None:
        self.metrics.watch(self._look)

    async def aside(self, work: Callable[..., T], *given: Any) -> T:
        """Work on a picture in a thread: the server's own only passes things on."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    def close(self) -> None:
        """Stop jobs where they are, finish what waits for models, end all threads."""
        self.stopping = True
        if self.jobs is not None:
            self.jobs.close()
        self.models.close()
        self.studio.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> Iterable[Any]:
        waiting = [(batcher.name, batcher.waiting) for batcher in self.models.batchers]
        yield gauge("partlab_queue_images", "Images that wait for a model.", "model", waiting)
        yield level("partlab_requests_inside", "Requests under way, this one too.", self.inside)
        yield counter("partlab_cache_hits", "Repeated requests.", self.repeats.hits)
        yield counter("partlab_cache_misses", "Requests with a new key.", self.repeats.misses)
        looks = {model.clicks: model.prompter.cache for model in self.models.segmenters}
        hits = [(name, cache.hits) for name, cache in looks.items()]
        misses = [(name, cache.misses) for name, cache in looks.items()]
        yield counters("partlab_look_cache_hits", "Clicks without a look.", "model", hits)
        yield counters("partlab_look_cache_misses", "Clicks with one.", "model", misses)
        kept = [
            ("answers", self.repeats.size),
            *((f"looks of {n}", c.nbytes) for n, c in looks.items()),
        ]
        yield gauge("partlab_cache_bytes", "Answers that are kept.", "cache", kept)
        yield gauge("partlab_gpu_memory_bytes", "Reserved by torch.", "gpu", gpu_memory())
        if self.jobs is not None:
            yield gauge("partlab_jobs", "Bulk jobs by state.", "state", self.jobs.count().items())


def state_of(request: Request) -> State:
    """The server that got this request."""
    found: State = request.app.state.partlab
    return found


def admit(role: Role, *, models: bool = True) -> Any:
    """A dependency: who may not come in, or comes too often, is refused before anything is read.

    `models`: only once they are all ready.
    """

    async def see(request: Request) -> AsyncIterator[None]:
        state, call = state_of(request), call_of(request)
        call.who = state.keys.holder(request.headers, role)
        state.rates.take(call.client)
        if models and not state.models.all_ready:
            raise RefusalError(503, "the models are still being loaded", hint="ask /ready when")
        if state.inside >= state.settings.requests:
            raise RefusalError(
                503,
                f"{state.inside} requests are under way, which is as many as may be",
                hint="send the same request again in a second",
                headers={"Retry-After": "1"},
            )
        state.inside += 1
        try:
            yield
        finally:
            state.inside -= 1

    return Depends(see)
