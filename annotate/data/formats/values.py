"""What the numbers in label maps mean: which is which part, which is background."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate.data.formats import Source
from partlab.counts import counted
from partlab.schema import Category

log = logging.getLogger(__name__)

_USUAL = 0.9  # share of the pictures in which one value is the most frequent: a background's


class Values:
    """Reads label maps one by one and remembers what looked odd about all of them.

    A value plus `offset` is a category's id. Background is what was said; else 0, if no category
    has it. `table` may say its own `background`, and which value is to `ignore`.
    """

    def __init__(
        self, categories: Sequence[Category], source: Source, table: Mapping[str, Any]
    ) -> None:
        self.names = {category.id: category.name for category in categories}
        self.offset = source.offset
        ground = {*table.get("background", ()), *(source.background or ())}
        usual = () if ground or source.offset in self.names else (0,)
        self.background = frozenset(ground or usual)
        self.ignore: int = table.get("ignore", -1)
        self.leading: Counter[int] = Counter()
        self.seen: Counter[int] = Counter()

    def parts_in(self, labels: NDArray[np.integer[Any]]) -> Iterator[tuple[int, int]]:
        """(value, category id) of each value of one map that is not background."""
        values, counts = np.unique(labels, return_counts=True)
        self.seen.update(map(int, values))
        self.leading[int(values[counts.argmax()])] += 1
        for value in map(int, values):
            if value != self.ignore and value not in self.background:
                yield value, value + self.offset

    def tell(self) -> None:
        """Say which values have no name, and which one looks like the background."""
        if ignored := self.seen[self.ignore]:
            log.warning(
                "%s pixels to ignore (crowd regions): no mask says that now",
                counted(ignored, "picture holds", "pictures hold"),
            )
        silent = {*self.background, self.ignore}
        parts = [value for value in sorted(self.seen) if value not in silent]
        if unknown := [value for value in parts if value + self.offset not in self.names]:
            more = "; with --offset 1 the maps count from 0" if 0 in unknown else ""
            log.warning(
                "the values %s have no name in the list; --background leaves them out%s",
                ", ".join(map(str, unknown[:8])) + (" …" if len(unknown) > 8 else ""),
                more,
            )
        value, pictures = next(iter(self.leading.most_common(1)), (0, 0))
        if value not in self.background and pictures >= _USUAL * self.leading.total():
            self._tell_ground(value, pictures)

    def _tell_ground(self, value: int, pictures: int) -> None:
        name = self.names.get(value + self.offset, "no name")
        where = counted(pictures, "picture")
        what = f"the value {value} ({name}) covers more than any other in {where}"
        hint = f"--background {value}"
        if 0 in self.background and (zeros := self.seen[0]):
            what += f", and 0, which is in {zeros}, was left out as background"
            hint += " --offset 1" if self.offset == 0 and 0 not in self.names else ""
        log.warning("%s; if it is the background, say %s", what, hint)
