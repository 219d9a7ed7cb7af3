"""What one client, and all together, may ask of a server; what was answered may be asked again."""

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic

from app.serve.errors import RefusalError

_CLIENTS = 10_000  # remembered; the longest silent is forgotten first


@dataclass
class Rates:
    """So many requests a minute for each client, at once or spread; None: any number."""

    a_minute: int | None
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, client: str) -> None:
        """Count one request of a client.

        Raises:
            RefusalError: 429, with the seconds until the next may come.
        """
        if self.a_minute is None:
            return
        now, each = monotonic(), 60 / self.a_minute
        left, then = self._left.pop(client, (float(self.a_minute), now))
        left = min(left + (now - then) / each, float(self.a_minute))
        self._left[client] = (left - (left >= 1), now)
        if len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        if left < 1:
            seconds = max(math.ceil((1 - left) * each), 1)
            raise RefusalError(
                429,
                f"more than {self.a_minute} requests a minute",
                hint=f"send the same request again in {seconds} s",
                headers={"Retry-After": str(seconds)},
            )


@dataclass
class Repeats:
    """Answers to requests that had an idempotency key, so that a repeated one costs nothing.

    Never more than `most` bytes; the oldest go first.
    """

    most: int
    hits: int = 0
    misses: int = 0
    size: int = 0
    _kept: OrderedDict[tuple[str, str], tuple[str, bytes]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def find(self, client: str, key: str, asked: str) -> bytes | None:
        """The answer to the same request of the same client; `asked` is a hash of the request.

        Raises:
            RefusalError: 422, the key came with another request before.
        """
        with self._lock:
            found = self._kept.get((client, key))
            if found is None:
                self.misses += 1
                return None
            if found[0] != asked:
                raise RefusalError(
                    422,
                    "this idempotency key came with another request before",
                    hint="use a new key for each request, and the same only to repeat it",
                )
            self.hits += 1
            self._kept.move_to_end((client, key))
            return found[1]

    def keep(self, client: str, key: str, asked: str, answer: bytes) -> None:
        """Remember an answer."""
        if len(answer) > self.most:
            return
        with self._lock:
            if (client, key) in self._kept:
                return
            self._kept[(client, key)] = (asked, answer)
            self.size += len(answer)
            while self.size > self.most:
                _, (_, oldest) = self._kept.popitem(last=False)
                self.size -= len(oldest)
