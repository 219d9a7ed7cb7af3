"""What was computed of the last pictures, capped in bytes (SV-10)."""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from threading import Lock
from typing import Generic, Protocol, TypeVar

from segmenter.protocol import Pixels

MIB = 1024 * 1024
DEFAULT_BYTES = 256 * MIB  # about 90 pictures of the light recipe


class Weighed(Protocol):
    """Something that says how many bytes it takes."""

    @property
    def nbytes(self) -> int:
        """Bytes it holds."""
        ...


T = TypeVar("T", bound=Weighed)


class LookCache(Generic[T]):
    """The most recently used pictures' looks, together of at most `limit` bytes.

    A look is made once however many threads ask for it: those that come meanwhile wait for it.
    What alone is larger than the limit is given back and not kept.
    """

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self.limit = limit
        self.hits = self.misses = self.nbytes = 0
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._making: dict[str, Lock] = {}
        self._turn = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The look under `key`, made now if it is not kept."""
        with self._turn:
            if (found := self._found(key)) is not None:
                return found
            alone = self._making.setdefault(key, Lock())
        with alone:
            with self._turn:
                if (found := self._found(key)) is not None:
                    return found
                self.misses += 1
            try:
                made = make()
                with self._turn:
                    self._keep(key, made)
            finally:
                self._making.pop(key, None)
            return made

    def _found(self, key: str) -> T | None:
        if key not in self._kept:
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return self._kept[key]

    def _keep(self, key: str, made: T) -> None:
        if made.nbytes > self.limit:
            return
        self._kept[key] = made
        self.nbytes += made.nbytes
        while self.nbytes > self.limit:
            _, oldest = self._kept.popitem(last=False)
            self.nbytes -= oldest.nbytes


def key_of(pixels: Pixels) -> str:
    """The hash of a picture's content."""
    return blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).hexdigest()
