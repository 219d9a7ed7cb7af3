"""Long work of a page: told while it goes on, one piece at a time, stopped when nobody wants it.

    async def run(values…, request: gr.Request):
        async for step, result in site.work.shown(request.session_hash, lambda: segment(values)):
            yield step, gr.skip() if result is None else result

The work is done in a thread. What it counts with `partlab.progress.track` is told; that is also
where it stops when it was cancelled. Who waits for their turn is told how many are before them,
and leaves the queue at once (SV-19).
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Generic, TypeVar

from app.web.faults import fault_html
from partlab.errors import PartlabError
from partlab.progress import listening

T = TypeVar("T")
_EVERY = 0.25  # seconds between two steps that are told


class CancelledError(PartlabError):
    """Somebody stopped it."""


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """How far work is: words, and a share of 0…1 where it is known; at its end the result."""

    words: str
    share: float | None = None
    result: T | None = None
    done: bool = False


@dataclass
class _Job:
    """One piece of work, and the listener it tells (`partlab.progress.Listener`)."""

    stopped: Event = field(default_factory=Event)
    step: Step[Any] = field(default_factory=lambda: Step("working …"))

    def track(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        if total is None and isinstance(items, Sized):
            total = len(items)
        for number, item in enumerate(items):
            if self.stopped.is_set():
                raise CancelledError("cancelled")
            of = f" of {total:,}" if total else ""
            self.step = Step(f"{what}: {number:,}{of}", number / total if total else None)
            yield item

    def event(self, name: str, facts: Mapping[str, Any]) -> None:
        """`event("step", words=…)` says what begins now."""
        if self.stopped.is_set():
            raise CancelledError("cancelled")
        if name == "step":
            self.step = Step(str(facts["words"]))


@dataclass
class Work:
    """The long work of all sessions; `at_once` pieces go on at the same time."""

    at_once: int = 1
    _waiting: list[_Job] = field(default_factory=list)
    _running: list[_Job] = field(default_factory=list)
    _of: dict[str, _Job] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """Pieces that wait for their turn."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Pieces that go on; one that was cancelled counts until it has stopped."""
        return len(self._running)

    def cancel(self, session: str | None) -> bool:
        """Stop what this session does or waits for; whether there was something."""
        job = self._of.get(session or "")
        if job is not None:
            job.stopped.set()
        return job is not None

    async def run(self, session: str | None, work: Callable[[], T]) -> AsyncIterator[Step[T]]:
        """Do `work`; a session does one thing at a time, so its earlier work is cancelled.

        Raises:
            CancelledError: it was cancelled, in the queue or at work.
            PartlabError: what the work raises.
        """
        self.cancel(session)
        job, key = _Job(), session or secrets.token_hex(8)
        self._of[key] = job
        self._waiting.append(job)
        try:
            async for step in self._turn(job):
                yield step
            self._waiting.remove(job)
            self._running.append(job)
            async for step in self._follow(job, work):
                yield step
        finally:  # also when the browser has gone
            job.stopped.set()
            if job in self._waiting:
                self._waiting.remove(job)
            if self._of.get(key) is job:
                del self._of[key]

    async def shown(
        self, session: str | None, work: Callable[[], T]
    ) -> AsyncIterator[tuple[str, T | None]]:
        """`run` for a page: HTML of how far it is ("" at the end), and at the end the result.

        What went wrong stands there too, since a toast goes by; errors are those of `run`.
        """
        try:
            async for step in self.run(session, work):
                yield ("", step.result) if step.done else (step_html(step), None)
        except CancelledError:
            yield "stopped", None
            raise
        except PartlabError as error:
            yield fault_html(error), None
            raise

    async def _turn(self, job: _Job) -> AsyncIterator[Step[Any]]:
        while len(self._running) >= self.at_once or self._waiting[0] is not job:
            if job.stopped.is_set():
                raise CancelledError("cancelled before it began")
            before = self._waiting.index(job) + len(self._running)
            yield Step(f"waiting: {before} before you")
            await asyncio.sleep(_EVERY)

    async def _follow(self, job: _Job, work: Callable[[], T]) -> AsyncIterator[Step[T]]:
        def told() -> T:
            with listening(job):
                return work()

        doing = asyncio.ensure_future(asyncio.to_thread(told))
        doing.add_done_callback(lambda _: self._running.remove(job))
        last: Step[Any] | None = None
        while not doing.done():
            if job.stopped.is_set():
                doing.add_done_callback(_heard)
                raise CancelledError("cancelled")
            if job.step != last:
                last = job.step
                yield last
            await asyncio.wait({doing}, timeout=_EVERY)
        yield Step("done", 1.0, doing.result(), done=True)


def _heard(doing: "asyncio.Future[Any]") -> None:
    """Nobody waits for the outcome of what was cancelled."""
    if not doing.cancelled():
        doing.exception()


def step_html(step: Step[Any]) -> str:
    """How far it is, for a page: words and a bar."""
    from app.web.toolkit import markup

    return markup(
        '<p class="pl-step" role="status"><progress aria-label="progress" max="1"'
        '{% if step.share is not none %} value="{{ step.share }}"{% endif %}></progress>'
        "<span>{{ step.words }}</span></p>",
        step=step,
    )
