"""One thread for one model: what waits is looked at together, within limits (SV-14, SV-15).

While the model looks at one batch the next one gathers; whoever comes to an empty queue is
looked at immediately. Nothing here knows what a picture or a network is.
"""

import logging
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Condition, Thread
from time import monotonic
from typing import Any

from app.serve.settings import BatchLimits
from partlab.counts import counted
from partlab.errors import PartlabError

log = logging.getLogger(__name__)

Work = Callable[[Any, list[Any]], Sequence[Any]]
"""What tasks of one kind have in common, and what each brings -> one result for each."""


class QueueFullError(PartlabError):
    """As much waits as may; `retry_after` is when to come again, in whole seconds."""

    def __init__(self, name: str, waiting: int, retry_after: int) -> None:
        super().__init__(
            f"the model {name} is busy: "
            f"{counted(waiting, 'picture waits', 'pictures wait')} for it",
            hint=f"send the same request again in {retry_after} s",
        )
        self.retry_after = retry_after


class StoppingError(PartlabError):
    """The server is being stopped and takes nothing new."""


@dataclass(slots=True, eq=False)
class _Task:
    key: Hashable
    brought: Any
    pixels: int
    future: Future[Any]


class Batcher:
    """Runs `work` on batches of tasks of one key, in a thread of its own."""

    def __init__(
        self,
        name: str,
        work: Work,
        limits: BatchLimits,
        told: Callable[[int, float], None] | None = None,
    ) -> None:
        """`told` hears of each batch: how many images, and how many seconds it took."""
        self.name, self.limits = name, limits
        self._work, self._told = work, told
        self._queue: deque[_Task] = deque()
        self._changed = Condition()
        self._closed = False
        self._each = 0.05  # seconds an image takes, as seen lately
        self._thread = Thread(target=self._serve, name=f"model {name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return len(self._queue)

    def submit(self, brought: Any, *, pixels: int, key: Hashable = None) -> Future[Any]:
        """Queue one image; a future that is cancelled before its turn leaves the queue.

        Raises:
            QueueFullError: as much waits as may.
            StoppingError: the server is being stopped.
        """
        task = _Task(key, brought, pixels, Future())
        with self._changed:
            if self._closed:
                raise StoppingError("the server is being stopped", hint="ask another one")
            if self._is_full(pixels):
                raise QueueFullError(self.name, len(self._queue), self._retry_after())
            self._queue.append(task)
            self._changed.notify_all()
        task.future.add_done_callback(lambda future: self._abandon(task, future))
        return task.future

    def close(self, patience: float | None = None) -> None:
        """Take nothing new, finish what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(patience)

    def _is_full(self, pixels: int) -> bool:
        waiting = sum(task.pixels for task in self._queue)
        heavy = bool(self._queue) and waiting + pixels > self.limits.queue_pixels
        return heavy or len(self._queue) >= self.limits.queue

    def _retry_after(self) -> int:
        return min(max(round(len(self._queue) * self._each), 1), 60)

    def _abandon(self, task: _Task, future: Future[Any]) -> None:
        if future.cancelled():
            with self._changed:
                if task in self._queue:
                    self._queue.remove(task)

    def _serve(self) -> None:
        while tasks := self._take():
            mine = [task for task in tasks if task.future.set_running_or_notify_cancel()]
            if mine:
                self._run(mine)
            del tasks, mine  # pictures must not outlive their answers while nothing comes

    def _take(self) -> list[_Task]:
        """The next batch; [] when the server is stopped and nothing waits."""
        with self._changed:
            while True:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if len(self._queue) > 1 and not self._closed:
                    self._gather()
                batch = self._alike()
                for task in batch:
                    self._queue.remove(task)
                if batch or (self._closed and not self._queue):
                    return batch

    def _gather(self) -> None:
        until = monotonic() + self.limits.wait_ms / 1000
        while len(self._alike()) < self.limits.images and (left := until - monotonic()) > 0:
            self._changed.wait(left)

    def _alike(self) -> list[_Task]:
        """The first task, and those after it that can be looked at together with it."""
        batch: list[_Task] = []
        pixels = 0
        for task in self._queue:
            if len(batch) == self.limits.images:
                break
            fits = not batch or pixels + task.pixels <= self.limits.pixels
            if fits and (not batch or task.key == batch[0].key):
                batch.append(task)
                pixels += task.pixels
        return batch

    def _run(self, tasks: list[_Task]) -> None:
        began = monotonic()
        try:
            results = self._work(tasks[0].key, [task.brought for task in tasks])
        except BaseException as error:
            if len(tasks) == 1:
                tasks[0].future.set_exception(error)
            else:  # nobody pays for the picture of another
                for task in tasks:
                    self._run([task])
            return
        seconds = monotonic() - began
        self._each += 0.2 * (seconds / len(tasks) - self._each)
        if self._told:
            self._told(len(tasks), seconds)
        for task, result in zip(tasks, results, strict=True):
            task.future.set_result(result)
